package wire

import (
	"context"
	"io"
	"runtime"
	"sync/atomic"
	"testing"

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
