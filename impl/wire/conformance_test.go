package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

func TestMain(m *testing.M) {
	if os.Getenv(benchEnv) != "" {
		if err := serveBench(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// recorder is a Handler that hands everything to functions.
type recorder struct {
	deliver func(addr.NodeID, *Frame)
	onUp    func()
	up      chan addr.NodeID
	down    chan error
}

func newRecorder() *recorder {
	return &recorder{up: make(chan addr.NodeID, 64), down: make(chan error, 64)}
}

func (r *recorder) Up(p addr.NodeID) {
	if r.onUp != nil {
		r.onUp()
	}
	r.up <- p
}

func (r *recorder) Down(_ addr.NodeID, err error) { r.down <- err }

func (r *recorder) Deliver(p addr.NodeID, f *Frame) {
	if r.deliver != nil {
		r.deliver(p, f)
	}
}

// patience is far beyond what any of these tests waits for.
const patience = 60 * time.Second

// await receives, or fails the test.
func await[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("timeout: %s", what)
		panic("unreachable")
	}
}

// eventually looks again and again until a condition holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("timeout: %s", what)
		}
	}
}

// wrapped is framed TCP whose acceptors see no plain socket, as under TLS.
const wrapped = "wrapped"

// wrapper hides the sockets of a listener.
type wrapper struct{ net.Listener }

func (w wrapper) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return struct{ net.Conn }{c}, nil
}

// node is a mesh with its port.
type node struct {
	*Mesh
	h       *recorder
	ln      *Listener
	server  *grpc.Server
	wg      sync.WaitGroup
	refused chan error
	once    sync.Once
}

// setup is how the nodes of a test differ from the default.
type setup func(*Config)

func startNode(t testing.TB, transport string, id addr.NodeID, edit ...setup) *node {
	t.Helper()
	return startNodeAt(t, "127.0.0.1:0", transport, id, edit...)
}

func startNodeAt(t testing.TB, address, transport string, id addr.NodeID, edit ...setup) *node {
	t.Helper()
	ln, err := Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	return startNodeOn(t, ln, transport, id, edit...)
}

func startNodeOn(t testing.TB, ln *Listener, transport string, id addr.NodeID, edit ...setup) *node {
	t.Helper()
	n := &node{h: newRecorder(), refused: make(chan error, 1024)}
	cfg := Config{
		Self: id, Incarnation: 1, Cluster: "test", Token: []byte("secret"),
		Transport: transport, Handler: n.h, RepairTime: 10 * time.Second,
		Refused: func(_ string, err error) {
			select {
			case n.refused <- err:
			default:
			}
		},
	}
	for _, e := range edit {
		e(&cfg)
	}
	if transport == wrapped {
		cfg.Transport = TCP
	}
	var err error
	n.ln = ln
	cfg.Port = n.ln
	if n.Mesh, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	n.server = grpc.NewServer(n.ServerOptions()...)
	n.Register(n.server)
	n.wg.Add(2)
	go func() {
		defer n.wg.Done()
		ln := n.ln.Framed()
		if transport == wrapped {
			ln = wrapper{ln}
		}
		if err := n.Serve(ln); err != nil {
			t.Error(err)
		}
	}()
	go func() {
		defer n.wg.Done()
		_ = n.server.Serve(n.ln.HTTP2())
	}()
	t.Cleanup(n.close)
	return n
}

func (n *node) address() string { return n.ln.Addr().String() }

func (n *node) close() {
	n.once.Do(func() {
		_ = n.Mesh.Close()
		n.server.Stop()
		_ = n.ln.Close()
		n.wg.Wait()
	})
}

// connect begins the link of two nodes at both ends; address is where low is
// dialed.
func connect(t testing.TB, low, high *node, address string) (l, h *Link) {
	t.Helper()
	l, err := low.Connect(high.cfg.Self, high.address(), high.cfg.Incarnation)
	if err != nil {
		t.Fatal(err)
	}
	if h, err = high.Connect(low.cfg.Self, address, low.cfg.Incarnation); err != nil {
		t.Fatal(err)
	}
	return l, h
}

