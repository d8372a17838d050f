package history

import (
	"sync"
	"sync/atomic"

	"github.com/mome-dsm/mome/impl/clock"
)

// numbers gives clients their numbers: 0, 1 and so on.
type numbers struct{ last atomic.Int64 }

func (n *numbers) next() int  { return int(n.last.Add(1)) - 1 }
func (n *numbers) given() int { return int(n.last.Load()) }

// Client is one thread of control in a history: it does one thing at a time. An
// operation without an answer is the last one of a client, since it may still be
// under way; whoever goes on behind it is another client from there on. A nil
// *Client is off.
type Client struct {
	recorder *Recorder

	mu sync.Mutex
	// What follows is guarded by mu.
	clientLife
	former  []clientLife // those that it was before
	op      Operation
	running bool // op is under way
	closed  bool
}

// clientLife is a client's number, how many operations it has begun, and from when
// to when it is there.
type clientLife struct {
	number       int
	begun        uint64
	since, until int64
}

// Client is who operations are recorded for.
func (r *Recorder) Client() *Client {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &Client{recorder: r, closed: r.ended}
	if !c.closed {
		c.become()
		r.clients = append(r.clients, c)
	}
	return c
}

// become makes it a client that has done nothing.
// Preconditions: c.mu is held, or nobody else knows it.
func (c *Client) become() {
	c.clientLife = clientLife{number: c.recorder.numbers.next(), since: clock.Now()}
}

// Begin notes an operation that is to be done now: its client, number and time
// are set here.
func (c *Client) Begin(o Operation) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running {
		panic("mome: a Client begins an operation and has not ended one: each goroutine needs its own, and a new one after a fault")
	}
	c.begun++
	c.op, c.running = o, true
	c.op.Client, c.op.Seq, c.op.Call, c.op.Return = c.number, c.begun, clock.Now(), 0
}

// Running says whether an operation has begun and not ended.
func (c *Client) Running() bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running
}

// End records the operation with its answer, which answer puts in. Where there
// is none it is recorded as open.
func (c *Client) End(answered bool, answer func(*Operation)) { c.EndBoth(answered, answer, nil) }

// EndBoth is End of what is two operations at once: the second is what second
// makes of the first, and is recorded if there is an answer.
func (c *Client) EndBoth(answered bool, answer, second func(*Operation)) {
	if c == nil {
		return
	}
	now := clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = false
	if c.closed {
		return
	}
	if answered {
		c.op.Return = now
		answer(&c.op)
	}
	c.record()
	switch {
	case !answered:
		c.until = clock.Now()
		c.former = append(c.former, c.clientLife)
		c.become()
	case second != nil:
		second(&c.op)
		c.begun++
		c.op.Seq = c.begun
		c.record()
	}
}

// record passes the operation on.
// Preconditions: c.mu is held.
func (c *Client) record() { c.recorder.record(&c.op) }

// close records its last operation, if it has not ended, and ends it for good.
func (c *Client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running {
		c.record()
	}
	c.until = clock.Now()
	c.closed = true
}

// lives are all clients that it was.
// Preconditions: it is closed.
func (c *Client) lives() []clientLife { return append(c.former, c.clientLife) }
