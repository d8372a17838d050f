package wire

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/wire/wirepb"
)

// inlineRounds is how many batches a flusher writes before it leaves the rest
// to the link's writer: it has its own work to do.
const inlineRounds = 4

// ackFrames and ackBytes are how much may be received before an acknowledgement
// goes out by itself, where none travelled with a frame.
const (
	ackFrames = 64
	ackBytes  = 256 << 10
)

// Link is the one ordered link to an incarnation of a peer. It outlives its
// connections. All methods may be called from any goroutine.
type Link struct {
	mesh        *Mesh
	peer        addr.NodeID
	incarnation addr.Incarnation
	address     string // where to dial; only the higher id dials
	out, in     ends   // what the two directions take for granted

	ctx      context.Context // ended by halt: no more connections
	cancel   context.CancelFunc
	done     chan struct{} // closed after Down
	former   chan struct{} // done of the link with a former incarnation, or nil: its Down comes before Up
	attached chan *pipe    // a new connection, for the supervisor

	// attaching serializes the connections that want to become the link's. It
	// guards attempt: the number of the last one that the acceptor took.
	attaching sync.Mutex
	attempt   uint64
	attempts  sync.WaitGroup // of the node that dials

	// What is known of the peer by all connections together. See heartbeat.go.
	heard   atomic.Int64           // when it was heard last
	greeted atomic.Int64           // when somebody has said last that he is the peer; 0: never
	away    atomic.Int64           // when it was heard last before it was called away; 0: it is not
	remote  atomic.Pointer[string] // where its last connection went
	quiet   chan struct{}          // capacity 1: nothing heard for long on the connection that there is
	lost    chan struct{}          // closed by the ticker: nothing heard for too long

	received atomic.Uint64 // the last frame received
	ackSent  atomic.Uint64 // the last one acknowledged

	stats counters

	// Owned by the reader of the current connection.
	inHeader header
	inFrame  Frame
	inPages  []byte // the memory of payload
	payload  []byte // of the frame being read
	unacked  int    // payload bytes since the last acknowledgement

	closing atomic.Bool // set under mu: Bye goes out behind everything queued

	mu sync.Mutex
	// What follows is guarded by mu.
	session    uint64 // names this link at both ends; 0 until known
	up         bool   // was connected once
	final      bool   // over
	halted     bool
	haltErr    error    // why; nil: we close, no Down
	cur        *pipe    // the connection, or nil
	proving    *attempt // the one that has sent its PROOF last; nil: it has ended
	overtaken  uint64   // attempts with lower numbers are
	recent     recent   // messages of open
	open       *outFrame
	flushDue   bool // open may be sent
	queue      queue
	nextSeq    uint64 // of the last frame enqueued
	acked      uint64 // the last frame the peer acknowledged
	maxSent    uint64 // the last frame ever put in a batch
	retained   int    // bytes of pages in open and queue
	freeFrames []*outFrame
	freePages  []*pageBuffer

	appended      uint64 // page messages that were to be sent
	appendedSyncs uint64
}

// Peer is the node at the other end.
func (l *Link) Peer() addr.NodeID { return l.peer }

// Incarnation is the peer's.
func (l *Link) Incarnation() addr.Incarnation { return l.incarnation }

// Done is closed when the link is over and Down has returned.
func (l *Link) Done() <-chan struct{} { return l.done }

func panicAppend(m *protocol.Message, page []byte) {
	panic(fmt.Sprintf("wire: Append of an invalid message %+v with %d bytes of page", *m, len(page)))
}

// Flush sends what was appended before. It writes on the caller's thread as far
// as that goes without blocking; the link's writer does the rest, or whoever is
// writing at the moment. Flush never blocks.
func (l *Link) Flush() {
	l.mu.Lock()
	if l.open != nil {
		l.flushDue = true
	}
	p := l.cur
	if p == nil || p.writing || p.ended {
		l.mu.Unlock()
		return
	}
	p.writing = true
	l.pump(p, true)
}