func pageMessage(n int) protocol.Message {
	return protocol.Message{Kind: protocol.Data, Page: addr.PageNum(n), Envelope: protocol.Envelope{Lamport: uint64(n)}}
}

// fillPage writes what a page with a number must hold.
func fillPage(b []byte, n int) {
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], uint64(n)<<16|uint64(i))
	}
}

// checker checks a numbered sequence of messages, pages and syncs.
type checker struct {
	t      testing.TB
	name   string
	next   int
	total  int
	page   []byte
	done   chan struct{}
	closed bool
}

func newChecker(t testing.TB, name string, total int) *checker {
	return &checker{t: t, name: name, total: total, page: make([]byte, addr.PageSize), done: make(chan struct{})}
}

func (c *checker) number(n uint64) {
	if int(n) != c.next {
		c.t.Errorf("%s: message %d, expected %d", c.name, n, c.next)
	}
	c.next = int(n) + 1
	if c.next == c.total && !c.closed {
		c.closed = true
		close(c.done)
	}
}

func (c *checker) deliver(_ addr.NodeID, f *Frame) {
	f.Each(func(m *protocol.Message, page []byte) {
		if carriesPage(m) {
			fillPage(c.page, int(m.Page))
			if !bytes.Equal(page, c.page) {
				c.t.Errorf("%s: page %d is not what was sent", c.name, m.Page)
			}
		} else if page != nil {
			c.t.Errorf("%s: message %d has a page", c.name, m.Lamport)
		}
		c.number(m.Lamport)
	}, func(s *protocol.Sync) { c.number(s.Lamport) })
}

// sendNumbered sends a numbered mix of everything.
func sendNumbered(l *Link, seed uint64, total int) {
	r := rand.New(rand.NewPCG(seed, 2))
	page := make([]byte, addr.PageSize)
	for n := range total {
		switch r.IntN(4) {
		case 0:
			l.Append(&protocol.Message{Kind: protocol.Req, Op: protocol.OpRead, Envelope: protocol.Envelope{Lamport: uint64(n)}}, nil)
		case 1:
			l.AppendSync(&protocol.Sync{Kind: 1, Envelope: protocol.Envelope{Lamport: uint64(n)}, Object: r.Uint64()})
		default:
			m := pageMessage(n)
			fillPage(page, n)
			l.Append(&m, page)
		}
		if r.IntN(6) == 0 {
			l.Flush()
		}
	}
	l.Flush()
}

func openDescriptors(t testing.TB) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// TestConformance is what every transport must do.
func TestConformance(t *testing.T) {
	for _, transport := range []string{TCP, GRPC, wrapped} {
		t.Run("transport="+transport, func(t *testing.T) {
			for _, c := range []struct {
				name string
				run  func(t *testing.T, transport string)
			}{
				{"breaks", testBreaks},
				{"late", testLate},
				{"saturated", testSaturated},
				{"requests", testRequests},
				{"flushers", testFlushers},
				{"acknowledged", testAcknowledged},
				{"idle", testIdle},
				{"beforeUp", testBeforeUp},
				{"token", testToken},
				{"cluster", testCluster},
				{"version", testVersion},
				{"node", testWrongNode},
				{"admit", testAdmit},
				{"foreign", testForeign},
				{"malformed", testMalformed},
				{"truncated", testTruncated},
				{"duplicate", testDuplicate},
				{"newDialer", testNewDialer},
				{"newAcceptor", testNewAcceptor},
				{"order", testOrder},
				{"silent", testSilent},
				{"gone", testGone},
				{"bye", testBye},
				{"fail", testFail},
				{"failStuck", testFailStuck},
				{"failApart", testFailApart},
				{"disconnect", testDisconnect},
				{"unreachable", testUnreachable},
			} {
				t.Run(c.name, func(t *testing.T) {
					before := openDescriptors(t)
					t.Run("run", func(t *testing.T) { c.run(t, transport) })
					if t.Failed() {
						return
					}
					eventually(t, "descriptors closed", func() bool { return openDescriptors(t) <= before })
					var left error
					for end := time.Now().Add(patience); time.Now().Before(end); {
						if left = goleak.Find(goleak.IgnoreTopFunction("testing.(*T).Run")); left == nil {
							return
						}
					}
					t.Error(left)
				})
			}
		})
	}
}

