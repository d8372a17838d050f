package wire

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/wire/wirepb"
)

// The transports.
const (
	TCP  = "tcp"  // framed TCP on raw blocking sockets
	GRPC = "grpc" // bidirectional gRPC streams
)

// Handler receives what the links of a Mesh bring. Up, Place, Deliver and Down
// of one link are called one after the other; different links call at the same
// time. No lock of this package is held meanwhile. A handler may call Append,
// AppendSync and Flush on any link, Connect and Link, but must not wait for a
// link's end or for Close.
type Handler interface {
	// Up says that a link is connected for the first time. It is called once,
	// before everything else of that link, on its reader goroutine.
	Up(peer addr.NodeID)

	// Place says where the page of a message goes, once its frame's header was
	// decoded and before its payload is read: at least addr.PageSize bytes,
	// straight in a mapping for instance, or nil for the link's own buffer.
	// Nobody may look at them before Deliver. A connection that breaks may leave
	// any part of them written; the frame then comes again, and Place is asked
	// again, or Down follows.
	Place(peer addr.NodeID, m *protocol.Message) []byte

	// Deliver hands over one frame, in order and exactly once, on the link's
	// reader goroutine. It must not block on sending (Append and Flush do not)
	// and must not retain the frame nor the link's own buffers.
	Deliver(peer addr.NodeID, f *Frame)

	// Down says that the link is over for good and why: ErrLeft, ErrSilent (the
	// peer did not come back within the repair time), ErrIncarnation, ErrGone,
	// ErrMalformed, ErrToken … It is called once, after everything else, also for
	// a link that never was up. It is not called for what Close or Disconnect
	// ended.
	Down(peer addr.NodeID, err error)
}

// Idler is a Handler that wants to know when a link's reader is about to sleep.
// Such a handler may leave the Flush of what Deliver appended to Idle, so that
// the answers to frames that came together travel together.
type Idler interface {
	Handler

	// Idle is called on the link's reader goroutine after at least one Deliver,
	// when no further whole frame is at hand.
	Idle(peer addr.NodeID)
}

// Config says what a Mesh is.
type Config struct {
	// Self and Incarnation name this node; the incarnation is not zero.
	Self        addr.NodeID
	Incarnation addr.Incarnation
	// Cluster names the cluster; at most 255 bytes.
	Cluster string
	// Token is the cluster's secret. It never travels. Without one, only
	// addresses of this machine are dialed and accepted.
	Token []byte
	// Transport is what this node dials with: TCP (the default) or GRPC. It
	// accepts both.
	Transport string
	// Handler receives everything. It is not nil.
	Handler Handler
	// Port, if not nil, is where the connections come from. It is told which of
	// them have proved to know the token.
	Port *Listener

	// RepairTime is how long a peer may be away before its link is Down. Nothing
	// heard for half of it breaks a connection. Default 3 s.
	RepairTime time.Duration
	// ConnectTime is the same for the first connection. Default 10 s, at least
	// RepairTime.
	ConnectTime time.Duration

	// SendBuffer and ReceiveBuffer are the socket buffers of framed TCP in bytes.
	// Zero: 4 MiB where the kernel permits that (net.core.wmem_max, rmem_max).
	// Negative, and where it does not: the kernel's own tuning.
	SendBuffer, ReceiveBuffer int
	// Window is the flow control window of a gRPC stream and of its connection
	// in bytes, at least 64 KiB. Zero: 16 MiB.
	Window int

	// Admit, if not nil, says whether a node that has proved to know the token
	// may link. It is asked for links that Connect has not announced. An error
	// sends the node away; it tries again until its own ConnectTime is over.
	Admit func(peer addr.NodeID, incarnation addr.Incarnation) error
	// Refused, if not nil, is told about connections that came to nothing: who,
	// and why, in one line.
	Refused func(remote string, err error)
}

// Mesh is the links of one node: at most one with each peer.
type Mesh struct {
	cfg     Config
	idler   Idler           // the handler, if it is one
	version uint32          // what it speaks; tests speak another
	ctx     context.Context // ended by Close
	cancel  context.CancelFunc
	wg      sync.WaitGroup // everything that Close waits for

	mu sync.Mutex
	// Guarded by mu.
	closed bool
	links  map[addr.NodeID]*Link
	gone   map[addr.NodeID]addr.Incarnation // the last one whose link is over
	conns  map[net.Conn]struct{}            // in their handshake
}

