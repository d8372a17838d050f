package node

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/protocol"
)

// rangeOf is the pages of a range, and the application's mapping of them.
func (a *application) rangeOf(r *attachpb.Range) (m *mapping, first addr.PageNum, count int64, err error) {
	a.mu.Lock()
	m = a.mappings[r.Segment.Generation]
	a.mu.Unlock()
	if m == nil {
		return nil, 0, 0, fmt.Errorf("%w: segment %q is not mapped", client.ErrInvalid, r.Segment.Name)
	}
	size := uint64(m.seg.core.Pages) << addr.PageShift
	length := r.Length
	if length == 0 && r.Offset <= size {
		length = size - r.Offset
	}
	if r.Offset > size || length > size-r.Offset {
		return nil, 0, 0, fmt.Errorf("%w: bytes [%d, %d+%d) are not in segment %q of %d bytes",
			client.ErrInvalid, r.Offset, r.Offset, length, r.Segment.Name, size)
	}
	if m.seg.removed.Load() {
		return nil, 0, 0, fmt.Errorf("%w: %q", client.ErrRemoved, r.Segment.Name)
	}
	from := int64(r.Offset >> addr.PageShift)
	to := int64((r.Offset + length + addr.PageSize - 1) >> addr.PageShift)
	return m, m.seg.core.First + addr.PageNum(from), to - from, nil
}

// maxHints is how many prefetches of an application wait for their turn; more
// are dropped, as hints may be.
const maxHints = 64

// hint is pages of one mapping that its process is going to use.
type hint struct {
	mapping *mapping
	first   addr.PageNum
	count   int64
	write   bool
}

// hintsOf is the ranges of a request, or what is wrong with one of them.
func (a *application) hintsOf(all *attachpb.Prefetch) ([]hint, error) {
	hints := make([]hint, 0, 1+len(all.More))
	for _, one := range append([]*attachpb.Prefetch{all}, all.More...) {
		m, first, count, err := a.rangeOf(one.Range)
		if err != nil {
			return nil, err
		}
		hints = append(hints, hint{m, first, count, one.Write})
	}
	return hints, nil
}

// begin begins prefetches. Those that fit under the bound need no goroutine, and
// leave the sending to the owner of out: what they ask of another node goes out
// together.
func (a *application) begin(hints []hint, out *outbox) {
	for _, h := range hints {
		if h.count <= maxFetch && a.node.fetching.try(h.count) {
			a.node.fetch(h.mapping, h.first, h.count, h.write, false, out)
			h.mapping.seg.stats.prefetched.Add(uint64(h.count))
			continue
		}
		if a.hints.Add(1) > maxHints {
			a.hints.Add(-1)
			continue
		}
		a.tasks.Add(1)
		go func() {
			defer a.tasks.Done()
			defer a.hints.Add(-1)
			a.prefetch(h)
		}()
	}
}

// maxFetch is how many pages of a hint are asked for at a time.
const maxFetch = 256

// prefetch asks for the pages, a bounded number at a time.
func (a *application) prefetch(h hint) {
	for h.count > 0 {
		part := min(h.count, maxFetch)
		if a.node.fetching.wait(a.ctx, part) != nil {
			return
		}
		var out outbox
		a.node.fetch(h.mapping, h.first, part, h.write, false, &out)
		out.flush()
		h.mapping.seg.stats.prefetched.Add(uint64(part))
		h.first += addr.PageNum(part)
		h.count -= part
	}
}

// prefaultAtOnce is how many pages of a Prefault wait for room together: few, beside
// the least limit.
const prefaultAtOnce = 64