func testBreaks(t *testing.T, transport string) {
	const total = 4000 // 8 MiB: more than any connection lives
	for seed := uint64(1); seed <= 3; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			a, b := startNode(t, transport, 1), startNode(t, transport, 2)
			ca, cb := newChecker(t, "at 1", total), newChecker(t, "at 2", total)
			a.h.deliver, b.h.deliver = ca.deliver, cb.deliver
			p := newProxy(t, a.address())
			p.set(cutter(seed))
			la, lb := connect(t, a, b, p.address())
			go sendNumbered(la, seed, total)
			go sendNumbered(lb, seed+100, total)
			await(t, ca.done, "all at 1")
			await(t, cb.done, "all at 2")
			p.set(nil)
			t.Logf("breaks %d; 1: %+v; 2: %+v", p.breaks, la.Stats(), lb.Stats())
			if la.Stats().Connections < 2 {
				t.Error("no connection was broken")
			}
		})
	}
}

// traffic counts what two nodes say to each other.
type traffic struct {
	t        *testing.T
	a, b     *Link
	toA, toB atomic.Int64
	sent     int64
}

// newTraffic counts what is delivered at both nodes, in order. It is called
// before they are connected.
func newTraffic(t *testing.T, a, b *node) *traffic {
	x := &traffic{t: t}
	count := func(n *atomic.Int64) func(addr.NodeID, *Frame) {
		return func(_ addr.NodeID, f *Frame) {
			for i := range f.Messages {
				if got, want := f.Messages[i].Lamport, uint64(n.Add(1)); got != want {
					t.Errorf("message %d, expected %d", got, want)
				}
			}
		}
	}
	a.h.deliver, b.h.deliver = count(&x.toA), count(&x.toB)
	return x
}

// exchange sends some messages both ways and waits until they are acknowledged.
func (x *traffic) exchange() {
	x.t.Helper()
	for range 5 {
		x.sent++
		for _, l := range []*Link{x.a, x.b} {
			l.Append(&protocol.Message{Kind: protocol.Req, Envelope: protocol.Envelope{Lamport: uint64(x.sent)}}, nil)
			l.Flush()
		}
	}
	eventually(x.t, "everything delivered and acknowledged", func() bool {
		return x.toA.Load() == x.sent && x.toB.Load() == x.sent &&
			x.a.Stats().RetainedFrames == 0 && x.b.Stats().RetainedFrames == 0
	})
}

// testLate delivers the PROOF of an attempt that the dialer has given up, after
// the next one has connected and frames were exchanged and acknowledged on it:
// that attempt is sent away, and the connection stays.
func testLate(t *testing.T, transport string) {
	for _, when := range []string{"first", "repair"} {
		t.Run(when, func(t *testing.T) {
			a, b := startNode(t, transport, 1), startNode(t, transport, 2)
			p := newProxy(t, a.address())
			x := newTraffic(t, a, b)
			var d *delay
			if when == "first" {
				d = p.delay()
			}
			x.a, x.b = connect(t, a, b, p.address())
			if when == "repair" {
				x.exchange()
				d = p.delay()
				p.cut()
			}
			await(t, d.kept, "a proof on its way")
			x.exchange()
			connections := x.a.Stats().Connections
			close(d.deliver)
			select {
			case err := <-a.refused:
				if !errors.Is(err, ErrStale) {
					t.Fatal(err)
				}
			case err := <-a.h.down:
				t.Fatal(err)
			case <-time.After(patience):
				t.Fatal("timeout: the refusal")
			}
			x.exchange()
			if n := x.a.Stats().Connections; n != connections {
				t.Errorf("%d connections, there were %d", n, connections)
			}
			if len(a.h.down)+len(b.h.down) > 0 {
				t.Error("down")
			}
		})
	}
}

