package client

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mome-dsm/mome/impl/client/attachpb"
)

// The errors of the attach protocol, one for each code. Package mome exports
// those that a program can act on.
var (
	ErrInternal      = errors.New("mome: the node failed")
	ErrMalformed     = errors.New("mome: malformed message on the attach socket")
	ErrVersion       = errors.New("mome: the node speaks another version of the attach protocol")
	ErrUnsupported   = errors.New("mome: the node does not know this request")
	ErrPermission    = errors.New("mome: not permitted")
	ErrInvalid       = errors.New("mome: invalid argument")
	ErrExists        = errors.New("mome: segment exists")
	ErrNotFound      = errors.New("mome: no such segment")
	ErrBadSize       = errors.New("mome: bad segment size")
	ErrNoSpace       = errors.New("mome: no room")
	ErrRemoved       = errors.New("mome: segment was removed")
	ErrCanceled      = errors.New("mome: canceled")
	ErrTimeout       = errors.New("mome: timeout")
	ErrBusy          = errors.New("mome: lock is held by somebody else")
	ErrNotOwner      = errors.New("mome: lock is not held")
	ErrPartyDied     = errors.New("mome: a party of the barrier died")
	ErrMismatch      = errors.New("mome: parties of the barrier disagree")
	ErrClusterFailed = errors.New("mome: the cluster failed")
	ErrUnavailable   = errors.New("mome: configuration store unavailable")

	// ErrOwnerDied comes with the lock held; no Error message carries it.
	ErrOwnerDied = errors.New("mome: the lock's last owner died holding it")
)

// codeErrors is in the order of lookup for CodeOf.
var codeErrors = []struct {
	code attachpb.Code
	err  error
}{
	{attachpb.Code_CODE_INTERNAL, ErrInternal},
	{attachpb.Code_CODE_MALFORMED, ErrMalformed},
	{attachpb.Code_CODE_VERSION, ErrVersion},
	{attachpb.Code_CODE_UNSUPPORTED, ErrUnsupported},
	{attachpb.Code_CODE_PERMISSION, ErrPermission},
	{attachpb.Code_CODE_INVALID, ErrInvalid},
	{attachpb.Code_CODE_EXISTS, ErrExists},
	{attachpb.Code_CODE_NOT_FOUND, ErrNotFound},
	{attachpb.Code_CODE_BAD_SIZE, ErrBadSize},
	{attachpb.Code_CODE_NO_SPACE, ErrNoSpace},
	{attachpb.Code_CODE_REMOVED, ErrRemoved},
	{attachpb.Code_CODE_CANCELED, ErrCanceled},
	{attachpb.Code_CODE_TIMEOUT, ErrTimeout},
	{attachpb.Code_CODE_BUSY, ErrBusy},
	{attachpb.Code_CODE_NOT_OWNER, ErrNotOwner},
	{attachpb.Code_CODE_PARTY_DIED, ErrPartyDied},
	{attachpb.Code_CODE_MISMATCH, ErrMismatch},
	{attachpb.Code_CODE_CLUSTER_FAILED, ErrClusterFailed},
	{attachpb.Code_CODE_UNAVAILABLE, ErrUnavailable},
}

// Error is a failure that the node reported. errors.Is finds the Err… value of
// its code.
type Error struct {
	Code    attachpb.Code
	Message string // for people; may be empty
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Unwrap().Error()
	}
	return fmt.Sprintf("%v: %s", e.Unwrap(), e.Message)
}

// Unwrap is the Err… value of the code; of an unknown code, ErrInternal.
func (e *Error) Unwrap() error {
	for _, c := range codeErrors {
		if c.code == e.Code {
			return c.err
		}
	}
	return ErrInternal
}

// CodeOf is the code under which an error travels: that of the first Err… value
// it wraps, else CODE_INTERNAL.
func CodeOf(err error) attachpb.Code {
	for _, c := range codeErrors {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return attachpb.Code_CODE_INTERNAL
}

// messageOf is the text of an error without the part that its code says again.
func messageOf(err error) string {
	const limit = 4 << 10
	text := err.Error()
	for _, c := range codeErrors {
		if !errors.Is(err, c.err) {
			continue
		}
		if rest, ok := strings.CutPrefix(text, c.err.Error()); ok {
			text = strings.TrimPrefix(rest, ": ")
		}
		break
	}
	if len(text) > limit {
		text = text[:limit]
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
