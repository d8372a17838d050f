package node

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
	"github.com/mome-dsm/mome/impl/wire"
)

// shardCount is how many locks the pages of a node are dealt to, in runs of
// protocol.BlockPages.
const shardCount = 16

// shard is a share of the node's pages: the core's machines for them, who waits
// for them, and the one lock over both. Whoever holds the lock gives inputs to
// the core, carries the batch out, and unlocks; links are flushed after that.
type shard struct {
	node *Node

	mu      sync.Mutex // guards all below
	core    *protocol.Shard
	log     *trace.Log // nil: off
	batch   protocol.Batch
	inputs  int    // in the batch; those about one page follow each other
	now     uint32 // when the batch began: its inputs' stamp
	waiters map[addr.PageNum][]waiter
	written map[addr.PageNum][]func()
	early   []earlyMessage
	touched outbox   // appended to
	fills   arrivals // content that the batch brings, to be put into frames
	hot     hotPages

	inbox   inbox
	errands []errand // the memory of a list that was done; guarded by mu
	late    late     // of a mutant; guarded by mu

	_ [64]byte // neighbours in the array share no cache line
}

// waiter is a process that gets access to a page when the node has it.
type waiter struct {
	mapping *mapping
	write   bool
	fetched func() // of a prefetch: called once, when the page is here
}

// earlyMessage is about a segment that this node has not heard of yet.
type earlyMessage struct {
	peer addr.NodeID
	msg  protocol.Message
	page []byte
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

// release moves what was appended to into out and unlocks.
func (s *shard) release(out *outbox) {
	out.join(&s.touched)
	s.mu.Unlock()
}

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
	kind    errandKind
	write   bool
	trigger bool // the first page is not to be mapped
	mapping *mapping
	page    addr.PageNum
	count   int64 // of pages, all of this shard
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
		// The segment may have been removed meanwhile.
		if s.node.segment(e.page) != nil {
			s.give(protocol.Input{Kind: protocol.InResidenceOver, Page: e.page})
		}
	case errandWake:
		s.wake(e.mapping, e.page)
	}
}

// outbox is links to be flushed, each once. Its zero value is empty, and few
// links need no memory.
type outbox struct {
	n     int
	links [4]*wire.Link
	more  []*wire.Link
}

func (o *outbox) add(l *wire.Link) {
	for _, k := range o.links[:o.n] {
		if k == l {
			return
		}
	}
	if o.n < len(o.links) {
		o.links[o.n] = l
		o.n++
		return
	}
	if !slices.Contains(o.more, l) {
		o.more = append(o.more, l)
	}
}

// join takes over what another outbox has.
func (o *outbox) join(from *outbox) {
	for _, l := range from.links[:from.n] {
		o.add(l)
	}
	for _, l := range from.more {
		o.add(l)
	}
	*from = outbox{}
}

// flush sends what was queued. No lock is held: it may spend a system call.
func (o *outbox) flush() {
	for _, l := range o.links[:o.n] {
		l.Flush()
	}
	for _, l := range o.more {
		l.Flush()
	}
	*o = outbox{}
}

