package node

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The socket is its owner's alone without a chmod, which would come too late.
func TestListenPrivate(t *testing.T) {
	defer unix.Umask(unix.Umask(0))
	path := filepath.Join(t.TempDir(), "s")
	l, err := listenPrivate(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("the socket has mode %v", info.Mode())
	}
}

// crowded is a listener that has no room for a while.
type crowded struct {
	net.Listener
	errs []error // of the next calls
}

func (l *crowded) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: err}
	}
	return l.Listener.Accept()
}

// Who asks for the status while the node has no room for a connection waits, and
// that is all: it ends neither the service nor the node.
func TestPatient(t *testing.T) {
	inner, err := listenPrivate(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	l := &patient{Listener: &crowded{inner, []error{unix.ENOMEM, unix.ENFILE, unix.ENOSPC}}, over: over}
	client, err := net.Dial("unix", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	close(over)
	l.Listener = &crowded{inner, []error{unix.ENOMEM}}
	if _, err := l.Accept(); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("over: %v", err)
	}
}
