package wire

import (
	"errors"
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
)

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
	ErrPeerFailed  = errors.New("mome: the peer failed")
	ErrClosed      = errors.New("mome: closed")
)

// PeerFailure is what Down reports of a peer that called Fail: an ErrPeerFailed
// with the peer's own words.
type PeerFailure struct {
	// Cause is the node that the peer holds for the cause: itself, another one, or
	// this one.
	Cause addr.NodeID
	// Reason is one line of valid UTF-8 without control characters, of at most 512
	// bytes.
	Reason string
}

func (f *PeerFailure) Error() string {
	return fmt.Sprintf("%v, and node %d is the cause: %s", ErrPeerFailed, f.Cause, f.Reason)
}

func (f *PeerFailure) Unwrap() error { return ErrPeerFailed }