// New makes the links' end of a node. Nothing happens before Connect, Serve or
// Register.
func New(cfg Config) (*Mesh, error) {
	switch {
	case cfg.Handler == nil:
		return nil, errors.New("wire: a mesh without a handler")
	case cfg.Incarnation == 0:
		return nil, errors.New("wire: incarnation zero belongs to nobody")
	case len(cfg.Cluster) > maxCluster:
		return nil, fmt.Errorf("wire: a cluster's name has at most %d bytes", maxCluster)
	case cfg.Window != 0 && cfg.Window < 64<<10:
		return nil, fmt.Errorf("wire: a window of %d bytes; the least is 64 KiB", cfg.Window)
	}
	switch cfg.Transport {
	case "":
		cfg.Transport = TCP
	case TCP, GRPC:
	default:
		return nil, fmt.Errorf("wire: unknown transport %q; there are tcp and grpc", cfg.Transport)
	}
	if cfg.RepairTime == 0 {
		cfg.RepairTime = 3 * time.Second
	}
	if cfg.ConnectTime == 0 {
		cfg.ConnectTime = 10 * time.Second
	}
	cfg.ConnectTime = max(cfg.ConnectTime, cfg.RepairTime)
	if cfg.SendBuffer == 0 {
		cfg.SendBuffer = defaultBuffer("wmem_max")
	}
	if cfg.ReceiveBuffer == 0 {
		cfg.ReceiveBuffer = defaultBuffer("rmem_max")
	}
	if cfg.Window == 0 {
		cfg.Window = 16 << 20
	}
	m := &Mesh{
		cfg:     cfg,
		version: version,
		links:   make(map[addr.NodeID]*Link),
		gone:    make(map[addr.NodeID]addr.Incarnation),
		conns:   make(map[net.Conn]struct{}),
	}
	m.idler, _ = cfg.Handler.(Idler)
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.wg.Add(1)
	go m.tick()
	return m, nil
}

// Connect begins the link with an incarnation of a peer, or finds it. The node
// with the higher id dials address; the lower one waits to be dialed. The link
// takes messages at once and sends them when it is up. If it does not come up,
// Down says why. Connect does not block.
func (m *Mesh) Connect(peer addr.NodeID, address string, incarnation addr.Incarnation) (*Link, error) {
	if peer == m.cfg.Self {
		return nil, fmt.Errorf("wire: node %d has no link to itself", peer)
	}
	if incarnation == 0 {
		return nil, fmt.Errorf("wire: connect to node %d: incarnation zero belongs to nobody", peer)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	if gone := m.gone[peer]; incarnation <= gone {
		return nil, fmt.Errorf("%w: incarnation %d of node %d, after %d", ErrGone, incarnation, peer, gone)
	}
	old := m.links[peer]
	if old != nil {
		switch {
		case old.incarnation == incarnation:
			return old, nil
		case old.incarnation > incarnation:
			return nil, fmt.Errorf("%w: node %d is %d, not %d", ErrIncarnation, peer, old.incarnation, incarnation)
		}
	}
	return m.newLink(peer, address, incarnation, old), nil
}

// newLink makes a link and ends the one before it. Preconditions: m.mu is held.
func (m *Mesh) newLink(peer addr.NodeID, address string, incarnation addr.Incarnation, old *Link) *Link {
	self := m.cfg
	l := &Link{
		mesh: m, peer: peer, incarnation: incarnation, address: address,
		out:      ends{self.Self, self.Incarnation, peer, incarnation},
		in:       ends{peer, incarnation, self.Self, self.Incarnation},
		done:     make(chan struct{}),
		attached: make(chan *pipe, 1),
		after:    old,
	}
	l.ctx, l.cancel = context.WithCancel(m.ctx)
	if m.dials(peer) {
		var b [8]byte
		rand.Read(b[:]) // never fails
		l.session = binary.LittleEndian.Uint64(b[:]) | 1
	}
	if old != nil {
		old.halt(fmt.Errorf("%w: node %d is incarnation %d now, not %d", ErrIncarnation, peer, incarnation, old.incarnation))
	}
	m.links[peer] = l
	m.wg.Add(1)
	go l.supervise()
	return l
}

func (m *Mesh) dials(peer addr.NodeID) bool { return m.cfg.Self > peer }

// Link is the link with a peer, or nil. It may not be up yet.
func (m *Mesh) Link(peer addr.NodeID) *Link {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.links[peer]
}

// Disconnect ends the link with a peer at once, without Down, and without Bye:
// for a peer that was declared dead. Its incarnation cannot come back.
func (m *Mesh) Disconnect(peer addr.NodeID) {
	m.mu.Lock()
	l := m.links[peer]
	if l != nil {
		m.gone[peer] = max(m.gone[peer], l.incarnation)
	}
	m.mu.Unlock()
	if l != nil {
		l.halt(nil)
	}
}

// Serve accepts framed connections from Listener.Framed until it or the mesh is
// closed.
func (m *Mesh) Serve(framed net.Listener) error {
	for {
		c, err := framed.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("wire: accept: %w", err)
		}
		m.mu.Lock()
		if m.closed {
			m.mu.Unlock()
			c.Close()
			return nil
		}
		m.wg.Add(1)
		m.mu.Unlock()
		go func() {
			defer m.wg.Done()
			_ = m.Accept(c) // told to Refused
		}()
	}
}