// pump writes what is due on a connection until nothing is. Inline, it stops
// where it would block and hands over to the writer.
//
// Preconditions: l.mu is held and the caller has set p.writing.
// Postconditions: l.mu is not held.
func (l *Link) pump(p *pipe, inline bool) {
	for round := 0; ; round++ {
		if len(p.batch.frames) == 0 && (p.ended || !l.assemble(p)) {
			p.writing = false
			if p.ended && p.quiet != nil {
				close(p.quiet)
				p.quiet = nil
			}
			l.mu.Unlock()
			return
		}
		if inline && round == inlineRounds {
			p.wake <- struct{}{}
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		var all bool
		var err error
		if inline {
			all, err = p.c.tryWrite(p, &p.batch)
		} else {
			all, err = true, p.c.write(p, &p.batch)
		}
		if err != nil {
			p.c.shut()
		}
		l.mu.Lock()
		switch {
		case err != nil:
			p.ended = true
			l.retire(p)
		case all:
			l.retire(p)
		default:
			p.wake <- struct{}{}
			l.mu.Unlock()
			return
		}
	}
}

// assemble fills the empty batch of a connection, and says whether there is
// anything to send. Preconditions: l.mu is held.
func (l *Link) assemble(p *pipe) bool {
	b := &p.batch
	if f := l.mesh.failure.Load(); f != nil {
		return l.assembleFailure(p, f)
	}
	for {
		for p.next <= l.nextSeq {
			f := l.queue.at(int(p.next - l.acked - 1))
			l.seal(f, wirepb.Control_NONE)
			if !b.add(f) {
				break
			}
			if p.next <= l.maxSent {
				l.stats.replayed.Add(1)
			} else {
				l.maxSent = p.next
				l.stats.messagesOut.Add(uint64(f.items))
			}
			p.next++
		}
		if len(b.frames) > 0 {
			break
		}
		if l.open == nil || !l.flushDue {
			break
		}
		l.flushDue = false
		l.enqueue()
	}
	if len(b.frames) > 0 {
		p.beatDue = false // they carry the acknowledgement
		l.stats.framesOut.Add(uint64(len(b.frames)))
		return true
	}
	var what wirepb.Control
	switch {
	case p.byeSent:
		return false
	case l.closing.Load() && l.open == nil:
		what, p.byeSent = wirepb.Control_BYE, true
	case p.beatDue:
	default:
		return false
	}
	p.beatDue = false
	l.control(p, what)
	return true
}

// assembleFailure tells the peer that this node has failed, once on a
// connection, and nothing else. Preconditions: l.mu is held.
func (l *Link) assembleFailure(p *pipe, f *PeerFailure) bool {
	if p.byeSent {
		return false
	}
	p.byeSent = true
	p.control.buf = appendFailure(p.control.buf[:frontRoom], f)
	l.control(p, wirepb.Control_FAILED)
	return true
}

// control makes the control frame of a connection its batch.
// Preconditions: l.mu is held and the batch is empty.
func (l *Link) control(p *pipe, what wirepb.Control) {
	l.seal(&p.control, what)
	p.control.refs = 1
	p.batch.add(&p.control)
	l.stats.controls.Add(1)
}

// seal writes the front of a frame, with the newest acknowledgement.
// Preconditions: l.mu is held.
func (l *Link) seal(f *outFrame, what wirepb.Control) {
	ack := l.received.Load()
	f.seal(&header{ends: l.out, seq: f.seq, ack: ack, control: what})
	l.ackSent.Store(ack)
}

// retire ends the batch of a connection. Preconditions: l.mu is held.
func (l *Link) retire(p *pipe) {
	b := &p.batch
	for i, f := range b.frames {
		if f == &p.control {
			f.refs = 0
		} else {
			l.unref(f)
		}
		b.frames[i] = nil
	}
	clear(b.bufs)
	*b = batch{frames: b.frames[:0], bufs: b.bufs[:0]}
}

// ackBelow forgets the frames that the peer has received, up to ack. The
// connection may not have come to them: its replay begins behind what a HELLO
// said, and the peer has received more on the connection before.
func (l *Link) ackBelow(ack uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ack > l.maxSent {
		return malformed("frame %d acknowledged, %d sent", ack, l.maxSent)
	}
	for l.acked < ack {
		f := l.queue.pop()
		l.acked++
		l.retained -= len(f.pages) * addr.PageSize
		l.unref(f)
	}
	if p := l.cur; p != nil {
		p.next = max(p.next, l.acked+1)
	}
	return nil
}

// acknowledge sends an acknowledgement by itself.
func (l *Link) acknowledge() {
	l.mu.Lock()
	if l.cur != nil {
		l.cur.beatDue = true
	}
	l.mu.Unlock()
	l.Flush()
}

// attach makes a connection the link's. The peer has received the frames up to
// received; what is behind it is sent again.
//
// Preconditions: l.attaching is held and the link has no connection.
// Postconditions: on an error, c is the caller's still and nobody else uses it.
func (l *Link) attach(c conn, received uint64) error {
	p := &pipe{
		l: l, c: c,
		wake: make(chan struct{}, 1),
		end:  make(chan struct{}),
		quit: make(chan struct{}),
	}
	p.control.buf = make([]byte, frontRoom)
	p.sentAt = time.Now()
	if err := l.ackBelow(received); err != nil {
		return err
	}
	remote := c.remote()
	l.remote.Store(&remote)
	l.mu.Lock()
	if l.final || l.halted {
		l.mu.Unlock()
		return ErrClosed
	}
	// What a dialer had received when it began may be less than what it has
	// acknowledged on another connection since.
	p.next = max(received, l.acked) + 1
	first := !l.up
	l.up, l.cur = true, p
	l.mu.Unlock()
	// From here on whoever flushes may be writing: c ends with its loops only.
	l.stats.connections.Add(1)
	go p.readLoop(first)
	go p.writeLoop()
	select {
	case l.attached <- p:
	case <-l.ctx.Done(): // conclude waits for attaching, and detaches
	}
	l.Flush()
	return nil
}

// detach ends the link's connection, if it has one, and waits until its reader
// has ended: then received does not change any more.
//
// Preconditions: l.attaching is held; the caller is not the reader.
func (l *Link) detach() {
	l.mu.Lock()
	p := l.cur
	l.mu.Unlock()
	if p != nil {
		p.replaced.Store(true)
		p.c.shut()
		<-p.quit
	}
}

// isUp says whether the link was connected once.
func (l *Link) isUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up
}

