package node

import (
	"fmt"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// shardCount is how many locks the pages of a node are dealt to, in runs of
// protocol.BlockPages.
const shardCount = 16

// shard is a share of the node's pages: the core's machines for them, who waits
// for them, and the one lock over both. Whoever holds the lock gives inputs to
// the core, carries the batch out, and unlocks; links are flushed after that.
type shard struct {
	node  *Node
	index int

	mu      shardLock // guards all below
	core    *protocol.Shard
	log     *trace.Log // nil: off
	batch   protocol.Batch
	inputs  int    // in the batch; those about one page follow each other
	now     uint32 // when the batch began: its inputs' stamp
	waiters map[addr.PageNum][]waiter
	written map[addr.PageNum][]func()
	early   protocol.Early[[]byte] // with the pages that came with them
	touched outbox                 // appended to
	fills   arrivals               // content that the batch brings, to be put into frames
	// payloads are the pages that came with the batch's inputs.
	payloads payloads
	orders   orders // of the pages
	hot      hotPages
	pool     memory.Pool // of master copies
	freed    int64       // pages that the batch gives back
	// homeward are pages that this node writes back to homes that have promised
	// room, until they have left.
	homeward map[addr.PageNum]*peer

	inbox   inbox
	errands []errand // the memory of a list that was done; guarded by mu

	_ [64]byte // neighbours in the array share no cache line
}

// form makes the shard work. Who asks for the node's status may look already.
func (s *shard) form(n *Node, index int, conf *protocol.Configuration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node, s.index = n, index
	if s.log = n.trace.Shard(index); s.log == nil {
		s.core = protocol.NewShard(n.id, n.incarnation, index, conf, nil)
	} else {
		o := &observer{log: s.log}
		s.core = protocol.NewShard(n.id, n.incarnation, index, conf, o)
		o.core = s.core
	}
	s.waiters = make(map[addr.PageNum][]waiter)
	s.written = make(map[addr.PageNum][]func())
	s.homeward = make(map[addr.PageNum]*peer)
}

// waiter is a process that gets access to a page when the node has it.
type waiter struct {
	mapping *mapping
	write   bool
	fetched func() // of a prefetch: called once, when the page is here
}

func (n *Node) shardOf(p addr.PageNum) *shard {
	return &n.shards[int(p>>protocol.BlockShift)%shardCount]
}

// stamp is the present in microseconds, wrapping about every 71 minutes.
func (n *Node) stamp() uint32 { return uint32(time.Since(n.started) / time.Microsecond) }

// unlock lets the shard go and sends what was queued under the lock.
func (s *shard) unlock() {
	var out outbox
	s.unlockInto(&out)
	out.flush()
}

// unlockInto lets the shard go and leaves the sending to the owner of out.
func (s *shard) unlockInto(out *outbox) {
	s.release(out)
	s.drain(out)
}

// unlockAll lets all shards go and then sends what was queued under their locks.
func (n *Node) unlockAll() {
	var out outbox
	for i := range n.shards {
		n.shards[i].unlockInto(&out)
	}
	out.flush()
}

// release moves what was appended to into out and unlocks.
func (s *shard) release(out *outbox) {
	out.join(&s.touched)
	s.mu.Unlock()
}

// input gives the core one input and adds what follows to the batch. payload is
// the page that came with a Data message.
// Preconditions: s.mu is held; inputs about one page follow each other.
func (s *shard) input(in protocol.Input, payload []byte) error {
	if s.inputs == 0 {
		s.now = s.node.stamp()
	}
	in.Stamp, in.Cut = s.now, s.node.cut.Load()
	s.log.Input(&in)
	from := len(s.batch.Effects)
	err := s.core.Step(in, &s.batch)
	s.node.cut.adopt(s.core.Cut())
	if err != nil {
		s.batch.Effects = s.batch.Effects[:from]
	}
	s.log.Output(&in, s.batch.Effects[from:], err)
	if err != nil {
		s.stepped(&in, payload, from, err)
		return err
	}
	s.inputs++
	s.unkept(in.Msg, s.batch.Effects[from:])
	for i := from; i < len(s.batch.Effects); i++ {
		e := &s.batch.Effects[i]
		s.account(e, &in)
		switch e.Kind {
		case protocol.FrameFill:
			s.payloads.add(payload)
			s.log.Content(trace.Take, e.Page, s.node.leaf(), payload)
		case protocol.HomeFill:
			s.payloads.add(payload)
			s.log.Content(trace.Take, e.Page, s.node.root(), payload)
		case protocol.Held:
			granted, p := e.Stamp, e.Page
			left := s.node.cfg.Residence - time.Duration(in.Stamp-granted)*time.Microsecond
			if left > 0 {
				s.node.residences.add(p, s.node.segment(p).core.Generation, left)
				continue
			}
			over := protocol.Input{Kind: protocol.InResidenceOver, Page: p, Stamp: in.Stamp}
			s.log.Input(&over)
			before := len(s.batch.Effects)
			if err := s.core.Step(over, &s.batch); err != nil {
				panic(fmt.Sprintf("mome: the end of a residence: %v", err))
			}
			s.log.Output(&over, s.batch.Effects[before:], nil)
		}
	}
	s.stepped(&in, payload, from, nil)
	return nil
}

// handle is one input, carried out. The segment is known to be there.
func (s *shard) handle(in protocol.Input) {
	if err := s.input(in, nil); err != nil {
		panic(fmt.Sprintf("mome: %v of %v: %v", in.Kind, in.Page, err))
	}
	s.carryOut()
}

// wait adds a waiter for a page, once for each process.
// Preconditions: s.mu is held.
func (s *shard) wait(p addr.PageNum, w waiter) {
	list := s.waiters[p]
	if w.fetched == nil {
		for i := range list {
			if list[i].mapping == w.mapping && list[i].write == w.write && list[i].fetched == nil {
				return
			}
		}
	}
	if list == nil {
		list = s.node.waiterLists.Get().(*[1]waiter)[:0]
	}
	s.waiters[p] = append(list, w)
}

// spare keeps the memory of a list of waiters for the next page.
func (s *shard) spare(list []waiter) {
	if cap(list) == 1 {
		list = list[:1]
		list[0] = waiter{}
		s.node.waiterLists.Put((*[1]waiter)(list))
	}
}

// hotPages is a Space-Saving sketch (Metwally, Agrawal, El Abbadi 2005) of the
// pages that leave this node most often.
type hotPages struct {
	pages  [hotCount]addr.PageNum
	counts [hotCount]uint64
}

const hotCount = 16

// forget drops the pages of a segment that is gone.
func (h *hotPages) forget(gone *segment) {
	for i, p := range h.pages {
		if gone.core.Contains(p) {
			h.counts[i] = 0
		}
	}
}

func (h *hotPages) count(p addr.PageNum) {
	least := 0
	for i := range h.pages {
		if h.pages[i] == p && h.counts[i] > 0 {
			h.counts[i]++
			return
		}
		if h.counts[i] < h.counts[least] {
			least = i
		}
	}
	h.pages[least] = p
	h.counts[least]++
}
