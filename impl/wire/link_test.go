package wire

import (
	"context"
	"io"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// held is a conn whose writers stay in a write until it is released, and which
// knows whether it was closed under one of them.
type held struct {
	down    chan struct{} // closed by shut
	release chan struct{}
	begun   atomic.Bool // somebody was or is writing
	writing atomic.Bool
	under   atomic.Bool // closed while somebody was writing
	closed  chan struct{}
}

func newHeld() *held {
	return &held{down: make(chan struct{}), release: make(chan struct{}), closed: make(chan struct{})}
}

func (c *held) read(*pipe) error {
	<-c.down
	return io.EOF
}

func (c *held) tryWrite(p *pipe, b *batch) (bool, error) {
	c.writing.Store(true)
	c.begun.Store(true)
	<-c.release
	c.writing.Store(false)
	return true, nil
}

func (c *held) write(p *pipe, b *batch) error {
	_, err := c.tryWrite(p, b)
	return err
}

func (c *held) shut() {
	select {
	case <-c.down:
	default:
		close(c.down)
	}
}

func (c *held) close() {
	c.under.Store(c.writing.Load())
	close(c.closed)
}

func (c *held) remote() string { return "here" }

// A link may be over before its supervisor has taken a new connection, and
// somebody may be writing to that by then: it is not closed under him.
func TestAttachedAtTheEnd(t *testing.T) {
	h := newRecorder()
	m, err := New(Config{Self: 2, Incarnation: 1, Handler: h})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	// A link without a supervisor, who would take the connection.
	l := &Link{mesh: m, peer: 1, incarnation: 1, attached: make(chan *pipe)}
	l.ctx, l.cancel = context.WithCancel(m.ctx)
	l.Append(&protocol.Message{Kind: protocol.Req}, nil)
	c := newHeld()
	over := make(chan struct{})
	go func() {
		defer close(over)
		l.attaching.Lock()
		defer l.attaching.Unlock()
		if err := l.attach(c, 0); err != nil {
			c.close() // as whoever dials or accepts does
		}
	}()
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		for !c.begun.Load() {
			l.Flush()
			runtime.Gosched()
		}
	}()
	eventually(t, "a writer", c.begun.Load)
	l.halt(nil)
	await(t, over, "attach")
	if c.under.Load() {
		t.Fatal("closed under a writer")
	}
	detached := make(chan struct{})
	go func() {
		defer close(detached)
		l.attaching.Lock()
		defer l.attaching.Unlock()
		l.detach()
	}()
	await(t, c.down, "the end of the connection")
	close(c.release)
	await(t, flushed, "the flusher")
	await(t, detached, "the end of its loops")
	if c.under.Load() {
		t.Error("closed under a writer")
	}
	await(t, c.closed, "the connection closed")
}

// written is a conn that notes the numbers of the frames in each write. The first
// write waits until it is released.
type written struct {
	*held
	batches [][]uint64
}

func (c *written) tryWrite(p *pipe, b *batch) (bool, error) {
	var numbers []uint64
	for _, f := range b.frames {
		numbers = append(numbers, f.seq)
	}
	c.batches = append(c.batches, numbers)
	return c.held.tryWrite(p, b)
}

func (c *written) write(p *pipe, b *batch) error {
	_, err := c.tryWrite(p, b)
	return err
}

// A dialer that has received frames on the old connection after its HELLO
// acknowledges on the new one what this end has not come to there yet: that is
// forgotten, and left out (NextInv).
func TestAcknowledgedAhead(t *testing.T) {
	m, err := New(Config{Self: 1, Incarnation: 1, Handler: newRecorder()})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	l := &Link{mesh: m, peer: 2, incarnation: 1, attached: make(chan *pipe, 1)}
	l.ctx, l.cancel = context.WithCancel(m.ctx)
	defer l.cancel()
	attach := func(c conn, received uint64) {
		l.attaching.Lock()
		defer l.attaching.Unlock()
		l.detach()
		select {
		case <-l.attached:
		default:
		}
		if err := l.attach(c, received); err != nil {
			t.Fatal(err)
		}
	}
	// Frames so large that each is written by itself.
	page := make([]byte, addr.PageSize)
	const frames = 3
	for range frames * maxItems {
		l.Append(&protocol.Message{Kind: protocol.Data}, page)
	}
	first := &written{held: newHeld()}
	close(first.release)
	attach(first, 0)
	if got := l.Stats(); got.FramesOut != frames || got.RetainedFrames != frames {
		t.Fatalf("%+v", got)
	}
	second := &written{held: newHeld()}
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		attach(second, 0)
	}()
	eventually(t, "a writer", second.begun.Load)
	if err := l.ackBelow(frames); err != nil {
		t.Fatal(err)
	}
	close(second.release)
	await(t, flushed, "the flusher")
	l.Append(&protocol.Message{Kind: protocol.Req}, nil)
	l.Flush()
	if want := [][]uint64{{1}, {frames + 1}}; !slices.EqualFunc(second.batches, want, slices.Equal) {
		t.Errorf("frames %v were written, expected %v", second.batches, want)
	}
	if got := l.Stats(); got.RetainedFrames != 1 {
		t.Errorf("%d frames are kept, and one is not acknowledged", got.RetainedFrames)
	}
	l.attaching.Lock()
	l.detach()
	l.attaching.Unlock()
}
