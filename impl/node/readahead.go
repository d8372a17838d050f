package node

import (
	"context"
	"fmt"
	"sync"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Read-ahead finds processes that access pages one after the other and asks for
// the next windows before they get there: to read, or to write where the
// process stores. The first page of a window is the trigger: it is fetched, but
// not mapped, so that the process faults there once (a fault that this node
// answers by itself) and so tells how far it has come.
//
// Pages that are asked for in vain are dear: they are taken from a node that
// uses them, which must ask for them again. So a window is asked for only after
// minRun faults in a row, the second only when the process has come to the
// first, and a stream that ends before doubles the run that its mapping needs.
// From then on twice as much is asked for at each fault that continues the
// stream, up to a bound, in several windows: while some are on their way others
// are used, and the nodes at both ends have something to do.

const (
	minRun    = 3
	maxRun    = 48
	minWindow = 8   // pages
	windows   = 7   // that are under way, once there are enough pages for them
	maxAhead  = 896 // pages beyond the fault, for reads
	// A store takes a page away from whoever has it, so that what lies beyond
	// the end of a sequence of stores must not be much.
	maxWriteAhead = 64
	streamCount   = 4 // per mapping
)

// stream is one sequence of reads or of stores. Its zero value is free.
type stream struct {
	last  addr.PageNum // the page that faulted last
	run   int          // faults in a row
	next  int64        // the first page that was not asked for; 1<<32 is behind the last of all
	ahead int64        // pages to be asked for beyond a fault; 0 while nothing was asked for
	used  bool         // the process has come to a page that was asked for
	age   uint64
	live  bool
	write bool
}

// reach says that the process has faulted on page p of the stream, and whether
// windows are to be asked for, which takes so many faults in a row.
func (s *stream) reach(p addr.PageNum, need int) bool {
	s.last = p
	if s.ahead == 0 {
		if s.run++; s.run < need {
			return false
		}
		s.ahead = minWindow
	} else {
		limit := int64(maxAhead)
		if s.write {
			limit = maxWriteAhead
		}
		s.used, s.ahead = true, min(2*s.ahead, limit)
	}
	// Windows that were refused may be behind the process.
	s.next = max(s.next, int64(p)+1)
	return true
}

// window is how many pages are asked for at once: those behind one trigger.
func (s *stream) window() int64 { return max(minWindow, s.ahead/windows) }

// room says whether another window is to be asked for.
func (s *stream) room() bool { return s.next-int64(s.last)-1+s.window() <= s.ahead }

type streams struct {
	list [streamCount]stream
	age  uint64
	need int // faults in a row before a window is asked for; 0 is minRun
}

// ended judges a stream that gives way to another.
func (t *streams) ended(s *stream) {
	if s.ahead > 0 && !s.used {
		t.need = min(2*max(t.need, minRun), maxRun)
	}
}

// find is the stream that the fault continues, or a new one in the place of the
// oldest. started says that the fault continues one.
func (t *streams) find(p addr.PageNum, write bool) (s *stream, started bool) {
	t.age++
	oldest := &t.list[0]
	for i := range t.list {
		s := &t.list[i]
		if s.live && s.write == write && (p == s.last+1 || s.ahead > 0 && p > s.last && int64(p) <= s.next) {
			s.age = t.age
			return s, true
		}
		if !s.live || s.age < oldest.age {
			oldest = s
		}
	}
	t.ended(oldest)
	*oldest = stream{last: p, run: 1, live: true, age: t.age, write: write}
	return oldest, false
}

// readAhead is called after each fault of the mapping on a page that it had not
// mapped.
func (n *Node) readAhead(m *mapping, p addr.PageNum, write bool) {
	if n.cfg.NoReadAhead {
		return
	}
	s, started := m.streams.find(p, write)
	if !started {
		return
	}
	before := s.used
	if !s.reach(p, max(m.streams.need, minRun)) {
		return
	}
	if s.used && !before {
		m.streams.need = max(m.streams.need/2, minRun)
	}
	for s.room() && n.fetchWindow(m, s) {
	}
}

// maxFetching bounds how many pages a node has asked for that no process waits
// for: so a child never has more requests out than that, and one for each
// thread that faults. Two sequences find room beside each other.
const maxFetching = 2048

// fetching counts the pages that were asked for ahead of their use and are not
// here yet.
type fetching struct {
	mu   sync.Mutex // guards n; below a shard's lock
	n    int64
	less sync.Cond // n has become smaller, or the node ends
}

// try counts so many pages more, if that keeps the bound.
func (f *fetching) try(pages int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n+pages > maxFetching {
		return false
	}
	f.n += pages
	return true
}

// wait counts so many pages more as soon as that keeps the bound, or gives up.
func (f *fetching) wait(ctx context.Context, pages int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.n+pages > maxFetching {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f.less.Wait()
	}
	f.n += pages
	return ctx.Err()
}

// recheck lets those who wait see that their context has ended.
func (f *fetching) recheck() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.less.Broadcast()
}

// done takes one page off the count.
func (f *fetching) done() {
	f.mu.Lock()
	f.n--
	f.mu.Unlock()
	f.less.Broadcast()
}

// fetchWindow asks for the next window of the stream. It returns false where
// the segment ends, or enough is under way.
func (n *Node) fetchWindow(m *mapping, s *stream) bool {
	end := int64(m.seg.core.First) + m.seg.core.Pages
	count := min(s.window(), end-s.next)
	if count <= 0 || !n.fetching.try(count) {
		return false
	}
	var out outbox
	n.fetch(m, addr.PageNum(s.next), count, s.write, true, &out)
	out.flush()
	m.seg.stats.prefetched.Add(uint64(count))
	s.next += count
	return true
}

// fetch asks for pages that the mapping is going to use. With trigger the first
// page is fetched and not mapped. Pages of which the node has enough already are
// mapped at once. The sending is left to the owner of out.
//
// Preconditions: n.fetching counts the pages.
func (n *Node) fetch(m *mapping, first addr.PageNum, count int64, write, trigger bool, out *outbox) {
	for count > 0 {
		// Up to the end of the run of pages that this shard has.
		part := min(count, protocol.BlockPages-int64(first)%protocol.BlockPages)
		n.shardOf(first).postInto(errand{kind: errandFetch, mapping: m, page: first, count: part, write: write, trigger: trigger}, out)
		trigger = false
		first += addr.PageNum(part)
		count -= part
	}
}

// fetch asks for pages, as one batch, but for those that there is no room for.
func (s *shard) fetch(e *errand) {
	kind := protocol.InReadFault
	if e.write {
		kind = protocol.InWriteFault
	}
	removed := e.mapping.seg.removed.Load()
	for i := range e.count {
		if removed {
			s.node.fetching.done()
			continue
		}
		p := e.page + addr.PageNum(i)
		if !s.admitAhead(e, p) {
			s.node.fetching.done()
			continue
		}
		w := waiter{mapping: e.mapping, write: e.write, fetched: s.node.fetched}
		if e.trigger && i == 0 {
			w.mapping = nil
		} else {
			s.traceStep(trace.Expect, p, e.mapping, e.write)
		}
		s.wait(p, w)
		if err := s.input(protocol.Input{Kind: kind, Page: p}, nil); err != nil {
			panic(fmt.Sprintf("mome: %v of %v: %v", kind, p, err))
		}
	}
	s.carryOut()
	s.node.room.release(e.charged)
}
