package wire

import (
	"sync/atomic"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/wire/wirepb"
)

// pipe is one connection of a link, from its handshake to its end.
type pipe struct {
	l    *Link
	c    conn
	wake chan struct{} // capacity 1: hands writing to the writer goroutine
	end  chan struct{} // closed when the reader has ended
	quit chan struct{} // closed when reader and writer have ended

	bytesIn, bytesOut atomic.Uint64
	seenIn            atomic.Uint64 // bytesIn at the last tick
	inHandler         atomic.Bool   // the reader is with the handler
	replaced          atomic.Bool   // shut for another connection, or at the link's end

	busy bool  // the reader's: frames were delivered since Idle
	err  error // why the reader ended; before quit is closed

	// Owned by the mesh's ticker.
	seenOut    uint64
	sentAt     time.Time
	ackPending bool

	// Guarded by l.mu.
	next    uint64        // the next frame to write
	writing bool          // somebody owns batch and writes
	ended   bool          // nothing is written any more
	quiet   chan struct{} // closed when nobody writes any more
	beatDue bool
	byeSent bool
	batch   batch    // owned by the writer while writing
	control outFrame // without a number; in at most one batch
}

// conn is what a transport makes of a connection.
type conn interface {
	// read reads frames and gives each to p.begin and p.finish, until the
	// connection ends. It runs on the link's reader goroutine.
	read(p *pipe) error
	// tryWrite writes as much of the batch as goes without blocking, and says
	// whether that was all.
	tryWrite(p *pipe, b *batch) (bool, error)
	// write writes the rest of the batch.
	write(p *pipe, b *batch) error
	// shut makes read and write return. It may be called at any time, again.
	shut()
	// close releases the connection, after read and write returned for good.
	close()
	remote() string
}

func (p *pipe) readLoop(first bool) {
	l := p.l
	if first {
		p.inHandler.Store(true) // the former incarnation's reader may be with it
		l.waitFormer()
		if !l.mesh.failed() {
			l.mesh.cfg.Handler.Up(l.peer)
		}
		p.inHandler.Store(false)
	}
	p.err = p.c.read(p)
	p.idle()
	p.c.shut()
	if p.bytesIn.Load() != p.seenIn.Load() {
		l.hear()
	}
	l.mu.Lock()
	p.ended = true
	var quiet chan struct{}
	if p.writing {
		quiet = make(chan struct{})
		p.quiet = quiet
	}
	l.mu.Unlock()
	if quiet != nil {
		<-quiet
	}
	l.mu.Lock()
	if len(p.batch.frames) > 0 {
		l.retire(p)
	}
	l.cur = nil
	l.stats.closedBytesIn.Add(p.bytesIn.Load())
	l.stats.closedBytesOut.Add(p.bytesOut.Load())
	l.mu.Unlock()
	close(p.end)
}

func (p *pipe) writeLoop() {
	for {
		select {
		case <-p.wake:
			p.l.mu.Lock()
			p.l.pump(p, false)
		case <-p.end:
			p.c.close()
			close(p.quit)
			return
		}
	}
}

// begin takes the header of a frame whose payload is still to be read, into
// p.l.payload. Nothing has changed if it fails.
func (p *pipe) begin(head []byte, payload int) error {
	l := p.l
	h, f := &l.inHeader, &l.inFrame
	pages, err := decodeFrame(head, h, f)
	switch {
	case err != nil:
		return err
	case h.ends != l.in:
		return malformed("it goes from node %d.%d to %d.%d on the link from %d.%d to %d.%d",
			h.sender, h.senderIncarnation, h.receiver, h.receiverIncarnation,
			l.in.sender, l.in.senderIncarnation, l.in.receiver, l.in.receiverIncarnation)
	case payload != pages*addr.PageSize:
		return malformed("%d bytes of payload for %d pages", payload, pages)
	case h.seq == 0 && len(f.Messages)+len(f.Syncs) > 0:
		return malformed("messages on a control frame")
	case h.seq != 0 && h.control != wirepb.Control_NONE:
		return malformed("control on frame %d", h.seq)
	case h.seq > l.received.Load()+1:
		return malformed("frame %d after %d", h.seq, l.received.Load())
	}
	if err := l.ackBelow(h.ack); err != nil {
		return err
	}
	if len(l.inPages) < payload {
		l.inPages = make([]byte, max(payload, 16*addr.PageSize))
	}
	l.payload = l.inPages[:payload]
	rest := l.payload
	for i := range f.Messages {
		if carriesPage(&f.Messages[i]) {
			f.Pages[i], rest = rest[:addr.PageSize:addr.PageSize], rest[addr.PageSize:]
		}
	}
	return nil
}

// finish delivers the frame that begin took, now that its payload is there.
func (p *pipe) finish() error {
	l := p.l
	h, f := &l.inHeader, &l.inFrame
	if h.seq == 0 {
		switch h.control {
		case wirepb.Control_BYE:
			return ErrLeft
		case wirepb.Control_FAILED:
			return &PeerFailure{h.cause, h.reason}
		}
		return nil
	}
	if h.seq <= l.received.Load() {
		l.stats.duplicates.Add(1)
		return nil
	}
	l.received.Store(h.seq)
	if l.mesh.failed() {
		return nil // nobody takes it
	}
	l.stats.framesIn.Add(1)
	l.stats.messagesIn.Add(uint64(len(f.Messages) + len(f.Syncs)))
	l.stats.syncsIn.Add(uint64(len(f.Syncs)))
	p.inHandler.Store(true)
	l.mesh.cfg.Handler.Deliver(l.peer, f)
	p.inHandler.Store(false)
	p.busy = l.mesh.idler != nil
	l.unacked += len(l.payload)
	if l.ackSent.Load() == h.seq {
		l.unacked = 0
	} else if l.unacked >= ackBytes || h.seq-l.ackSent.Load() >= ackFrames {
		l.unacked = 0
		l.acknowledge()
	}
	return nil
}

// idle tells an Idler that nothing more was read: before the reader sleeps.
func (p *pipe) idle() {
	if p.busy && !p.l.mesh.failed() {
		p.busy = false
		p.inHandler.Store(true)
		p.l.mesh.idler.Idle(p.l.peer)
		p.inHandler.Store(false)
	}
}