func narrow(c *Config) { c.SendBuffer, c.ReceiveBuffer, c.Window = 64<<10, 64<<10, 64<<10 }

func testSaturated(t *testing.T, transport string) {
	const total = 4000
	a, b := startNode(t, transport, 1, narrow), startNode(t, transport, 2, narrow)
	ca, cb := newChecker(t, "at 1", total), newChecker(t, "at 2", total)
	a.h.deliver, b.h.deliver = ca.deliver, cb.deliver
	la, lb := connect(t, a, b, a.address())
	go sendNumbered(la, 1, total)
	go sendNumbered(lb, 2, total)
	await(t, ca.done, "all at 1")
	await(t, cb.done, "all at 2")
}

// testRequests has both ends ask for more pages than any window holds, and
// answer from Deliver.
func testRequests(t *testing.T, transport string) {
	const total = 3000
	a, b := startNode(t, transport, 1, narrow), startNode(t, transport, 2, narrow)
	done := make(chan struct{}, 2)
	answer := func(n *node, peer addr.NodeID) func(addr.NodeID, *Frame) {
		got := 0
		page := make([]byte, addr.PageSize)
		return func(_ addr.NodeID, f *Frame) {
			l := n.Link(peer)
			for i := range f.Messages {
				m := &f.Messages[i]
				if m.Kind == protocol.Req {
					r := pageMessage(int(m.Page))
					l.Append(&r, page)
				} else if got++; got == total {
					done <- struct{}{}
				}
			}
			l.Flush()
		}
	}
	a.h.deliver, b.h.deliver = answer(a, 2), answer(b, 1)
	la, lb := connect(t, a, b, a.address())
	for i := range total {
		m := protocol.Message{Kind: protocol.Req, Op: protocol.OpRead, Page: addr.PageNum(i)}
		la.Append(&m, nil)
		la.Flush()
		lb.Append(&m, nil)
		lb.Flush()
	}
	await(t, done, "answers")
	await(t, done, "answers")
}

// testFlushers has many goroutines share a link; each one's messages stay in
// order.
func testFlushers(t *testing.T, transport string) {
	const senders, each = 8, 500
	a, b := startNode(t, transport, 1), startNode(t, transport, 2)
	next := make([]uint64, senders)
	left := senders * each
	done := make(chan struct{})
	a.h.deliver = func(_ addr.NodeID, f *Frame) {
		for i := range f.Messages {
			m := &f.Messages[i]
			if m.Lamport != next[m.Leaf] {
				t.Errorf("sender %d: message %d, expected %d", m.Leaf, m.Lamport, next[m.Leaf])
			}
			next[m.Leaf]++
			if left--; left == 0 {
				close(done)
			}
		}
	}
	_, lb := connect(t, a, b, a.address())
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			page := make([]byte, addr.PageSize)
			for i := range each {
				m := pageMessage(i)
				m.Leaf = addr.NodeID(s)
				lb.Append(&m, page)
				lb.Flush()
			}
		})
	}
	wg.Wait()
	await(t, done, "all messages")
}

