//go:build linux

package memory

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// KillOnHangup makes the kernel kill this process, with SIGKILL, when the other
// end of a UNIX stream socket is closed. It is how an application fails loudly
// when its node is gone: its pages have nobody to answer for them, and no code
// of its own is certain to run. A goroutine that waits in copy for a page holds
// up the garbage collector, and with it every other goroutine.
//
// The socket must be silent: anything that arrives on it kills as well, and a
// read that waits on it keeps the signal from being sent. It stays the
// caller's, who keeps it open. The error wraps ErrHungUp if the other end was
// closed already.
func KillOnHangup(fd int) error {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETSIG, int(unix.SIGKILL)); err != nil {
		return fmt.Errorf("mome: memory: kill on hangup: F_SETSIG: %w", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETOWN, os.Getpid()); err != nil {
		return fmt.Errorf("mome: memory: kill on hangup: F_SETOWN: %w", err)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return fmt.Errorf("mome: memory: kill on hangup: F_GETFL: %w", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags|unix.O_ASYNC); err != nil {
		return fmt.Errorf("mome: memory: kill on hangup: F_SETFL: %w", err)
	}
	// A hangup from before is not announced any more.
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	for {
		_, err := unix.Poll(fds, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("mome: memory: kill on hangup: poll: %w", err)
		}
		break
	}
	if fds[0].Revents&(unix.POLLHUP|unix.POLLRDHUP) != 0 {
		return fmt.Errorf("mome: memory: kill on hangup: %w", ErrHungUp)
	}
	return nil
}
