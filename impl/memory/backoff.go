//go:build linux

package memory

import "golang.org/x/sys/unix"

// backoff paces the retries of an operation that the kernel refuses for now: it
// yields a few times, then sleeps from one microsecond up to one millisecond, and
// gives up after about a second. It does not allocate, and keeps the caller's OS
// thread.
type backoff struct{ tries int }

const (
	backoffYields = 16
	backoffTries  = 1000
)

// again pauses and says true where the kernel refused for now, because the
// application's mapping changes or for want of memory; false where it refused for
// good, or when it is time to give up.
func (b *backoff) again(errno unix.Errno) bool {
	switch errno {
	case unix.EAGAIN, unix.EINTR, unix.ENOMEM, unix.ENOSPC:
		return b.wait()
	}
	return false
}

func (b *backoff) wait() bool {
	b.tries++
	if b.tries > backoffTries {
		return false
	}
	if b.tries <= backoffYields {
		unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		return true
	}
	pause := unix.Timespec{Nsec: 1000 << min(b.tries-backoffYields, 10)}
	unix.Nanosleep(&pause, nil)
	return true
}