// testAcknowledged says that nothing is retained for long, also where all
// messages go one way.
func testAcknowledged(t *testing.T, transport string) {
	a, b := startNode(t, transport, 1), startNode(t, transport, 2)
	_, lb := connect(t, a, b, a.address())
	sendNumbered(lb, 1, 500)
	eventually(t, "everything acknowledged", func() bool {
		s := lb.Stats()
		return s.RetainedFrames == 0 && s.RetainedBytes == 0 && s.MessagesOut == 500
	})
	select {
	case err := <-a.h.down:
		t.Fatal(err)
	case err := <-b.h.down:
		t.Fatal(err)
	default:
	}
}

// testIdle says that heartbeats keep an idle link: so many, each a sixth of the
// repair time after the last, that it has been idle for longer than silence may
// last.
func testIdle(t *testing.T, transport string) {
	quick := func(c *Config) { c.RepairTime = 2 * time.Second }
	a, b := startNode(t, transport, 1, quick), startNode(t, transport, 2, quick)
	la, lb := connect(t, a, b, a.address())
	eventually(t, "heartbeats", func() bool { return la.Stats().Controls >= 5 && lb.Stats().Controls >= 5 })
	if len(a.h.down)+len(b.h.down) > 0 {
		t.Error("down")
	}
}

// testBeforeUp sends before there is anybody.
func testBeforeUp(t *testing.T, transport string) {
	const total = 300
	a, b := startNode(t, transport, 1), startNode(t, transport, 2)
	c := newChecker(t, "at 2", total)
	b.h.deliver = c.deliver
	la, err := a.Connect(2, "", 1)
	if err != nil {
		t.Fatal(err)
	}
	sendNumbered(la, 1, total)
	if _, err := b.Connect(1, a.address(), 1); err != nil {
		t.Fatal(err)
	}
	await(t, c.done, "all messages")
	await(t, a.h.up, "up at 1")
	await(t, b.h.up, "up at 2")
}

// expectRefusal has b fail to connect to a, for a reason that both ends name.
func expectRefusal(t *testing.T, a, b *node, want error, words ...string) {
	t.Helper()
	if _, err := b.Connect(a.cfg.Self, a.address(), 1); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{await(t, b.h.down, "down at the dialer"), await(t, a.refused, "refusal at the acceptor")} {
		t.Log(err)
		if !errors.Is(err, want) {
			t.Errorf("%v, expected %v", err, want)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("more than a line: %q", err)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v does not name %s", err, w)
			}
		}
	}
	if len(a.h.up)+len(b.h.up) > 0 {
		t.Error("up")
	}
	if a.Link(b.cfg.Self) != nil || b.Link(a.cfg.Self) != nil {
		t.Error("a link is left")
	}
}

func testToken(t *testing.T, transport string) {
	a := startNode(t, transport, 1)
	b := startNode(t, transport, 2, func(c *Config) { c.Token = []byte("guess") })
	expectRefusal(t, a, b, ErrToken, "token", "node 1", "node 2")
}

func testCluster(t *testing.T, transport string) {
	a := startNode(t, transport, 1)
	b := startNode(t, transport, 2, func(c *Config) { c.Cluster = "other" })
	expectRefusal(t, a, b, ErrCluster, `"test"`, `"other"`)
}

func testVersion(t *testing.T, transport string) {
	a, b := startNode(t, transport, 1), startNode(t, transport, 2)
	b.version = version + 1
	expectRefusal(t, a, b, ErrVersion, fmt.Sprint("version ", version), fmt.Sprint("version ", version+1))
}

func testWrongNode(t *testing.T, transport string) {
	a, b := startNode(t, transport, 1), startNode(t, transport, 2)
	if _, err := b.Connect(0, a.address(), 1); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{await(t, b.h.down, "down"), await(t, a.refused, "refusal")} {
		if !errors.Is(err, ErrNode) {
			t.Errorf("%v, expected %v", err, ErrNode)
		}
	}
}