// Accept makes a framed connection, whose magic was consumed, part of its link.
// It returns when the handshake is over, and owns the connection. Its error was
// told to Refused.
func (m *Mesh) Accept(c net.Conn) error {
	remote := c.RemoteAddr().String()
	err := m.accept(c, remote)
	if err != nil {
		m.refused(remote, err)
	}
	return err
}

func (m *Mesh) accept(c net.Conn, remote string) error {
	if !m.guard(c) {
		c.Close()
		return ErrClosed
	}
	kept := false
	local, far := c.LocalAddr(), c.RemoteAddr()
	defer func() {
		m.unguard(c)
		if !kept {
			c.Close()
		}
		m.trust(local, far)
	}()
	_ = c.SetDeadline(time.Now().Add(m.handshakeTime()))
	h := &handshake{m: m, s: messages{c}, remote: remote}
	return m.admit(h, TCP, func() (conn, error) {
		_ = c.SetDeadline(time.Time{})
		f, err := newFramed(c, &m.cfg)
		kept = err == nil
		return f, err
	})
}

// guard has Close close a connection that is in its handshake.
func (m *Mesh) guard(c net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.conns[c] = struct{}{}
	return true
}

func (m *Mesh) unguard(c net.Conn) {
	m.mu.Lock()
	delete(m.conns, c)
	m.mu.Unlock()
}

func (m *Mesh) refused(remote string, err error) {
	if m.cfg.Refused != nil && m.ctx.Err() == nil {
		m.cfg.Refused(remote, err)
	}
}

// trust tells the port about a connection that is a link's now, or closed.
func (m *Mesh) trust(local, remote net.Addr) {
	if m.cfg.Port != nil {
		m.cfg.Port.Trust(local, remote)
	}
}

// handshakeTime bounds one attempt, so that one that went nowhere leaves time
// for another.
func (m *Mesh) handshakeTime() time.Duration { return m.cfg.RepairTime / 2 }

// checkToken enforces that links without a token stay on this machine.
func (m *Mesh) checkToken(remote string) error {
	if len(m.cfg.Token) == 0 && !onThisMachine(remote) {
		return refuse(wirepb.Refusal_TOKEN, "node %d has no cluster token, and %s is another machine", m.cfg.Self, remote)
	}
	return nil
}

// admit runs the acceptor's handshake and attaches the connection that take
// makes of it to the dialer's link.
func (m *Mesh) admit(h *handshake, transport string, take func() (conn, error)) error {
	hello, err := h.acceptor(transport)
	if err != nil {
		return err
	}
	peer, inc := addr.NodeID(hello.Node), addr.Incarnation(hello.Incarnation)
	if old := m.Link(peer); (old == nil || old.incarnation < inc) && m.cfg.Admit != nil {
		if err := m.cfg.Admit(peer, inc); err != nil {
			r := refuse(wirepb.Refusal_NOT_ADMITTED, "incarnation %d of node %d at %s: %v", inc, peer, h.remote, err)
			return h.sendRefusal(r)
		}
	}
	l, err := m.linkFor(hello, h.remote)
	if err != nil {
		return h.sendRefusal(err)
	}
	l.attaching.Lock()
	defer l.attaching.Unlock()
	l.mu.Lock()
	switch {
	case l.final || l.halted:
		err = refuse(wirepb.Refusal_GONE, "incarnation %d of node %d at %s, whose link is over", inc, peer, h.remote)
	case l.session == hello.Session:
	case !l.up && !hello.Resume:
		l.session = hello.Session
	default:
		err = refuse(wirepb.Refusal_GONE, "incarnation %d of node %d at %s resumes another session", inc, peer, h.remote)
	}
	l.mu.Unlock()
	if err != nil {
		// One end has forgotten what the other remembers: messages are lost.
		l.halt(err)
		return h.sendRefusal(err)
	}
	l.detach()
	if err := h.welcome(l.received.Load()); err != nil {
		return err
	}
	c, err := take()
	if err != nil {
		return err
	}
	if err := l.attach(c, hello.LastReceived); err != nil {
		c.close()
		if errors.Is(err, ErrMalformed) {
			l.halt(err)
		}
		return err
	}
	return nil
}