// halt ends the link: err is what Down will say, nil for no Down.
func (l *Link) halt(err error) {
	l.mu.Lock()
	if !l.halted {
		l.halted, l.haltErr = true, err
	}
	l.mu.Unlock()
	l.cancel()
}

// counters are the link's statistics.
type counters struct {
	connections, controls            atomic.Uint64
	framesOut, messagesOut, replayed atomic.Uint64
	framesIn, messagesIn, duplicates atomic.Uint64
	syncsIn                          atomic.Uint64
	closedBytesIn, closedBytesOut    atomic.Uint64
}

// Stats counts what a link did since it began.
type Stats struct {
	Connections uint64 // one more than it was repaired
	Controls    uint64 // acknowledgements and heartbeats sent by themselves
	FramesOut   uint64 // sent, replays included
	MessagesOut uint64 // sent, each once
	BytesOut    uint64 // written to connections
	Replayed    uint64 // frames sent again
	FramesIn    uint64 // delivered
	MessagesIn  uint64 // delivered
	SyncsIn     uint64 // of them
	BytesIn     uint64 // read from connections
	Duplicates  uint64 // frames dropped because they were here before

	// Appended are the page messages and AppendedSyncs the syncs that were to be
	// sent, also those that were appended to a link that was down.
	Appended, AppendedSyncs uint64

	RetainedFrames int // not acknowledged yet
	RetainedBytes  int // their pages
}

// Stats is a snapshot of the link's counters.
func (l *Link) Stats() Stats {
	c := &l.stats
	s := Stats{
		Connections: c.connections.Load(),
		Controls:    c.controls.Load(),
		FramesOut:   c.framesOut.Load(),
		MessagesOut: c.messagesOut.Load(),
		BytesOut:    c.closedBytesOut.Load(),
		Replayed:    c.replayed.Load(),
		FramesIn:    c.framesIn.Load(),
		MessagesIn:  c.messagesIn.Load(),
		SyncsIn:     c.syncsIn.Load(),
		BytesIn:     c.closedBytesIn.Load(),
		Duplicates:  c.duplicates.Load(),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.cur; p != nil {
		s.BytesIn += p.bytesIn.Load()
		s.BytesOut += p.bytesOut.Load()
	}
	s.Appended, s.AppendedSyncs = l.appended, l.appendedSyncs
	s.RetainedFrames, s.RetainedBytes = l.queue.n, l.retained
	if l.open != nil {
		s.RetainedFrames++
	}
	return s
}
