package mome

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/memory"
)

// The errors that a program can act on, to be found with errors.Is.
var (
	ErrExists        = client.ErrExists        // Create: the name is taken
	ErrNotFound      = client.ErrNotFound      // there is no such segment
	ErrBadSize       = client.ErrBadSize       // a size that cannot be, or is not the segment's
	ErrNoSpace       = client.ErrNoSpace       // none in the global space, a limit of the node or the program is met, or the store's disk is full
	ErrRemoved       = client.ErrRemoved       // the segment was removed
	ErrOwnerDied     = client.ErrOwnerDied     // see Lock.Acquire: the lock is held
	ErrBusy          = client.ErrBusy          // TryAcquire: somebody has the lock
	ErrNotOwner      = client.ErrNotOwner      // Release without the lock
	ErrPartyDied     = client.ErrPartyDied     // a party of a barrier died
	ErrMismatch      = client.ErrMismatch      // the parties of a barrier disagree
	ErrVersion       = client.ErrVersion       // program and node are of different releases
	ErrPermission    = client.ErrPermission    // the program's user may not attach
	ErrUnsupported   = client.ErrUnsupported   // the node does not know how
	ErrInvalid       = client.ErrInvalid       // an argument is out of its domain
	ErrClusterFailed = client.ErrClusterFailed // the cluster or the node failed
	ErrUnavailable   = client.ErrUnavailable   // Create, Open, Remove: the configuration store is away; memory, locks and barriers go on
	ErrClosed        = client.ErrClosed        // the Node or the Segment was closed
	ErrBaseTaken     = memory.ErrBaseTaken     // something lies where a segment must be mapped

	// ErrLost says that the data of a page was lost with the machines that had
	// it.
	ErrLost = errors.New("mome: data is lost")
)

// errSegmentClosed is ErrClosed of a Segment, whose Node is attached all the same.
var errSegmentClosed error = closedError{}

type closedError struct{}

func (closedError) Error() string { return "the segment is closed: open it again" }
func (closedError) Unwrap() error { return ErrClosed }

// opError says in one line, which names Mome once, what was being done to what.
type opError struct {
	op  string
	err error
}

func (e *opError) Error() string {
	text := e.op + ": " + strings.ReplaceAll(e.err.Error(), "\n", "; ")
	return strings.NewReplacer(": mome: ", ": ", "; mome: ", "; ").Replace(text)
}

func (e *opError) Unwrap() error { return e.err }

// wrap makes an opError of an error.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &opError{fmt.Sprintf(format, args...), err}
}
