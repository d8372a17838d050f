// Package limits tells which limit of a process or a machine a system call has
// met, and what raises it; how long its threads wait for a processor; and keeps
// some file descriptors of a process for what it cannot do without.
package limits

import (
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Shortage is a call that failed because there was not enough of something. It
// is no fault of who asked, and may pass.
type Shortage struct {
	What   string // what there was none of: "file descriptor"
	Limit  string // that was met, and its value: "RLIMIT_NOFILE is 256"
	Remedy string // what an operator can do
	Err    error
}

func (s *Shortage) Error() string {
	return fmt.Sprintf("no %s is left: %s; %s (%v)", s.What, s.Limit, s.Remedy, s.Err)
}

// Unwrap is the call's own error.
func (s *Shortage) Unwrap() error { return s.Err }

// Explain is an error that also tells the limit, where it comes of a shortage;
// else it is err. The limits are those of this process and its machine.
func Explain(err error) error {
	var s *Shortage
	if errors.As(err, &s) {
		return err // it tells
	}
	if s = of(err); s != nil {
		return s
	}
	return err
}

// Short says whether an error comes of a shortage.
func Short(err error) bool { return of(err) != nil }

func of(err error) *Shortage {
	var s *Shortage
	switch {
	case errors.As(err, &s):
		return s
	case errors.Is(err, unix.EMFILE):
		limit := fmt.Sprintf("RLIMIT_NOFILE is %d", files())
		if n := kept(files()); n > 0 {
			limit += fmt.Sprintf(", %d of them kept for its own work", n)
		}
		return &Shortage{"file descriptor", limit,
			"raise it (ulimit -n, or LimitNOFILE= in the unit), or end programs or remove segments", err}
	case errors.Is(err, unix.ENFILE):
		return &Shortage{"file descriptor", "the machine's fs.file-max is met",
			"raise it (sysctl fs.file-max), or end other programs", err}
	case errors.Is(err, unix.EFBIG):
		return &Shortage{"room in a file", fmt.Sprintf("RLIMIT_FSIZE is %d bytes", get(unix.RLIMIT_FSIZE)),
			"raise it (ulimit -f, or LimitFSIZE= in the unit): it bounds the size of a segment", err}
	case errors.Is(err, unix.ENOMEM):
		return &Shortage{"memory", "the address space (RLIMIT_AS), the mappings (vm.max_map_count) or the memory of the machine are used up",
			"raise what is too small (ulimit -v, sysctl vm.max_map_count), or end other programs", err}
	case errors.Is(err, unix.ENOSPC): // of memory: no call on a disk is explained here
		return &Shortage{"memory", "the machine promises no more (vm.overcommit_memory, vm.overcommit_ratio), or watches no more sockets (fs.epoll.max_user_watches)",
			"raise what is too small (sysctl), or end other programs", err}
	case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ETOOMANYREFS):
		return &Shortage{"room for sockets", "the kernel takes no more data or descriptors in flight",
			"have programs read what they are sent", err}
	}
	return nil
}

func get(resource int) uint64 {
	var limit unix.Rlimit
	_ = unix.Getrlimit(resource, &limit) // it cannot fail for a resource that exists
	return limit.Cur
}

// files is how many descriptors this process may have.
func files() int { return int(min(get(unix.RLIMIT_NOFILE), 1<<30)) }

var reserve atomic.Int64

// Reserve keeps the last n descriptors that this process may have, but no more
// than a quarter of all, for calls that are not followed by Spare. A process that
// has reserved some never has fewer reserved.
func Reserve(n int) {
	for {
		old := reserve.Load()
		if int64(n) <= old || reserve.CompareAndSwap(old, int64(n)) {
			return
		}
	}
}

func kept(of int) int { return min(int(reserve.Load()), of/4) }

// Spare says of a new descriptor whether the process can spare it. If not, it
// closes it, and the error is that of a process without descriptors. A new
// descriptor has the least number that is free: one among the last has all
// others used.
func Spare(fd int) error {
	all := files()
	if fd < all-kept(all) {
		return nil
	}
	unix.Close(fd)
	return Explain(unix.EMFILE)
}
