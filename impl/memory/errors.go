//go:build linux

package memory

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"golang.org/x/sys/unix"
)

var (
	// ErrGone says that the application has exited or its mapping was closed.
	// It is the ordinary end of a mapping and needs no answer: there is nobody
	// left who could see the page.
	ErrGone = errors.New("mome: memory: the application is gone")

	// ErrExists says that a page to be filled is in the segment already, or
	// mapped already. Nothing was changed, and who waits for the page was woken
	// to ask again. Install is the operation for such a page.
	ErrExists = errors.New("mome: memory: the page is present already")

	// ErrHole says that a page to be mapped is not in the segment: it was never
	// filled, or it was punched.
	ErrHole = errors.New("mome: memory: the page is not present in the segment")

	// ErrUnmapped says that the application has no registered mapping at the
	// page: it has unmapped a part of the segment itself.
	ErrUnmapped = errors.New("mome: memory: the application has unmapped the page")

	// ErrBusy says that the application's mapping kept changing (fork, mremap,
	// munmap) for as long as an operation retries. The caller queues the page
	// and tries again later; no new event announces it.
	ErrBusy = errors.New("mome: memory: the application's mapping keeps changing")

	// ErrBaseTaken says that something lies where a segment must be mapped.
	// The error is a *BaseTakenError.
	ErrBaseTaken = errors.New("mome: memory: the segment's addresses are taken")

	// ErrPoisoned says that the data of a page is lost.
	ErrPoisoned = errors.New("mome: memory: the page's data is lost")

	// ErrRefused says that a page could not be made present: a load or a store
	// there would be a SIGBUS or SIGSEGV.
	ErrRefused = errors.New("mome: memory: the page cannot be accessed")

	// ErrHungUp says that the other end was closed before the signal that
	// announces it was armed.
	ErrHungUp = errors.New("mome: memory: the other end is closed already")

	// ErrNotUserfaultfd says that a file descriptor is not a userfaultfd with
	// the features and the registration that a segment needs.
	ErrNotUserfaultfd = errors.New("mome: memory: not a userfaultfd of this segment")
)

// PageError is a page operation that failed, and where.
type PageError struct {
	Op   string
	Page addr.PageNum // the first page that the operation did not reach
	Err  error        // one of the package's errors, or the kernel's errno
}

func (e *PageError) Error() string {
	return fmt.Sprintf("mome: memory: %s %v: %s", e.Op, e.Page, strings.TrimPrefix(e.Err.Error(), "mome: memory: "))
}

func (e *PageError) Unwrap() error { return e.Err }

// pageError is what the kernel's answer about a page means; nil where it is 0.
func pageError(op string, p addr.PageNum, errno unix.Errno) error {
	switch errno {
	case 0:
		return nil
	case unix.ESRCH:
		return ErrGone
	case unix.ENOENT:
		return &PageError{op, p, ErrUnmapped}
	case unix.EEXIST:
		return &PageError{op, p, ErrExists}
	case unix.EAGAIN:
		return &PageError{op, p, ErrBusy}
	}
	return &PageError{op, p, errno}
}

// BaseTakenError says which addresses a segment needs and what lies there.
type BaseTakenError struct {
	Start, End uintptr  // the segment's addresses
	Found      []string // the lines of /proc/self/maps that overlap them
}

func (e *BaseTakenError) Error() string {
	what := "nothing that /proc/self/maps shows"
	if len(e.Found) > 0 {
		what = strings.Join(e.Found, "; ")
	}
	return fmt.Sprintf("mome: memory: the segment must lie at %#x-%#x, and there is already: %s"+
		" (if that is Go's own memory, whose place differs from run to run: start the program again;"+
		" if it is always there: found the cluster with another --base, such as %v)", e.Start, e.End, what, addr.NarrowBase)
}

func (e *BaseTakenError) Unwrap() error { return ErrBaseTaken }
