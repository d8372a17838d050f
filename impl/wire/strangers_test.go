package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/wire/wirepb"
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

// A stranger that goes on speaking HTTP/2, and calls nothing, is hung up on.
func TestStrangersSayLittle(t *testing.T) {
	n := startNode(t, GRPC, 1)
	n.ln.strangers.set(maxStrangers, time.Hour) // what he says alone ends him
	c := visit(t, n, greetings["HTTP/2, whole"])
	_ = c.SetDeadline(time.Now().Add(patience))
	frame := make([]byte, 9+16<<10)
	frame[1], frame[3] = 16<<10>>8, 0xbb // of a type that nobody knows
	var err error
	for err == nil {
		_, err = c.Write(frame)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection is still open")
	}
}

// However many links somebody asks for on one connection, a node begins one.
func TestStrangersShakeHandsOnce(t *testing.T) {
	n := startNode(t, GRPC, 1)
	client, err := grpc.NewClient("passthrough:///"+n.address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const calls = 5
	results := make(chan error, calls)
	for range calls {
		s, err := wirepb.NewLinkClient(client).Frames(t.Context(), grpc.CallContentSubtype(codecName))
		if err != nil {
			t.Fatal(err)
		}
		go func() { results <- s.RecvMsg(new(incoming)) }()
	}
	for range calls - 1 {
		if err := await(t, results, "a refusal"); status.Code(err) != codes.ResourceExhausted {
			t.Error(err)
		}
	}
}
