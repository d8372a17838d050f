package wire

import "errors"

// What Down, Accept and Refused report, wrapped with the peer's name. All but
// ErrLeft, ErrSilent and ErrStale say that somebody must mend something.
var (
	ErrMalformed   = errors.New("mome: malformed or foreign frame")
	ErrHandshake   = errors.New("mome: not a handshake of a mome node")
	ErrVersion     = errors.New("mome: wire version mismatch")
	ErrCluster     = errors.New("mome: cluster mismatch")
	ErrToken       = errors.New("mome: cluster token mismatch")
	ErrNode        = errors.New("mome: another node answers at this address")
	ErrIncarnation = errors.New("mome: the peer has another incarnation")
	ErrGone        = errors.New("mome: the session is over")
	ErrStale       = errors.New("mome: a later connection came first")
	ErrNotAdmitted = errors.New("mome: not admitted")
	ErrSilent      = errors.New("mome: the peer did not come back in time")
	ErrLeft        = errors.New("mome: the peer left")
	ErrClosed      = errors.New("mome: closed")
)
