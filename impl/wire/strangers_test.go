package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// greetings are what a stranger may begin with, and leave it at that.
var greetings = map[string]string{
	"silence":       "",
	"framed TCP":    framedMagic,
	"half a hello":  framedMagic + "\x10\x00\x00\x00\x01",
	"HTTP/2":        http2Magic,
	"HTTP/2, whole": http2Magic + "* HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
}

// visit is a connection that greets and then holds on.
func visit(t *testing.T, n *node, greeting string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", n.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, greeting); err != nil {
		t.Fatal(err)
	}
	return c
}

// hungUp waits until the other end of the connection has closed it.
func hungUp(t *testing.T, c net.Conn, what string) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%s: the connection is still open", what)
	}
}

// count is how many strangers there are.
func (s *strangers) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.list)
}

// set says how many strangers there may be, and for how long.
func (s *strangers) set(most int, patience time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most, s.patience = most, patience
}

// However many connections somebody opens and holds, a node keeps no more of
// them than it may, and others can link with it.
func TestStrangersAreFew(t *testing.T) {
	for _, transport := range []string{TCP, GRPC} {
		t.Run(transport, func(t *testing.T) {
			low, high := startNode(t, transport, 1), startNode(t, transport, 2)
			const most = 32
			low.ln.strangers.set(most, time.Hour) // number alone ends them
			delivered := make(chan struct{}, 1)
			high.h.deliver = func(addr.NodeID, *Frame) { delivered <- struct{}{} }
			for name, greeting := range greetings {
				oldest := visit(t, low, greeting)
				for range most {
					visit(t, low, greeting)
				}
				hungUp(t, oldest, name)
			}
			if n := low.ln.strangers.count(); n > most {
				t.Errorf("%d strangers at a time", n)
			}
			link, _ := connect(t, low, high, low.address())
			await(t, low.h.up, "the link")
			await(t, high.h.up, "the link")
			// Who is linked is no stranger, however many come after.
			next := visit(t, low, framedMagic)
			for range most {
				visit(t, low, framedMagic)
			}
			hungUp(t, next, "the first stranger after the link")
			link.Append(&protocol.Message{Kind: protocol.Req}, nil)
			link.Flush()
			await(t, delivered, "a message")
			if s := link.Stats(); s.Connections != 1 {
				t.Errorf("%d connections", s.Connections)
			}
		})
	}
}

// A stranger that proves nothing is hung up on in time, whatever it began with.
func TestStrangersGo(t *testing.T) {
	n := startNode(t, TCP, 1)
	n.ln.strangers.set(maxStrangers, time.Millisecond)
	for name, greeting := range greetings {
		hungUp(t, visit(t, n, greeting), name)
	}
	eventually(t, "nobody is left", func() bool { return n.ln.strangers.count() == 0 })
}

// As long as nobody accepts what a port has sorted, a stranger takes goroutines
// only while it may stay: whether its own end is open still or not.
func TestStrangersWaitInVain(t *testing.T) {
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before := runtime.NumGoroutine()
	const most = 4
	l.strangers.set(most, time.Hour)
	n := &node{ln: l}
	for range 20 * most {
		visit(t, n, framedMagic).Close()
		visit(t, n, http2Magic)
	}
	eventually(t, "only those that may stay take goroutines", func() bool {
		return l.strangers.count() == most && runtime.NumGoroutine() <= before+2*most
	})
	l.strangers.set(most, time.Millisecond)
	for range most {
		visit(t, n, framedMagic)
	}
	eventually(t, "nobody takes a goroutine", func() bool {
		return l.strangers.count() == 0 && runtime.NumGoroutine() <= before
	})
}
