package wire

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		name string
		edit setup
		ok   bool
	}{
		{"least", func(*Config) {}, true},
		{"no handler", func(c *Config) { c.Handler = nil }, false},
		{"no incarnation", func(c *Config) { c.Incarnation = 0 }, false},
		{"transport", func(c *Config) { c.Transport = "udp" }, false},
		{"window", func(c *Config) { c.Window = 1 }, false},
		{"cluster", func(c *Config) { c.Cluster = string(make([]byte, 256)) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Config{Incarnation: 1, Handler: newRecorder()}
			c.edit(&cfg)
			m, err := New(cfg)
			if (err == nil) != c.ok {
				t.Fatal(err)
			}
			if m != nil {
				_ = m.Close()
				_ = m.Close() // again is no harm
			}
		})
	}
}

func TestConnectRefuses(t *testing.T) {
	m := startNode(t, TCP, 3)
	for _, c := range []struct {
		peer        addr.NodeID
		incarnation addr.Incarnation
	}{{3, 1}, {2, 0}} {
		if _, err := m.Connect(c.peer, "", c.incarnation); err == nil {
			t.Errorf("%+v", c)
		}
	}
	l, err := m.Connect(4, "", 5)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := m.Connect(4, "", 5); again != l || err != nil {
		t.Error("the same incarnation has another link")
	}
	if _, err := m.Connect(4, "", 4); !errors.Is(err, ErrIncarnation) {
		t.Error(err)
	}
}

// TestTokenBeyondThisMachine says that nobody leaves the machine without one.
func TestTokenBeyondThisMachine(t *testing.T) {
	for _, c := range []struct {
		remote, token string
		ok            bool
	}{
		{"127.0.0.1:4", "", true},
		{"[::1]:4", "", true},
		{"[::ffff:127.0.0.1]:4", "", true},
		{"@", "", true},
		{"10.0.0.1:4", "", false},
		{"[fe80::1%eth0]:4", "", false},
		{"10.0.0.1:4", "x", true},
	} {
		m := &Mesh{cfg: Config{Token: []byte(c.token)}}
		if err := m.checkToken(c.remote); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrToken) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestAppendPanics(t *testing.T) {
	m := startNode(t, TCP, 1)
	l, err := m.Connect(2, "", 1)
	if err != nil {
		t.Fatal(err)
	}
	data := pageMessage(1)
	for name, f := range map[string]func(){
		"kind":          func() { l.Append(&protocol.Message{}, nil) },
		"right":         func() { l.Append(&protocol.Message{Kind: protocol.Req, Have: 9}, nil) },
		"page missing":  func() { l.Append(&data, nil) },
		"page short":    func() { l.Append(&data, make([]byte, 5)) },
		"page too many": func() { l.Append(&protocol.Message{Kind: protocol.Req}, make([]byte, addr.PageSize)) },
		"sync":          func() { l.AppendSync(&protocol.Sync{}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

// TestPersist: both ends of a connection try again soon where nothing arrives.
func TestPersist(t *testing.T) {
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err := dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer dialed.Close()
	if _, err := dialed.Write([]byte(framedMagic)); err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Framed().Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	for name, c := range map[string]net.Conn{"dialed": dialed, "accepted": accepted} {
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		set := 0
		if e := raw.Control(func(fd uintptr) {
			set, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_THIN_LINEAR_TIMEOUTS)
		}); e != nil || err != nil || set != 1 {
			t.Errorf("%s: %d, %v, %v", name, set, err, e)
		}
	}
}

// TestListenerCloses interrupts a connection that says nothing.
func TestListenerCloses(t *testing.T) {
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	done := make(chan struct{})
	go func() {
		_ = l.Close()
		close(done)
	}()
	await(t, done, "the listener's end")
	if _, err := l.Framed().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// idler answers only when its link's reader is about to sleep.
type idler struct {
	*recorder
	idle func(addr.NodeID)
}

func (i *idler) Idle(p addr.NodeID) { i.idle(p) }

func TestIdler(t *testing.T) {
	const total = 2000
	for _, transport := range []string{TCP, GRPC} {
		t.Run(transport, func(t *testing.T) {
			b := startNode(t, transport, 2)
			var a *node
			h := &idler{}
			h.idle = func(p addr.NodeID) { a.Link(p).Flush() }
			a = startNode(t, transport, 1, func(c *Config) {
				h.recorder = c.Handler.(*recorder)
				c.Handler = h
			})
			a.h.deliver = func(p addr.NodeID, f *Frame) {
				for i := range f.Messages {
					a.Link(p).Append(&protocol.Message{Kind: protocol.Grant, Envelope: protocol.Envelope{Lamport: f.Messages[i].Lamport}}, nil)
				}
			}
			c := newChecker(t, "at 2", total)
			b.h.deliver = c.deliver
			_, lb := connect(t, a, b, a.address())
			for i := range total {
				lb.Append(&protocol.Message{Kind: protocol.Req, Envelope: protocol.Envelope{Lamport: uint64(i)}}, nil)
				lb.Flush()
			}
			await(t, c.done, "all answers")
			t.Logf("%+v", a.Link(2).Stats())
		})
	}
}

// TestSteadyStateAllocates says that a link under way allocates nothing.
func TestSteadyStateAllocates(t *testing.T) {
	a, b := startNode(t, TCP, 1), startNode(t, TCP, 2)
	page := make([]byte, addr.PageSize)
	a.h.deliver = func(p addr.NodeID, f *Frame) {
		l := a.Link(p)
		l.Append(&f.Messages[0], page)
		l.Flush()
	}
	answered := make(chan struct{}, 1)
	b.h.deliver = func(addr.NodeID, *Frame) { answered <- struct{}{} }
	_, l := connect(t, a, b, a.address())
	await(t, b.h.up, "up")
	m := pageMessage(1)
	timeout := time.After(patience)
	if n := testing.AllocsPerRun(2000, func() {
		l.Append(&m, page)
		l.Flush()
		select {
		case <-answered:
		case <-timeout:
			t.Error("timeout")
		}
	}); n >= 1 {
		t.Errorf("%v allocations for a round trip", n)
	}
}
