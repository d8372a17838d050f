package client

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// socket is one end of a SOCK_SEQPACKET connection. It owns the descriptor of
// the connection, and those it received until read returns them.
type socket struct {
	conn *net.UnixConn

	mu sync.Mutex // one packet at a time on the way out

	in, oob []byte // of read, which has one caller at a time
}

func newSocket(conn *net.UnixConn) *socket {
	return &socket{
		conn: conn,
		// One byte more than a packet may have, to see a longer one.
		in:  make([]byte, MaxPacket+1),
		oob: make([]byte, unix.CmsgSpace(4*maxFds)),
	}
}

// read returns the next packet, valid until the next call, and its descriptors,
// which the caller owns. A hang-up is io.EOF; a packet that breaks the rules of
// the transport wraps ErrMalformed.
func (s *socket) read() ([]byte, []int, error) {
	n, oobn, flags, _, err := s.conn.ReadMsgUnix(s.in, s.oob)
	if errors.Is(err, unix.ECONNRESET) {
		// The peer hung up without reading everything. What it had sent before
		// that is still in the queue, behind the error.
		n, oobn, flags, _, err = s.conn.ReadMsgUnix(s.in, s.oob)
	}
	if err != nil {
		if errors.Is(err, unix.ECONNRESET) || errors.Is(err, io.EOF) {
			err = io.EOF // without the wrapping
		}
		return nil, nil, err
	}
	fds, err := descriptors(s.oob[:oobn])
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %w", ErrMalformed, err)
	case flags&unix.MSG_CTRUNC != 0:
		err = fmt.Errorf("%w: more than %d descriptors in a packet, or no room for them in this process", ErrMalformed, maxFds)
	case flags&unix.MSG_TRUNC != 0 || n > MaxPacket:
		err = fmt.Errorf("%w: a packet above %d bytes", ErrMalformed, MaxPacket)
	case n == 0:
		err = io.EOF
	}
	if err != nil {
		closeAll(fds)
		return nil, nil, err
	}
	return s.in[:n], fds, nil
}

// write sends one packet with descriptors, which stay the caller's.
func (s *socket) write(packet []byte, fds []int) error {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _, err := s.conn.WriteMsgUnix(packet, oob, nil)
	runtime.KeepAlive(fds)
	return err
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
