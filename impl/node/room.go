package node

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// room is the budget of a node with a limit: nil, and free of cost, where there
// is none.
//
// A page is charged before it can come: when this node asks for it, or promises
// to keep a copy of it as its home. It stays charged while it is here, and until
// its memory has been given back. So what is charged bounds what the kernel
// counts, whatever is on its way.
//
// An access that brings a page, and finds no room, waits in a queue; the keeper
// (limit.go) makes room and serves the queue in its order.
type room struct {
	limit, slack int64        // pages; slack is freed ahead of the demand
	charged      atomic.Int64 // pages
	waiting      atomic.Int64 // in the queue
	freed        atomic.Int64 // pages, ever: it tells whether anything moves
	stuck        atomic.Bool  // those in the queue wait, and this node has no copies left to give up
	wake         chan struct{}

	mu    sync.Mutex // guards queue, and what peers are promised; below a shard's lock
	queue []*demand
}

// demand is an access that waits for room for a page, or a request that waits
// for room for pages.
type demand struct {
	fault errand
	pages int64
	since time.Time

	// Of a request:
	done     chan struct{} // it is closed when there is room, or the request is refused
	patience time.Duration // with no room anywhere
	refused  error         // set before done is closed
}

// limitSlack is which part of the limit is kept free.
const limitSlack = 32

func newRoom(limit int64) *room {
	if limit == 0 {
		return nil
	}
	pages := limit >> addr.PageShift
	return &room{limit: pages, slack: max(pages/limitSlack, 1), wake: make(chan struct{}, 1)}
}

// poke has the keeper look.
func (r *room) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// take charges pages if there is room for them.
func (r *room) take(pages int64) bool {
	for {
		now := r.charged.Load()
		if now+pages > r.limit {
			r.poke()
			return false
		}
		if r.charged.CompareAndSwap(now, now+pages) {
			if now+pages > r.limit-r.slack {
				r.poke()
			}
			return true
		}
	}
}

// ask is take, after those who wait.
func (r *room) ask(pages int64) bool { return r.waiting.Load() == 0 && r.take(pages) }

// free is how many pages are not charged.
func (r *room) free() int64 { return r.limit - r.charged.Load() }

// release ends the charge of pages.
func (r *room) release(pages int64) {
	if r == nil || pages == 0 {
		return
	}
	r.charged.Add(-pages)
	r.freed.Add(pages)
	r.recheck()
}

// recheck has the keeper look at who waits.
func (r *room) recheck() {
	if r != nil && r.waiting.Load() > 0 {
		r.poke()
	}
}

// wait charges pages when it is their turn and there is room. It gives up with the
// context, or with an errNoRoom when no node has had room for as long as patience.
func (r *room) wait(ctx context.Context, pages int64, patience time.Duration) error {
	if r == nil || pages == 0 || r.ask(pages) {
		return nil
	}
	d := &demand{pages: pages, done: make(chan struct{}), since: time.Now(), patience: patience}
	r.enqueue(d)
	select {
	case <-d.done:
		return d.refused
	case <-ctx.Done():
	}
	if !r.remove(d) {
		if <-d.done; d.refused == nil {
			r.release(pages)
		}
	}
	return ctx.Err()
}

// errNoRoom says why a request that waited for room is refused.
type errNoRoom string

func (e errNoRoom) Error() string { return string(e) }

func (r *room) enqueue(d *demand) {
	r.mu.Lock()
	if len(r.queue) == 0 {
		r.stuck.Store(false) // it is not known
	}
	r.queue = append(r.queue, d)
	r.waiting.Store(int64(len(r.queue)))
	r.mu.Unlock()
	r.poke()
}

// remove takes a demand out of the queue, if it is still there.
func (r *room) remove(d *demand) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.queue, d)
	if i < 0 {
		return false
	}
	r.queue = slices.Delete(r.queue, i, i+1)
	r.waiting.Store(int64(len(r.queue)))
	return true
}

// demands is the queue as it is.
func (r *room) demands() []*demand {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.queue)
}

// park has an access wait. A thread that is interrupted while it waits faults
// again, and waits once.
func (r *room) park(e *errand) {
	for _, d := range r.demands() {
		if f := &d.fault; f.mapping == e.mapping && f.page == e.page && f.write == e.write {
			return
		}
	}
	r.enqueue(&demand{fault: *e, pages: 1, since: time.Now()})
}

// brings says whether access to a page brings it into this node's memory.
// Preconditions: s.mu is held.
func (s *shard) brings(p addr.PageNum) bool {
	return s.core.RightTo(p) == protocol.None && !s.core.Asking(p)
}

// admit charges the page that an access brings, if there is room; else it is
// false, and the access waits.
// Preconditions: s.mu is held.
func (s *shard) admit(e *errand) bool {
	r := s.node.room
	switch {
	case r == nil:
		return true
	case !s.brings(e.page):
		r.release(e.charged)
		return true
	case e.charged == 0 && !r.ask(1):
		r.park(e)
		return false
	}
	e.mapping.seg.charged.Add(1)
	return true
}

// admitAhead is admit for a page that is fetched ahead of its use: without room
// it is not fetched.
// Preconditions: s.mu is held.
func (s *shard) admitAhead(e *errand, p addr.PageNum) bool {
	r := s.node.room
	if r == nil || !s.brings(p) {
		return true
	}
	if e.charged > 0 {
		e.charged--
	} else if !r.ask(1) {
		return false
	}
	e.mapping.seg.charged.Add(1)
	return true
}

// account follows the charges of pages through the effects of a step. What a
// drop gives back is free when the batch has been carried out.
// Preconditions: s.mu is held; the state of the core is that after the step.
func (s *shard) account(e *protocol.Effect, in *protocol.Input) {
	s.departed(e)
	r := s.node.room
	if r == nil {
		return
	}
	switch e.Kind {
	case protocol.FrameDrop:
		if s.core.Expects(e.Page) {
			return // it comes again
		}
		s.node.segment(e.Page).charged.Add(-1)
		s.freed++
	case protocol.HomeDrop:
		s.node.segment(e.Page).charged.Add(-1)
		s.freed++
	case protocol.FrameToHome:
		s.node.segment(e.Page).charged.Add(1)
		r.fulfil(&s.node.peer(s.node.id).promised)
	case protocol.HomeFill:
		s.node.segment(e.Page).charged.Add(1)
		r.fulfil(&s.node.peer(in.Msg.From.Node).promised)
	}
}