// testAdmit has a node try again until it is known.
func testAdmit(t *testing.T, transport string) {
	var known atomic.Bool
	a := startNode(t, transport, 1, func(c *Config) {
		c.Admit = func(addr.NodeID, addr.Incarnation) error {
			if known.Load() {
				return nil
			}
			return errors.New("no member")
		}
	})
	b := startNode(t, transport, 2)
	if _, err := b.Connect(1, a.address(), 1); err != nil {
		t.Fatal(err)
	}
	if err := await(t, a.refused, "refusal"); !errors.Is(err, ErrNotAdmitted) {
		t.Fatal(err)
	}
	known.Store(true)
	await(t, b.h.up, "up")
}

// testForeign says that strangers on the port disturb nobody.
func testForeign(t *testing.T, transport string) {
	const total = 500
	a, b := startNode(t, transport, 1), startNode(t, transport, 2)
	c := newChecker(t, "at 1", total)
	a.h.deliver = c.deliver
	for _, s := range []string{
		"GET / HTTP/1.1\r\n\r\n", "x", "MOME", "MOME\xff\xff\xff\xff", "MOME\x04\x00\x00\x00abcd",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	} {
		nc, err := net.Dial("tcp", a.address())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
		_ = nc.(*net.TCPConn).CloseWrite()
		defer nc.Close()
	}
	_, lb := connect(t, a, b, a.address())
	sendNumbered(lb, 1, total)
	await(t, c.done, "all messages")
	for range 2 { // those who only hang up are not refused
		t.Log(await(t, a.refused, "the stranger's refusal"))
	}
}

// testNewDialer and testNewAcceptor bring a new incarnation of one end.
func testNewDialer(t *testing.T, transport string) {
	a, b := startNode(t, transport, 1), startNode(t, transport, 2)
	connect(t, a, b, a.address())
	await(t, a.h.up, "up")
	await(t, b.h.up, "up")
	b2 := startNode(t, transport, 2, func(c *Config) { c.Incarnation = 2 })
	if _, err := b2.Connect(1, a.address(), 1); err != nil {
		t.Fatal(err)
	}
	if err := await(t, a.h.down, "down of the first"); !errors.Is(err, ErrIncarnation) {
		t.Error(err)
	}
	await(t, a.h.up, "up of the second")
	if got := a.Link(2).Incarnation(); got != 2 {
		t.Errorf("incarnation %d", got)
	}
	// The old one is told that it is over.
	if err := await(t, b.h.down, "down at the old one"); !errors.Is(err, ErrGone) && !errors.Is(err, ErrIncarnation) {
		t.Error(err)
	}
	if _, err := a.Connect(2, "", 1); !errors.Is(err, ErrGone) {
		t.Errorf("connect to the old one: %v", err)
	}
}

func testNewAcceptor(t *testing.T, transport string) {
	a, b := startNode(t, transport, 1), startNode(t, transport, 2)
	p := newProxy(t, a.address())
	connect(t, a, b, p.address())
	await(t, b.h.up, "up")
	a2 := startNode(t, transport, 1, func(c *Config) { c.Incarnation = 2 })
	p.silence()
	p.redirect(a2.address())
	p.heal()
	if err := await(t, b.h.down, "down"); !errors.Is(err, ErrIncarnation) {
		t.Error(err)
	}
	if _, err := b.Connect(1, a2.address(), 2); err != nil {
		t.Fatal(err)
	}
	await(t, b.h.up, "up again")
}

