package wire

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
)

// The transports.
const (
	TCP  = "tcp"  // framed TCP on raw blocking sockets
	GRPC = "grpc" // bidirectional gRPC streams
)

// Handler receives what the links of a Mesh bring. Up, Deliver and Down of
// one link are called one after the other; different links call at the same
// time. No lock of this package is held meanwhile. A handler may call Append,
// AppendSync and Flush on any link, Connect and Link, but must not wait for a
// link's end or for Close.
type Handler interface {
	// Up says that a link is connected for the first time. It is called once,
	// before everything else of that link, on its reader goroutine; and after the
	// Down of the link with a former incarnation, if there was one.
	Up(peer addr.NodeID)

	// Deliver hands over one frame, in order and exactly once, on the link's
	// reader goroutine. It must not block on sending (Append and Flush do not)
	// and must not retain the frame nor its pages, which are the link's.
	Deliver(peer addr.NodeID, f *Frame)

	// Down says that the link is over for good and why: ErrLeft, ErrSilent (the
	// peer did not come back within the repair time), ErrIncarnation, ErrGone,
	// ErrMalformed, ErrToken … It is called once, after everything else, also for
	// a link that never was up. A *PeerFailure is the peer's own word that it has
	// failed. Down is not called for what Close, Fail or Disconnect ended.
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

	// RepairTime is how long nothing may be heard of a peer, on whatever
	// connection, before its link is Down. All nodes have the same: how often an
	// idle link says something follows from it. Default 3 s.
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
	// Away, if not nil, is told when a peer whose link is up was silent for long:
	// how long by then, and how long it has left to come back. Back is told when it
	// is heard again: how long it was silent. Once each for every time, one after
	// the other; what one that blocks does not take is lost.
	Away func(peer addr.NodeID, silent, left time.Duration)
	Back func(peer addr.NodeID, silent time.Duration)
	// Refused, if not nil, is told about connections that were refused: who, and
	// why, in one line. Of one host a few are told as they come, and then one
	// every 10 s, with how many there were.
	Refused func(remote string, err error)
}

// maxNotices wait for Away and Back.
const maxNotices = 1024

// Mesh is the links of one node: at most one with each peer.
type Mesh struct {
	cfg     Config
	idler   Idler           // the handler, if it is one
	version uint32          // what it speaks; tests speak another
	ctx     context.Context // ended by Close
	cancel  context.CancelFunc
	wg      sync.WaitGroup // everything that Close waits for

	began      time.Time // what heard counts from
	times      times
	notices    chan func() // for Away and Back
	neighbours neighbours
	dial       func(ctx context.Context, address string) (net.Conn, error) // tests have another network

	attempts atomic.Uint64               // numbers the handshakes that this node begins
	reports  reports                     // bounds what Refused is told
	failure  atomic.Pointer[PeerFailure] // what peers are told; nil: none

	mu sync.Mutex
	// Guarded by mu.
	closed bool
	links  map[addr.NodeID]*Link
	gone   map[addr.NodeID]addr.Incarnation // the last one whose link is over
	conns  map[net.Conn]struct{}            // in their handshake
	calls  map[string]struct{}              // where the streams in their handshake come from
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
		began:   time.Now(),
		times:   timesOf(cfg.RepairTime),
		notices: make(chan func(), maxNotices),
		links:   make(map[addr.NodeID]*Link),
		gone:    make(map[addr.NodeID]addr.Incarnation),
		conns:   make(map[net.Conn]struct{}),
		calls:   make(map[string]struct{}),
	}
	m.idler, _ = cfg.Handler.(Idler)
	m.neighbours.want = make(chan netip.Addr, maxNeighbours)
	m.dial = func(ctx context.Context, address string) (net.Conn, error) {
		// One whose SYN was lost hangs for a second: the next attempt is quicker.
		ctx, cancel := context.WithTimeout(ctx, m.handshakeTime()/2)
		defer cancel()
		return dial(ctx, address)
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.wg.Add(3)
	go m.tick()
	go m.tellNotices()
	go m.serveNeighbours()
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
	if m.closed || m.failed() {
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
	var former chan struct{}
	if old != nil {
		former = old.done
	}
	l := &Link{
		mesh: m, peer: peer, incarnation: incarnation, address: address,
		out:      ends{self.Self, self.Incarnation, peer, incarnation},
		in:       ends{peer, incarnation, self.Self, self.Incarnation},
		done:     make(chan struct{}),
		attached: make(chan *pipe, 1),
		quiet:    make(chan struct{}, 1),
		lost:     make(chan struct{}),
		former:   former,
	}
	l.ctx, l.cancel = context.WithCancel(m.ctx)
	l.hear()
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

// lingerTime bounds how long Close, and links after Fail, wait for what is under
// way to go out. Only a peer that does not read makes them wait so long.
const lingerTime = 5 * time.Second

// Close says Bye on every link, behind all that was appended, and ends them;
// after Fail it only ends them. It waits until everything of the mesh has ended.
// Down is not called.
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
	m.linger(links)
	m.cancel()
	m.wg.Wait()
	return nil
}

func (m *Mesh) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
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
