package wire

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// short is a port of a process that has no descriptors for a while.
type short struct {
	net.Listener
	times int
}

func (s *short) Accept() (net.Conn, error) {
	if s.times > 0 {
		s.times--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: unix.EMFILE}
	}
	return s.Listener.Accept()
}

// Who connects while the process has no descriptors waits, and what is wrong is
// told once, and when it is over.
func TestAcceptWithoutDescriptors(t *testing.T) {
	root, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := NewListener(&short{root, 3})
	defer l.Close()
	told := make(chan error, 8)
	l.Trouble(func(err error) { told <- err })
	c, err := net.Dial("tcp", root.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(framedMagic)); err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Framed().Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted.Close()
	if err := <-told; !errors.Is(err, unix.EMFILE) {
		t.Errorf("told of %v", err)
	}
	if err := <-told; err != nil || len(told) > 0 {
		t.Errorf("then of %v, and %d times more", err, len(told))
	}
}
