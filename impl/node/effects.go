package node

import (
	"errors"
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// arrival is the content of a page that this batch brings: the bytes, which
// last as long as the batch, or nil for zeros.
type arrival struct {
	page    addr.PageNum
	content []byte
}

// payloads are the pages that came with the inputs of a batch, in the order of
// the FrameFill and HomeFill effects that they belong to.
type payloads struct {
	list [][]byte
	next int // of the effect that comes next
}

func (l *payloads) add(page []byte) { l.list = append(l.list, page) }

func (l *payloads) take() []byte {
	l.next++
	return l.list[l.next-1]
}

func (l *payloads) reset() { l.list, l.next = l.list[:0], 0 }

// arrivals is what frames are to be filled with, one content for each page: the
// first process that is granted the page gets it by the call that maps the page,
// and whoever reads the frame before that puts it in first (settle). They are
// taken in about the order in which they were added.
type arrivals struct {
	list []arrival
	next int // taken are all before it
}

// add takes the place of what is still to be filled into the same page. The
// effects on a page follow each other, so that could only be the last one.
func (a *arrivals) add(one arrival) {
	if last := len(a.list) - 1; last >= a.next && a.list[last].page == one.page {
		a.list[last] = one
		return
	}
	a.list = append(a.list, one)
}

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

// fillFrom puts content that was not granted to a process in this batch into the
// frame.
func (s *shard) fillFrom(a arrival) {
	if a.content == nil {
		a.content = zeros[:]
	}
	if err := s.fillFrame(s.node.segment(a.page), a.page, a.content); err != nil {
		s.node.failMemory(err)
	}
}

func (s *shard) fillFrame(seg *segment, p addr.PageNum, content []byte) error {
	return s.persist(p, func() error { return seg.frame.Fill(p, content) })
}

// settle puts the content that the page is to be filled with into the frame, for
// an effect that reads the frame.
func (s *shard) settle(p addr.PageNum) {
	if a, ok := s.fills.take(p); ok {
		s.fillFrom(a)
	}
}

// failMemory ends the run: this node cannot keep its promise about a page. The
// core takes the step that failed for done, so that nothing of what it says from
// then on may leave this node.
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
		case m.Kind == protocol.Data:
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
		if !s.node.halted.Load() {
			s.fillFrom(a)
		}
	}
	s.batch.Reset()
	s.payloads.reset()
	s.inputs = 0
	s.node.room.release(s.freed)
	s.freed = 0
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
	if r.n == 0 || s.node.halted.Load() {
		r.n = 0
		return
	}
	var err error
	switch r.kind {
	case protocol.FrameProtect:
		err = s.protect(r)
	case protocol.FrameDrop:
		err = s.persist(r.first, func() error { return r.seg.frame.Punch(r.first, r.n) })
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

// protect takes the right to store from every process. One whose mapping changes
// all the time is waited for: the core has taken the step already, and nothing may
// be read before.
func (s *shard) protect(r *run) error {
	for {
		err := s.persist(r.first, func() error { return r.seg.frame.Protect(r.first, r.n) })
		if !errors.Is(err, memory.ErrBusy) || s.node.halted.Load() || s.node.ctx.Err() != nil {
			return err
		}
	}
}

// install gives a process access. A process that is gone, or has unmapped the
// page, needs none, but the content must stay with the node.
func (s *shard) install(r *run) error {
	var done int64
	switch r.from {
	case inContent:
		done, _ = r.mapping.table.Copy(r.first, r.content, r.write)
	case inZeros:
		done, _ = r.mapping.table.Zero(r.first, r.n, r.write)
	}
	if r.from != inFrame {
		// What could not be filled and mapped at once goes the long way.
		for i := done; i < r.n; i++ {
			content := zeros[:]
			if r.from == inContent {
				content = r.content[i<<addr.PageShift:][:addr.PageSize]
			}
			if err := s.fillFrame(r.seg, r.first+addr.PageNum(i), content); err != nil {
				return err
			}
		}
	}
	first, n := r.first+addr.PageNum(done), r.n-done
	err := s.persist(first, func() error { return r.mapping.table.Install(first, n, r.write) })
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
	if s.node.halted.Load() {
		return // an effect before this one may have failed
	}
	s.follow(e)
	p := e.Page
	switch e.Kind {
	case protocol.Send:
		s.sendPage(e)
	case protocol.FrameProtect, protocol.FrameDrop:
		seg := s.node.segment(p)
		if e.Kind == protocol.FrameDrop {
			s.fills.take(p) // nobody reads it any more
			s.hot.count(p)
			seg.stats.recalls.Add(1)
		} else {
			s.settle(p) // what is given up is recorded as it is then
			seg.stats.downgrades.Add(1)
		}
		s.extend(r, run{kind: e.Kind, seg: seg, first: p})
	case protocol.FrameGrant:
		s.grant(e, r)
	case protocol.FrameFill:
		s.fills.add(arrival{p, s.payloads.take()})
	case protocol.FrameZero:
		s.fills.add(arrival{page: p})
	case protocol.HomeFill:
		_ = s.fillMaster(p, s.payloads.take()) // else nothing more is done
	case protocol.FrameToHome:
		seg := s.node.segment(p)
		s.settle(p)
		s.traceSend(p, seg.frame.Page(p))
		if s.fillMaster(p, seg.frame.Page(p)) {
			s.log.Content(trace.Take, p, s.node.root(), s.master(p))
		}
	case protocol.HomeToFrame:
		seg := s.node.segment(p)
		s.fills.take(p) // the home's content takes its place
		content := s.master(p)
		s.log.Content(trace.Take, p, s.node.leaf(), content)
		if err := s.fillFrame(seg, p, content); err != nil {
			s.node.failMemory(err)
		}
	case protocol.HomeDrop:
		s.dropMaster(p)
	case protocol.Written:
		s.stayed(p)
		done := s.written[p]
		delete(s.written, p)
		for _, f := range done {
			f()
		}
		s.askAgain(p)
	case protocol.Held:
		// input has seen to it.
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
				write: e.Access == protocol.Write, first: e.Page}
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
	if err := m.table.Wake(p, 1); errors.Is(err, memory.ErrBusy) {
		s.node.residences.retry(m, p, 1)
	}
}

func (s *shard) sendPage(e *protocol.Effect) {
	l := s.node.link(e.Msg.To.Node)
	if l == nil {
		return // the peer is down, and the cluster with it
	}
	var page []byte
	if e.Msg.Kind == protocol.Data {
		seg := s.node.segment(e.Page)
		if e.Msg.From.Tag == addr.Root {
			page = s.master(e.Page)
		} else {
			s.settle(e.Page)
			page = seg.frame.Page(e.Page)
			s.traceSend(e.Page, page)
		}
		seg.stats.pagesOut.Add(1)
	} else if e.Msg.Kind == protocol.Ack && e.Msg.From.Tag == addr.Leaf {
		s.traceStep(trace.SendAck, e.Page, nil, false)
	}
	l.Append(&e.Msg, page)
	s.touched.add(l)
}