// linkFor finds or makes the link that a dialer asks for.
func (m *Mesh) linkFor(hello *wirepb.Handshake, remote string) (*Link, error) {
	peer, inc := addr.NodeID(hello.Node), addr.Incarnation(hello.Incarnation)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, refuse(wirepb.Refusal_CLOSING, "node %d at %s comes while node %d closes", peer, remote, m.cfg.Self)
	}
	if inc <= m.gone[peer] {
		return nil, refuse(wirepb.Refusal_GONE, "incarnation %d of node %d at %s is over", inc, peer, remote)
	}
	l := m.links[peer]
	switch {
	case l != nil && inc < l.incarnation:
		return nil, refuse(wirepb.Refusal_INCARNATION, "node %d at %s is incarnation %d, but %d is known", peer, remote, inc, l.incarnation)
	case l == nil || inc > l.incarnation:
		if hello.Resume {
			return nil, refuse(wirepb.Refusal_GONE, "incarnation %d of node %d at %s resumes a session that nobody knows", inc, peer, remote)
		}
		l = m.newLink(peer, "", inc, l)
	}
	return l, nil
}

// supervise keeps a link connected until it is over.
func (l *Link) supervise() {
	defer l.mesh.wg.Done()
	defer close(l.done)
	if l.after != nil {
		<-l.after.done
		l.after = nil
	}
	l.conclude(l.keep())
}

// keep returns why the link is over.
func (l *Link) keep() error {
	m := l.mesh
	deadline := time.Now().Add(m.cfg.ConnectTime)
	patience := m.cfg.ConnectTime
	last := errors.New("no connection")
	for {
		var p *pipe
		if m.dials(l.peer) {
			if err := l.dialUntil(deadline, &last); err != nil {
				return err
			}
		}
		wait := time.NewTimer(time.Until(deadline))
		select {
		case p = <-l.attached:
			wait.Stop()
		case <-wait.C:
			return l.silent(patience, last)
		case <-l.ctx.Done():
			wait.Stop()
			return l.reason()
		}
		select {
		case <-p.quit:
		case <-l.ctx.Done():
			p.c.shut()
			<-p.quit
			return l.reason()
		}
		if l.closing.Load() {
			return nil
		}
		if p.err != nil && isFinal(p.err) {
			return fmt.Errorf("node %d at %s: %w", l.peer, p.c.remote(), p.err)
		}
		last, patience = p.err, m.cfg.RepairTime
		deadline = time.Now().Add(patience)
		if heard := p.silent.Load(); heard != nil {
			last = errors.New("nothing heard")
			deadline = heard.Add(patience)
		}
	}
}

func (l *Link) silent(patience time.Duration, last error) error {
	return fmt.Errorf("%w: node %d, within %v: %v", ErrSilent, l.peer, patience, last)
}

// isFinal says whether a connection's end is the link's.
func isFinal(err error) bool {
	return errors.Is(err, ErrLeft) || errors.Is(err, ErrMalformed)
}

// reason is why the link was halted.
func (l *Link) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.haltErr
}

// Back-off between two attempts to dial.
const (
	minBackoff = 5 * time.Millisecond
	maxBackoff = 500 * time.Millisecond
)

// dialUntil dials until the link has a connection. An error is final; it is nil
// at the deadline too, and when the link was halted.
func (l *Link) dialUntil(deadline time.Time, last *error) error {
	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		by := time.Now().Add(l.mesh.handshakeTime())
		if deadline.Before(by) {
			by = deadline
		}
		ctx, cancel := context.WithDeadline(l.ctx, by)
		err := l.dialOnce(ctx)
		cancel()
		if err == nil {
			return nil
		}
		var r *refusal
		switch {
		case l.ctx.Err() != nil:
			return nil
		case errors.As(err, &r) && !r.later:
			return err
		case errors.Is(err, ErrMalformed):
			return err
		}
		*last = err
		wait := time.NewTimer(min(backoff, time.Until(deadline)))
		select {
		case <-wait.C:
		case <-l.ctx.Done():
			wait.Stop()
			return nil
		}
		if !time.Now().Before(deadline) {
			return nil
		}
	}
}

// dialOnce makes one attempt.
func (l *Link) dialOnce(ctx context.Context) error {
	l.attaching.Lock()
	defer l.attaching.Unlock()
	if l.mesh.cfg.Transport == GRPC {
		return l.dialStream(ctx)
	}
	return l.dialFramed(ctx)
}