// prefault asks for the pages of a range as soon as there is room for them, some at
// a time, or says that there is none.
func (a *application) prefault(r *attachpb.Prefault) error {
	m, first, count, err := a.rangeOf(r.Range)
	if err != nil {
		return err
	}
	n := a.node
	for count > 0 {
		part := min(count, prefaultAtOnce)
		var fetches []errand
		brings := int64(0)
		for p, left := first, part; left > 0; {
			e := errand{kind: errandFetch, mapping: m, page: p, write: r.Write,
				count: min(left, protocol.BlockPages-int64(p)%protocol.BlockPages)}
			s := n.shardOf(p)
			s.mu.Lock()
			for i := range e.count {
				if s.brings(p + addr.PageNum(i)) {
					e.charged++
				}
			}
			s.unlock()
			brings += e.charged
			fetches = append(fetches, e)
			p, left = p+addr.PageNum(e.count), left-e.count
		}
		err := n.room.wait(a.ctx, brings, n.cfg.RoomWait)
		if err == nil {
			if err = n.fetching.wait(a.ctx, part); err != nil {
				n.room.release(brings)
			}
		}
		switch {
		case a.ctx.Err() != nil:
			return fmt.Errorf("%w: the node stops", client.ErrCanceled)
		case err != nil:
			return fmt.Errorf("%w: for pages of %q from byte %d on: %w; remove a segment, or start the nodes with more --memory",
				client.ErrNoSpace, m.seg.info.Name, int64(first-m.seg.core.First)<<addr.PageShift, err)
		}
		var out outbox
		for _, e := range fetches {
			n.shardOf(e.page).postInto(e, &out)
		}
		out.flush()
		first += addr.PageNum(part)
		count -= part
	}
	return nil
}

// maxCleaning is how many pages one request writes back at a time.
const maxCleaning = 256

// clean writes back the pages of the range that this node owns, and with drop
// gives up all of them.
func (a *application) clean(r *attachpb.Range, drop bool) error {
	m, first, count, err := a.rangeOf(r)
	if err != nil {
		return err
	}
	n := a.node
	n.beginCleaning()
	defer n.endCleaning()
	// The first error ends the waiting for room of the other pages.
	ctx, failed := context.WithCancelCause(a.ctx)
	defer failed(nil)
	end := int64(first) + count
	var left sync.WaitGroup
	credit := make(chan struct{}, maxCleaning)
	for i := range n.shards {
		s := &n.shards[i]
		s.mu.Lock()
		var pages []addr.PageNum
		if !m.seg.removed.Load() {
			for p := range s.core.Holds {
				if int64(p) >= int64(first) && int64(p) < end {
					pages = append(pages, p)
				}
			}
		}
		s.unlock()
		for _, p := range pages {
			select {
			case credit <- struct{}{}:
			case <-ctx.Done():
				return cleaningError(ctx)
			}
			left.Add(1)
			s.clean(ctx, m.seg, p, drop, func(err error) {
				if err != nil {
					failed(err)
				}
				<-credit
				left.Done()
			})
		}
	}
	done := make(chan struct{})
	go func() {
		left.Wait()
		close(done)
	}()
	select {
	case <-done:
		if ctx.Err() != nil {
			return cleaningError(ctx)
		}
		return nil
	case <-ctx.Done():
		return cleaningError(ctx)
	}
}

// cleaningError is why pages are not written back any more.
func cleaningError(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: the node stops", client.ErrCanceled)
}

// clean writes back a page if the node owns it and its home has room for it, then
// drops it if asked to, and calls done, perhaps with the lock held.
func (s *shard) clean(ctx context.Context, seg *segment, p addr.PageNum, drop bool, done func(error)) {
	s.mu.Lock()
	defer s.unlock()
	again := func() {
		s.node.spawn(func() { s.clean(ctx, seg, p, drop, done) })
	}
	home := s.node.homeOf(seg, p)
	switch {
	case seg.removed.Load():
		done(nil)
	case s.core.RightTo(p) < protocol.Owned:
		if drop {
			s.handle(protocol.Input{Kind: protocol.InEvict, Page: p})
		}
		done(nil)
	case len(s.written[p]) > 0:
		s.written[p] = append(s.written[p], again)
	case s.core.Asking(p):
		// A process waits to store to the page: its request comes first.
		s.wait(p, waiter{fetched: again})
	default:
		counted, ok := home.promises.take()
		if !ok {
			s.node.spawn(func() {
				if err := s.node.askHome(ctx, home); err != nil {
					done(err)
					return
				}
				s.clean(ctx, seg, p, drop, done)
			})
			return
		}
		if counted {
			s.homeward[p] = home
		}
		s.written[p] = append(s.written[p], again)
		s.handle(protocol.Input{Kind: protocol.InWriteback, Page: p})
	}
}