// input gives the core one input and adds what follows to the batch. payload is
// the page that came with a Data message.
// Preconditions: s.mu is held; inputs about one page follow each other.
func (s *shard) input(in protocol.Input, payload []byte) error {
	if s.inputs == 0 {
		s.now = s.node.stamp()
	}
	in.Stamp = s.now
	s.log.Input(&in)
	from := len(s.batch.Effects)
	err := s.core.Step(in, &s.batch)
	if err != nil {
		s.batch.Effects = s.batch.Effects[:from]
	}
	s.log.Output(&in, s.batch.Effects[from:], err)
	if err != nil {
		return err
	}
	s.inputs++
	for i := from; i < len(s.batch.Effects); i++ {
		switch e := &s.batch.Effects[i]; e.Kind {
		case protocol.FrameFill:
			s.fills.add(arrival{e.Page, payload})
			s.log.Content(trace.Take, e.Page, s.node.leaf(), payload)
		case protocol.FrameZero:
			s.fills.add(arrival{page: e.Page})
		case protocol.HomeFill:
			if err := s.node.segment(e.Page).home.Fill(e.Page, payload); err != nil {
				s.node.failMemory(err)
			}
			s.log.Content(trace.Take, e.Page, s.node.root(), payload)
		case protocol.Held:
			granted, p := e.Stamp, e.Page
			left := s.node.cfg.Residence - time.Duration(in.Stamp-granted)*time.Microsecond
			if left > 0 {
				s.node.residences.add(p, left)
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
	return nil
}

// arrival is the content of a page that this batch brings: the bytes, which
// last as long as the batch, or nil for zeros.
type arrival struct {
	page    addr.PageNum
	content []byte
}

// arrivals is those of a batch. They are taken in about the order in which they
// were added.
type arrivals struct {
	list []arrival
	next int // taken are all before it
}

func (a *arrivals) add(one arrival) { a.list = append(a.list, one) }

// take takes the content that this batch has brought for a page.
func (a *arrivals) take(p addr.PageNum) (arrival, bool) {
	for i := a.next; i < len(a.list); i++ {
		if a.list[i].page == p {
			a.list[i], a.list[a.next] = a.list[a.next], a.list[i]
			a.next++
			return a.list[a.next-1], true
		}
	}
	return arrival{}, false
}

// rest empties the list, and returns what was not taken.
func (a *arrivals) rest() []arrival {
	rest := a.list[a.next:]
	a.list, a.next = a.list[:0], 0
	return rest
}

// zeros is a page of zeros.
var zeros [addr.PageSize]byte

// keep puts content that was not granted to a process in this batch into the
// frame.
func (s *shard) keep(a arrival) {
	if a.content == nil {
		a.content = zeros[:]
	}
	if err := s.node.segment(a.page).frame.Fill(a.page, a.content); err != nil {
		s.node.failMemory(err)
	}
}

// failMemory ends the run: this node cannot keep its promise about a page.
func (n *Node) failMemory(err error) {
	n.fail(fmt.Errorf("node %d cannot change its memory: %w", n.id, err))
}

// The passes in which a batch about several pages is carried out, so that
// neighbouring pages share a system call. Effects on different pages commute;
// the effects on one page are in the order of the passes (inPasses says so).
const (
	passProtect = iota
	passContent // page bytes are read or written
	passDrop
	passSend // messages without a page: an Ack may say that the page is gone
	passGrant
)

func passOf(e *protocol.Effect) int {
	switch e.Kind {
	case protocol.FrameProtect, protocol.Held: // input has seen to Held
		return passProtect
	case protocol.Send:
		switch m := &e.Msg; {
		case m.Data == protocol.PageData:
			return passContent
		case m.Kind == protocol.Grant && m.Op == protocol.OpRead, m.Kind == protocol.Ack && m.Keep != protocol.None:
			// What follows from a page that stays travels with its Data: who gets
			// both in one frame maps the page as it comes.
			return passContent
		}
		return passSend
	case protocol.FrameFill, protocol.HomeFill, protocol.FrameZero, protocol.FrameToHome, protocol.HomeToFrame:
		return passContent
	case protocol.FrameDrop:
		return passDrop
	case protocol.FrameGrant:
		return passGrant
	}
	return passSend
}

// inPasses says whether the effects on each page are in the order of the
// passes. The effects on one page follow each other in the batch.
func (s *shard) inPasses() bool {
	last, page := passProtect, addr.PageNum(0)
	for i := range s.batch.Effects {
		e := &s.batch.Effects[i]
		pass := passOf(e)
		if i > 0 && e.Page == page && pass < last {
			return false
		}
		last, page = pass, e.Page
	}
	return true
}

// carryOut does what the batch says and empties it.
// Preconditions: s.mu is held.
func (s *shard) carryOut() {
	effects := s.batch.Effects
	s.misorder(effects)
	if s.inputs > 1 && s.inPasses() {
		var r run
		for pass := passProtect; pass <= passGrant; pass++ {
			for i := range effects {
				if passOf(&effects[i]) == pass {
					s.effect(&effects[i], &r)
				}
			}
			s.endRun(&r)
		}
	} else {
		for i := range effects {
			var r run
			s.effect(&effects[i], &r)
			s.endRun(&r)
		}
	}
	for _, a := range s.fills.rest() {
		if !s.withhold(a) {
			s.keep(a)
		}
	}
	s.batch.Reset()
	s.inputs = 0
}

// run is neighbouring pages with the same system call to come.
type run struct {
	kind    protocol.EffectKind
	seg     *segment
	mapping *mapping // FrameGrant
	write   bool     // FrameGrant
	from    source   // FrameGrant
	content []byte   // of the pages, where from is inContent
	first   addr.PageNum
	n       int64
}

// source says where the content of pages is that are granted.
type source uint8

const (
	inFrame   source = iota
	inContent        // it came with this batch, and no process has the page
	inZeros          // the page was never written, and no process has it
)

// extend makes the page part of the run, after ending another one.
func (s *shard) extend(r *run, next run) {
	if r.n > 0 && r.kind == next.kind && r.seg == next.seg && r.mapping == next.mapping &&
		r.write == next.write && r.from == next.from && r.first+addr.PageNum(r.n) == next.first {
		content, ok := join(r.content, next.content)
		if ok {
			r.content = content
			r.n++
			return
		}
	}
	s.endRun(r)
	*r = next
	r.n = 1
}

func (s *shard) endRun(r *run) {
	if r.n == 0 {
		return
	}
	var err error
	switch r.kind {
	case protocol.FrameProtect:
		err = r.seg.frame.Protect(r.first, r.n)
	case protocol.FrameDrop:
		err = r.seg.frame.Punch(r.first, r.n)
	case protocol.FrameGrant:
		err = s.install(r)
	}
	if s.log != nil && r.kind == protocol.FrameProtect {
		for i := range r.n {
			p := r.first + addr.PageNum(i)
			s.log.Content(trace.Give, p, s.node.leaf(), r.seg.frame.Page(p))
		}
	}
	if err != nil {
		s.node.failMemory(err)
	}
	r.n = 0
}

// install gives a process access. A process that is gone, or has unmapped the
// page, needs none, but the content must stay with the node.
func (s *shard) install(r *run) error {
	s.letInEarly(r)
	var done int64
	switch r.from {
	case inContent:
		done, _ = r.mapping.uffd.Copy(r.first, r.content, r.write)
	case inZeros:
		done, _ = r.mapping.uffd.Zero(r.first, r.n, r.write)
	}
	if r.from != inFrame {
		// What could not be filled and mapped at once goes the long way.
		for i := done; i < r.n; i++ {
			content := zeros[:]
			if r.from == inContent {
				content = r.content[i<<addr.PageShift:][:addr.PageSize]
			}
			if err := r.seg.frame.Fill(r.first+addr.PageNum(i), content); err != nil {
				return err
			}
		}
	}
	first, n := r.first+addr.PageNum(done), r.n-done
	err := r.mapping.uffd.Install(first, n, r.write)
	switch {
	case errors.Is(err, memory.ErrGone), errors.Is(err, memory.ErrUnmapped):
		return nil
	case errors.Is(err, memory.ErrBusy):
		s.node.residences.retry(r.mapping, first, n)
		return nil
	}
	return err
}

func (s *shard) effect(e *protocol.Effect, r *run) {
	if s.catchUp(e); s.putOff(e) {
		return
	}
	p := e.Page
	switch e.Kind {
	case protocol.Send:
		s.sendPage(e)
	case protocol.FrameProtect, protocol.FrameDrop:
		seg := s.node.segment(p)
		if e.Kind == protocol.FrameDrop {
			s.hot.count(p)
			seg.stats.recalls.Add(1)
		} else {
			seg.stats.downgrades.Add(1)
		}
		s.extend(r, run{kind: e.Kind, seg: seg, first: p})
	case protocol.FrameGrant:
		s.grant(e, r)
	case protocol.FrameToHome:
		seg := s.node.segment(p)
		s.traceSend(p, seg.frame.Page(p))
		if err := seg.home.Fill(p, seg.frame.Page(p)); err != nil {
			s.node.failMemory(err)
		}
		s.log.Content(trace.Take, p, s.node.root(), seg.home.Page(p))
	case protocol.HomeToFrame:
		seg := s.node.segment(p)
		s.log.Content(trace.Take, p, s.node.leaf(), seg.home.Page(p))
		if err := seg.frame.Fill(p, seg.home.Page(p)); err != nil {
			s.node.failMemory(err)
		}
	case protocol.HomeDrop:
		if err := s.node.segment(p).home.Punch(p, 1); err != nil {
			s.node.fail(fmt.Errorf("node %d cannot free a page: %w", s.node.id, err))
		}
	case protocol.Written:
		done := s.written[p]
		delete(s.written, p)
		for _, f := range done {
			f()
		}
		s.askAgain(p)
	case protocol.FrameFill, protocol.FrameZero, protocol.HomeFill, protocol.Held:
		// input has seen to them.
	}
}

// grant gives the page to those who wait for it. A node that may write lets
// every process write: it has the only copy.
func (s *shard) grant(e *protocol.Effect, r *run) {
	seg := s.node.segment(e.Page)
	waiters := s.waiters[e.Page]
	if len(waiters) == 0 {
		return
	}
	delete(s.waiters, e.Page)
	for i := range waiters {
		w := &waiters[i]
		if w.mapping != nil {
			next := run{kind: protocol.FrameGrant, seg: seg, mapping: w.mapping,
				write: e.Right == protocol.Write, first: e.Page}
			// The first process gets what has come straight into its mapping.
			if a, ok := s.fills.take(e.Page); ok {
				next.from, next.content = inContent, a.content
				if a.content == nil {
					next.from = inZeros
				}
			}
			s.extend(r, next)
		}
		if w.fetched != nil {
			w.fetched()
		}
	}
	s.spare(waiters)
}

// askAgain makes those who wait for the page fault again: they came while the
// page was being written back, and no request was made for them.
func (s *shard) askAgain(p addr.PageNum) {
	waiters := s.waiters[p]
	delete(s.waiters, p)
	for _, w := range waiters {
		if w.mapping != nil {
			s.wake(w.mapping, p)
		}
		if w.fetched != nil {
			w.fetched()
		}
	}
}

// wake makes a process that waits for the page fault again, if need be later.
func (s *shard) wake(m *mapping, p addr.PageNum) {
	if err := m.uffd.Wake(p, 1); errors.Is(err, memory.ErrBusy) {
		s.node.residences.retry(m, p, 1)
	}
}

func (s *shard) sendPage(e *protocol.Effect) {
	l := s.node.link(e.Msg.To.Node)
	if l == nil {
		return // the peer is down, and the cluster with it
	}
	var page []byte
	if e.Msg.Data == protocol.PageData {
		seg := s.node.segment(e.Page)
		page = seg.frame.Page(e.Page)
		if e.Msg.From.Tag == addr.Root {
			page = seg.home.Page(e.Page)
		} else {
			s.traceSend(e.Page, page)
		}
		seg.stats.pagesOut.Add(1)
	} else if e.Msg.Kind == protocol.Ack && e.Msg.From.Tag == addr.Leaf {
		s.traceStep(trace.SendAck, e.Page, nil, false)
	}
	l.Append(&e.Msg, page)
	s.touched.add(l)
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