func (l *Link) dialFramed(ctx context.Context) error {
	m := l.mesh
	nc, err := dial(ctx, l.address)
	if err != nil {
		return err
	}
	// The context's end interrupts the handshake.
	unhook := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	h := &handshake{m: m, s: messages{nc}, remote: nc.RemoteAddr().String()}
	received, err := func() (uint64, error) {
		if err := m.checkToken(h.remote); err != nil {
			return 0, err
		}
		if _, err := nc.Write([]byte(framedMagic)); err != nil {
			return 0, err
		}
		return h.dialer(l)
	}()
	if !unhook() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		nc.Close()
		return err
	}
	c, err := newFramed(nc, &m.cfg)
	if err != nil {
		return err
	}
	if err := l.attach(c, received); err != nil {
		c.close()
		return err
	}
	return nil
}

// conclude ends the link for good and tells the handler, unless err is nil.
func (l *Link) conclude(err error) {
	m := l.mesh
	l.halt(err)
	l.attaching.Lock()
	l.mu.Lock()
	l.final = true
	up := l.up
	l.mu.Unlock()
	// Nothing attaches any more. A connection may have come at the last moment.
	l.detach()
	select {
	case <-l.attached:
	default:
	}
	l.attaching.Unlock()
	l.mu.Lock()
	l.open, l.queue, l.freeFrames, l.freePages, l.retained = nil, queue{}, nil, nil, 0
	l.mu.Unlock()
	m.mu.Lock()
	if m.links[l.peer] == l {
		delete(m.links, l.peer)
	}
	if up && m.gone[l.peer] < l.incarnation {
		m.gone[l.peer] = l.incarnation
	}
	m.mu.Unlock()
	if err != nil {
		m.cfg.Handler.Down(l.peer, err)
	}
}

// lingerTime bounds how long Close waits for what is under way to go out. Only a
// peer that does not read makes it wait so long.
const lingerTime = 5 * time.Second

// Close says Bye on every link, behind all that was appended, and ends them. It
// waits until everything of the mesh has ended. Down is not called.
func (m *Mesh) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		m.wg.Wait()
		return nil
	}
	m.closed = true
	for c := range m.conns {
		c.Close()
	}
	links := make([]*Link, 0, len(m.links))
	for _, l := range m.links {
		links = append(links, l)
	}
	m.mu.Unlock()
	for _, l := range links {
		l.bye()
	}
	linger := time.NewTimer(min(m.cfg.RepairTime, lingerTime))
	defer linger.Stop()
wait:
	for _, l := range links {
		select {
		case <-l.done:
		case <-linger.C:
			break wait
		}
	}
	for _, l := range links {
		l.halt(nil)
	}
	m.cancel()
	m.wg.Wait()
	return nil
}

// bye queues the Bye, or ends a link that has no connection.
func (l *Link) bye() {
	l.mu.Lock()
	l.closing.Store(true)
	connected := l.cur != nil
	l.mu.Unlock()
	if !connected {
		l.halt(nil)
		return
	}
	l.Flush()
}

// tick looks after all links: heartbeats, acknowledgements, silence.
func (m *Mesh) tick() {
	defer m.wg.Done()
	every := min(max(m.cfg.RepairTime/12, 2*time.Millisecond), 250*time.Millisecond)
	t := time.NewTicker(every)
	defer t.Stop()
	before := time.Now()
	var links []*Link
	for {
		select {
		case <-t.C:
		case <-m.ctx.Done():
			return
		}
		now := time.Now()
		// A process that was stopped has heard nothing, but that is its own doing.
		slept := now.Sub(before) > m.cfg.RepairTime/4
		before = now
		links = links[:0]
		m.mu.Lock()
		for _, l := range m.links {
			links = append(links, l)
		}
		m.mu.Unlock()
		for _, l := range links {
			l.tick(now, slept)
		}
		clear(links)
	}
}

func (l *Link) tick(now time.Time, slept bool) {
	l.mu.Lock()
	p := l.cur
	l.mu.Unlock()
	if p == nil {
		return
	}
	repair := l.mesh.cfg.RepairTime
	if in := p.bytesIn.Load(); in != p.seenIn || slept || p.inHandler.Load() {
		p.seenIn, p.heardAt = in, now
	} else if now.Sub(p.heardAt) >= repair/2 {
		heard := p.heardAt
		p.silent.CompareAndSwap(nil, &heard)
		p.c.shut()
		return
	}
	unacked := l.received.Load() != l.ackSent.Load()
	if out := p.bytesOut.Load(); out != p.seenOut {
		p.seenOut, p.sentAt = out, now
	}
	if now.Sub(p.sentAt) >= repair/6 || unacked && p.ackPending {
		l.acknowledge()
	}
	p.ackPending = unacked
}
