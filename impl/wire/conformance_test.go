package wire

import (
	"fmt"
	"testing"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// recorder is a Handler that hands everything to functions.
type recorder struct {
	place   func(addr.NodeID, *protocol.Message) []byte
	deliver func(addr.NodeID, *Frame)
	up      chan addr.NodeID
	down    chan error
}

func newRecorder() *recorder {
	return &recorder{up: make(chan addr.NodeID, 64), down: make(chan error, 64)}
}

func (r *recorder) Up(p addr.NodeID)            { r.up <- p }
func (r *recorder) Down(p addr.NodeID, e error) { r.down <- e }
func (r *recorder) Place(p addr.NodeID, m *protocol.Message) []byte {
	if r.place != nil {
		return r.place(p, m)
	}
	return nil
}
func (r *recorder) Deliver(p addr.NodeID, f *Frame) {
	if r.deliver != nil {
		r.deliver(p, f)
	}
}

// await receives, or fails the test.
func await[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("timeout: %s", what)
		panic("unreachable")
	}
}

func TestFirst(t *testing.T) {
	h0, h1 := newRecorder(), newRecorder()
	got := make(chan string, 1000)
	h0.deliver = func(p addr.NodeID, f *Frame) {
		for i := range f.Messages {
			got <- fmt.Sprint(f.Messages[i].Lamport, len(f.Pages[i]))
		}
	}
	m0, err := New(Config{Self: 0, Incarnation: 1, Cluster: "c", Handler: h0})
	if err != nil {
		t.Fatal(err)
	}
	m1, err := New(Config{Self: 1, Incarnation: 1, Cluster: "c", Handler: h1})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go m0.Serve(ln.Framed())
	l, err := m1.Connect(0, ln.Addr().String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 600 {
		m := protocol.Message{Kind: protocol.Data, Data: protocol.PageData, Lamport: uint64(i)}
		l.Append(&m, make([]byte, 4096))
	}
	l.Flush()
	for i := range 600 {
		if s := await(t, got, "message"); s != fmt.Sprint(i, 4096) {
			t.Fatal(i, s)
		}
	}
	await(t, h0.up, "up")
	m1.Close()
	t.Log(await(t, h0.down, "down"))
	m0.Close()
	ln.Close()
}
