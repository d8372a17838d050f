package client

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/mome-dsm/mome/internal/limits"
	"golang.org/x/sys/unix"
)

// socket is one end of a SOCK_SEQPACKET connection, as a blocking descriptor
// out of the netpoller's hands: who reads sleeps in the kernel and is woken by
// the packet itself, not by another thread that was woken first.
//
// It owns the descriptor of the connection, and those it received until read
// returns them.
type socket struct {
	fd int

	in, oob []byte // of read, which has one caller at a time

	mu     sync.Mutex // guards what follows
	users  int        // calls that use fd
	closed bool       // fd is closed as soon as nobody uses it
}

// newSocket takes a connection over: the caller closes conn, which is not the
// last one of it unless newSocket fails.
func newSocket(conn *net.UnixConn) (*socket, error) {
	s := &socket{
		// One byte more than a packet may have, to see a longer one.
		in:  make([]byte, MaxPacket+1),
		oob: make([]byte, unix.CmsgSpace(4*maxFds)),
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	if e := raw.Control(func(fd uintptr) { s.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); e != nil {
		return nil, e
	}
	if err == nil {
		err = limits.Spare(s.fd)
	}
	if err != nil {
		return nil, fmt.Errorf("dup of an attach socket: %w", err)
	}
	// Of both descriptors: the mode belongs to what they share.
	if err := unix.SetNonblock(s.fd, false); err != nil {
		unix.Close(s.fd)
		return nil, fmt.Errorf("mode of an attach socket: %w", err)
	}
	return s, nil
}

// setReadTime bounds how long a read may sleep, before it returns unix.EAGAIN.
// Zero is no bound.
func (s *socket) setReadTime(d time.Duration) error {
	if !s.enter() {
		return net.ErrClosed
	}
	defer s.leave()
	tv := unix.NsecToTimeval(int64(d))
	if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return fmt.Errorf("time of an attach socket: %w", err)
	}
	return nil
}

// enter keeps the descriptor open until leave; false once close was called.
func (s *socket) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.users++
	}
	return !s.closed
}

func (s *socket) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users == 0 && s.closed {
		unix.Close(s.fd)
	}
}

// close hangs up. It may be called again, and from any goroutine: reads and
// writes that sleep end.
func (s *socket) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	_ = unix.Shutdown(s.fd, unix.SHUT_RDWR) // the peer may be gone already
	if s.users == 0 {
		unix.Close(s.fd)
	}
}

// read returns the next packet, valid until the next call, and its descriptors,
// which the caller owns. Where this process had no room for one of them, lost says
// so, and there are none. A hang-up is io.EOF; a packet that breaks the rules of
// the transport wraps ErrMalformed. With unix.MSG_DONTWAIT among the flags it
// returns unix.EAGAIN where it would sleep, and so it does after the time of
// setReadTime.
func (s *socket) read(flags int) (packet []byte, fds []int, lost, err error) {
	if !s.enter() {
		return nil, nil, nil, net.ErrClosed
	}
	defer s.leave()
	n, oobn, got, err := s.receive(flags)
	if err == unix.ECONNRESET {
		// The peer hung up without reading everything. What it had sent before
		// that is still in the queue, behind the error.
		n, oobn, got, err = s.receive(flags)
	}
	if err != nil {
		if err == unix.ECONNRESET {
			err = io.EOF
		}
		return nil, nil, nil, err
	}
	fds, err = descriptors(s.oob[:oobn])
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %w", ErrMalformed, err)
	case got&unix.MSG_CTRUNC != 0 && len(fds) == maxFds:
		err = fmt.Errorf("%w: more than %d descriptors in a packet", ErrMalformed, maxFds)
	case got&unix.MSG_CTRUNC != 0:
		closeAll(fds)
		fds, lost = nil, s.noDescriptor()
	case got&unix.MSG_TRUNC != 0 || n > MaxPacket:
		err = fmt.Errorf("%w: a packet above %d bytes", ErrMalformed, MaxPacket)
	case n == 0:
		err = io.EOF
	}
	if err != nil {
		closeAll(fds)
		return nil, nil, nil, err
	}
	return s.in[:n], fds, lost, nil
}

// noDescriptor is why the kernel could not give this process a descriptor, which
// it does not say itself.
func (s *socket) noDescriptor() error {
	fd, err := unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd) // there is one again
		err = unix.EMFILE
	}
	return limits.Explain(err)
}

// shortagePause is how long a packet waits before the kernel, which had no memory
// for it, is asked again.
const shortagePause = time.Millisecond

func (s *socket) receive(flags int) (n, oobn, got int, err error) {
	for {
		n, oobn, got, _, err = unix.Recvmsg(s.fd, s.in, s.oob, flags|unix.MSG_CMSG_CLOEXEC)
		switch err {
		case unix.EINTR:
		case unix.ENOMEM, unix.ENOBUFS: // the packet stays in the queue
			time.Sleep(shortagePause)
		default:
			return n, oobn, got, err
		}
	}
}

// write sends one packet with descriptors, which stay the caller's. Packets of
// several goroutines do not mix: the kernel takes each as a whole. With
// unix.MSG_DONTWAIT among the flags it returns unix.EAGAIN where it would sleep.
func (s *socket) write(packet []byte, fds []int, flags int) error {
	if !s.enter() {
		return net.ErrClosed
	}
	defer s.leave()
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	defer runtime.KeepAlive(fds)
	for {
		_, err := unix.SendmsgN(s.fd, packet, oob, nil, flags|unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return err
		}
	}
}

func descriptors(oob []byte) ([]int, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var fds []int
	for i := range messages {
		got, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			closeAll(fds)
			return nil, err
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// closedErr says whether a read or write failed because the peer hung up.
func closedErr(err error) bool {
	return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET)
}
