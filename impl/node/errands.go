package node

import (
	"sync"
	"sync/atomic"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// inbox is what threads want of a shard that somebody else has locked: whoever
// unlocks it does their work. So a thread that reads faults never sleeps for a
// lock, and goes back to its userfaultfd: a sleep, for a goroutine that is
// locked to its thread, takes several switches of threads.
type inbox struct {
	count atomic.Int32 // of list
	mu    sync.Mutex   // guards list; below every other lock
	list  []errand
}

// errand is one thing to do under the lock of a shard: a fault, or pages to be
// fetched, or the end of a residence, or a process to be woken.
type errand struct {
	kind       errandKind
	write      bool
	trigger    bool // the first page is not to be mapped
	mapping    *mapping
	page       addr.PageNum
	generation uint64 // of a residence: the page's
	count      int64  // of pages, all of this shard
	charged    int64  // of them, pages that there is room for already
}

type errandKind uint8

const (
	errandFault errandKind = iota
	errandFetch
	errandResidence
	errandWake
)

// post does the errand, now if the shard is free, else as soon as it is.
func (s *shard) post(e errand) {
	var out outbox
	s.postInto(e, &out)
	out.flush()
}

// postInto is post, and leaves the sending to the owner of out.
func (s *shard) postInto(e errand, out *outbox) {
	s.inbox.mu.Lock()
	s.inbox.list = append(s.inbox.list, e)
	s.inbox.count.Store(int32(len(s.inbox.list)))
	s.inbox.mu.Unlock()
	s.drain(out)
}

// drain does what was posted, unless somebody has the lock, who will. The sending
// is left to the owner of out.
func (s *shard) drain(out *outbox) {
	for s.inbox.count.Load() > 0 && s.mu.TryLock() {
		s.inbox.mu.Lock()
		list := s.inbox.list
		s.inbox.list = s.errands[:0]
		s.inbox.count.Store(0)
		s.inbox.mu.Unlock()
		for i := range list {
			s.run(&list[i])
		}
		s.errands = list[:0]
		s.release(out)
	}
}

// run does one errand.
// Preconditions: s.mu is held, the batch is empty.
func (s *shard) run(e *errand) {
	switch e.kind {
	case errandFault:
		s.fault(e)
	case errandFetch:
		s.fetch(e)
	case errandResidence:
		// The segment may have been removed meanwhile, and another one have the page.
		if seg := s.node.segment(e.page); seg != nil && seg.core.Generation == e.generation {
			s.handle(protocol.Input{Kind: protocol.InResidenceOver, Page: e.page})
		}
	case errandWake:
		s.wake(e.mapping, e.page)
	}
}
