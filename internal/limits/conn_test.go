package limits

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// narrow takes a byte of each write, as long as it is open.
type narrow struct {
	net.Conn
	got  []byte
	left int // bytes that it takes before it is closed
}

func (c *narrow) Write(b []byte) (int, error) {
	if c.left == 0 {
		return 0, &net.OpError{Op: "write", Net: "unix", Err: net.ErrClosed}
	}
	c.left--
	c.got = append(c.got, b[0])
	if len(b) == 1 {
		return 1, nil
	}
	errno := [...]unix.Errno{unix.ENOBUFS, unix.ENOMEM}[c.left%2]
	return 1, &net.OpError{Op: "write", Net: "unix", Err: errno}
}

// A write goes on where the kernel had no memory, after what it has taken, and
// ends with the connection.
func TestConn(t *testing.T) {
	inner := &narrow{left: 7}
	if n, err := (Conn{inner}).Write([]byte("written")); n != 7 || err != nil || string(inner.got) != "written" {
		t.Errorf("%d, %v: %q", n, err, inner.got)
	}
	inner = &narrow{left: 3}
	if n, err := (Conn{inner}).Write([]byte("written")); n != 3 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("%d, %v: %q", n, err, inner.got)
	}
}
