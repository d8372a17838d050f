package wire

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawSocket is a TCP connection as a blocking file descriptor. Its reader
// sleeps in the kernel, on its own thread; its writers never sleep in sendmsg,
// the writer goroutine does in poll.
//
// The descriptor is closed only when nobody uses it any more (see pipe); shut
// wakes whoever sleeps.
type rawSocket struct {
	fd   int
	riov []unix.Iovec // the reader's
	wiov []unix.Iovec // whoever owns the batch
	msg  unix.Msghdr  // likewise

	mu     sync.Mutex // guards closed, so that shut never meets another's fd
	closed bool
}

// newRawSocket takes the descriptor out of the netpoller. It closes t, also on
// an error.
func newRawSocket(t *net.TCPConn, cfg *Config) (*rawSocket, error) {
	defer t.Close()
	s := &rawSocket{fd: -1}
	rc, err := t.SyscallConn()
	if err != nil {
		return nil, err
	}
	var dupErr error
	if err := rc.Control(func(fd uintptr) {
		s.fd, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, fmt.Errorf("dup of a link's socket: %w", dupErr)
	}
	err = unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err == nil && cfg.SendBuffer > 0 {
		err = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, cfg.SendBuffer)
	}
	if err == nil && cfg.ReceiveBuffer > 0 {
		err = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, cfg.ReceiveBuffer)
	}
	if err == nil {
		err = unix.SetNonblock(s.fd, false)
	}
	if err != nil {
		unix.Close(s.fd)
		return nil, fmt.Errorf("options of a link's socket: %w", err)
	}
	return s, nil
}

// appendIovecs appends the bytes of bufs from byte skip on.
func appendIovecs(iov []unix.Iovec, bufs [][]byte, skip int) []unix.Iovec {
	for _, b := range bufs {
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		v := unix.Iovec{Base: &b[skip]}
		v.SetLen(len(b) - skip)
		iov = append(iov, v)
		skip = 0
	}
	return iov
}

func (s *rawSocket) readv(bufs [][]byte) (int, error) {
	for {
		var n uintptr
		var errno unix.Errno
		if len(bufs) == 1 {
			n, _, errno = unix.Syscall(unix.SYS_READ, uintptr(s.fd),
				uintptr(unsafe.Pointer(unsafe.SliceData(bufs[0]))), uintptr(len(bufs[0])))
		} else {
			s.riov = appendIovecs(s.riov[:0], bufs, 0)
			n, _, errno = unix.Syscall(unix.SYS_READV, uintptr(s.fd),
				uintptr(unsafe.Pointer(unsafe.SliceData(s.riov))), uintptr(len(s.riov)))
		}
		runtime.KeepAlive(bufs)
		switch {
		case errno == unix.EINTR || errno == unix.EAGAIN:
			continue
		case errno != 0:
			return 0, os.NewSyscallError("read", errno)
		case n == 0:
			return 0, io.EOF
		}
		return int(n), nil
	}
}

func (s *rawSocket) trySend(bufs [][]byte, skip int) (int, error) {
	s.wiov = appendIovecs(s.wiov[:0], bufs, skip)
	s.msg = unix.Msghdr{Iov: unsafe.SliceData(s.wiov)}
	s.msg.SetIovlen(len(s.wiov))
	for {
		n, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(s.fd),
			uintptr(unsafe.Pointer(&s.msg)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		runtime.KeepAlive(bufs)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return 0, nil
		}
		return 0, os.NewSyscallError("sendmsg", errno)
	}
}

func (s *rawSocket) send(bufs [][]byte, skip int) (int, error) {
	n, err := s.trySend(bufs, skip)
	if n > 0 || err != nil {
		return n, err
	}
	poll := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}
	if _, err := unix.Poll(poll, -1); err != nil && err != unix.EINTR {
		return 0, os.NewSyscallError("poll", err)
	}
	return 0, nil
}

func (s *rawSocket) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		_ = unix.Shutdown(s.fd, unix.SHUT_RDWR)
	}
}

func (s *rawSocket) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	_ = unix.Close(s.fd)
}