// testOrder keeps a former incarnation's reader in its handler: the next one is up
// after the Down of that, and not before (OrderInv).
func testOrder(t *testing.T, transport string) {
	a, b := startNode(t, transport, 1), startNode(t, transport, 2)
	delivers, release := make(chan struct{}), make(chan struct{})
	var former atomic.Bool
	a.h.deliver = func(addr.NodeID, *Frame) {
		former.Store(true)
		close(delivers)
		<-release
		former.Store(false)
	}
	ups := 0
	a.h.onUp = func() {
		if ups++; ups == 2 && (former.Load() || len(a.h.down) == 0) {
			t.Error("up while the former incarnation's link is not over")
		}
	}
	_, lb := connect(t, a, b, a.address())
	lb.Append(&protocol.Message{Kind: protocol.Req, Op: protocol.OpRead}, nil)
	lb.Flush()
	await(t, delivers, "a message of the former")
	b2 := startNode(t, transport, 2, func(c *Config) { c.Incarnation = 2 })
	if _, err := b2.Connect(1, a.address(), 1); err != nil {
		t.Fatal(err)
	}
	await(t, b2.h.up, "up at the new one")
	close(release)
	await(t, a.h.up, "up of the first")
	await(t, a.h.up, "up of the second")
	if err := await(t, a.h.down, "down of the first"); !errors.Is(err, ErrIncarnation) {
		t.Error(err)
	}
}

// brief has a node give up soon, but not before the link is up.
func brief(c *Config) { c.RepairTime, c.ConnectTime = time.Second, patience }

func testSilent(t *testing.T, transport string) {
	a, b := startNode(t, transport, 1, brief), startNode(t, transport, 2, brief)
	p := newProxy(t, a.address())
	connect(t, a, b, p.address())
	await(t, a.h.up, "up")
	await(t, b.h.up, "up")
	p.silence()
	for _, n := range []*node{a, b} {
		err := await(t, n.h.down, "down")
		t.Log(err)
		if !errors.Is(err, ErrSilent) {
			t.Error(err)
		}
	}
}

// testGone heals a partition after one end has given up: the other is told.
func testGone(t *testing.T, transport string) {
	a, b := startNode(t, transport, 1, brief), startNode(t, transport, 2)
	p := newProxy(t, a.address())
	connect(t, a, b, p.address())
	await(t, a.h.up, "up")
	p.silence()
	if err := await(t, a.h.down, "down"); !errors.Is(err, ErrSilent) {
		t.Error(err)
	}
	p.heal()
	if err := await(t, b.h.down, "down"); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
}

func testBye(t *testing.T, transport string) {
	for _, leaver := range []string{"low", "high"} {
		t.Run(leaver, func(t *testing.T) {
			const total = 200
			a, b := startNode(t, transport, 1), startNode(t, transport, 2)
			leaves, stays := a, b
			if leaver == "high" {
				leaves, stays = b, a
			}
			c := newChecker(t, "at the other", total)
			stays.h.deliver = c.deliver
			connect(t, a, b, a.address())
			await(t, a.h.up, "up")
			await(t, b.h.up, "up")
			l := leaves.Link(stays.cfg.Self)
			sendNumbered(l, 1, total)
			leaves.close()
			if err := await(t, stays.h.down, "down"); !errors.Is(err, ErrLeft) {
				t.Error(err)
			}
			await(t, c.done, "what was sent before the Bye")
			if len(leaves.h.down) > 0 {
				t.Error("down at the leaver")
			}
			if _, err := leaves.Connect(9, "", 1); !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		})
	}
}

func testDisconnect(t *testing.T, transport string) {
	a, b := startNode(t, transport, 1), startNode(t, transport, 2)
	la, _ := connect(t, a, b, a.address())
	await(t, a.h.up, "up")
	a.Disconnect(2)
	await(t, la.Done(), "the end of the link")
	if err := await(t, b.h.down, "down"); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
	la.Append(&protocol.Message{Kind: protocol.Req}, nil)
	la.Flush()
	if len(a.h.down) > 0 {
		t.Error("down at who disconnected")
	}
}

func testUnreachable(t *testing.T, transport string) {
	b := startNode(t, transport, 2, func(c *Config) { c.RepairTime, c.ConnectTime = time.Second, time.Second })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if _, err := b.Connect(1, ln.Addr().String(), 1); err != nil {
		t.Fatal(err)
	}
	err = await(t, b.h.down, "down")
	t.Log(err)
	if !errors.Is(err, ErrSilent) {
		t.Error(err)
	}
}
