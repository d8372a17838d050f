//go:build invariants || race || mutants

package node

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// The rules of the shell. For each page of each node there is a ledger of what the
// core has said, and what is done is taken off it:
//
//	arrival    the core is given the messages of a link about one page in the order
//	           in which they came, each once, with its own page; syncs keep their place
//	shard      and is given an input about a page under the lock of the page's shard
//	order      effects on a page are carried out in the order in which the core has
//	           said them; nothing else is
//	undone     all of them are when the lock is given back, and what frames and
//	           master copies hold is what the effects say
//	lock       whatever touches a page, or tells another node of it, holds that lock
//	content    what is read was filled before, and nobody may store to it meanwhile;
//	           what is sent is what was stored last, as a whole
//	right      no process may do more than the core has said, nor less than a grant
//	stale      a load sees what was stored last, anywhere; who writes is alone
//	wake       who is woken has been granted the page, or there is a reason to ask again
//	residence  a page stays so long with whom it was granted
//	flush      what was appended has been sent when nobody is at work
//	errand     what was posted is done then
//	cut        what a machine puts out is under the highest cut that any of the node's
//	           machines has heard of before
//	rest       in the end nobody waits for anything

// place is a page in one life of a segment.
type place struct {
	generation uint64
	page       addr.PageNum
}

// ledger is what the core has said of a page, and is still to be done.
type ledger struct {
	place
	member  *member
	frames  *modelFrames
	due     []pendingEffect
	frame   content // when all before due is done
	home    content
	granted bool           // by the last input
	written bool           // by the batch: who waits is to ask again
	right   protocol.Right // after the last input
	since   time.Time      // when that was granted
	held    bool           // it is among the pages of a lock that is held
}

// content is a content, or none.
type content struct {
	there bool
	value uint64
}

// pendingEffect is an effect, and the content that came with it.
type pendingEffect struct {
	protocol.Effect
	value uint64
}

func (s *member) ledger(h *modelFrames, p addr.PageNum) *ledger {
	at := place{h.life.generation, p}
	l := s.pages[at]
	if l == nil {
		l = &ledger{place: at, member: s, frames: h}
		s.pages[at] = l
	}
	return l
}

// under is the ledger of a page that something is done to, which needs its lock.
func (s *member) under(what string, h *modelFrames, p addr.PageNum) *ledger {
	sh := s.shardOf(p)
	if a := s.w.running; a == nil || s.w.owners[sh] != a {
		s.w.violate("lock", "node %d: %s of %v, and the lock of its shard is not held", s.id, what, p)
	}
	l := s.ledger(h, p)
	s.hold(sh, l)
	return l
}

// all is under for several pages.
func (s *member) all(what string, h *modelFrames, p addr.PageNum, n int64) []*ledger {
	var list []*ledger
	for q := p; q < p+addr.PageNum(n); q++ {
		list = append(list, s.under(what, h, q))
	}
	return list
}

func (s *member) hold(sh *shard, l *ledger) {
	if !l.held {
		l.held = true
		s.held[sh] = append(s.held[sh], l)
	}
}

// stepped implements scheduler.
func (w *world) stepped(sh *shard, in *protocol.Input, page []byte, effects []protocol.Effect, err error) {
	if w.over {
		return
	}
	s := w.members[sh.node.id]
	p := in.Page
	if in.Kind == protocol.InMessage {
		p = in.Msg.Page
	}
	if s.shardOf(p) != sh || w.running != nil && w.owners[sh] != w.running {
		w.violate("shard", "node %d: %v of %v is given to shard %d, whose lock is held: %t", s.id, in.Kind, p, sh.index, s.shardOf(p) == sh)
	}
	if in.Kind == protocol.InMessage && err != protocol.ErrEarly {
		s.given(in.Msg, page)
	}
	for i := range effects {
		if e := &effects[i]; e.Kind == protocol.Send {
			s.tagged(e.Msg.Kind, &e.Msg.Envelope)
		}
	}
	s.heard = max(s.heard, sh.core.Cut())
	w.note("%v of %v: %v", in.Kind, p, said{effects, err})
	seg := s.segment(p)
	if seg == nil {
		return
	}
	if len(effects) == len(sh.batch.Effects) { // a batch begins
		for _, l := range s.held[sh] {
			l.finish()
			l.written = false
		}
	}
	l := s.ledger(s.frames[seg.info.Generation], p)
	s.hold(sh, l)
	l.granted = false
	for _, e := range effects {
		d := pendingEffect{Effect: e}
		switch e.Kind {
		case protocol.FrameFill, protocol.HomeFill:
			d.value = w.signature(p, page)
		case protocol.FrameProtect, protocol.FrameDrop:
			if stayed := time.Since(l.since); in.Kind != protocol.InEvict && stayed < w.residence {
				w.violate("residence", "node %d gives %v up after %v", s.id, p, stayed)
			}
		case protocol.FrameGrant:
			if l.granted = true; in.Kind == protocol.InMessage || sh.core.RightTo(p) > l.right {
				l.since = time.Now()
			}
		case protocol.Held:
			s.resides(p, l.since.Add(w.residence))
		case protocol.Written:
			l.written = true
		}
		l.due = append(l.due, d)
	}
	l.right = sh.core.RightTo(p)
}

// tagged demands that a message which a machine puts out has the cut of the node.
func (s *member) tagged(kind fmt.Stringer, m *protocol.Envelope) {
	if m.Cut < s.heard {
		s.w.violate("cut", "node %d sends a %v under cut %d and has heard of %d", s.id, kind, m.Cut, s.heard)
	}
}

// resides demands that the residence of a page ends in its time.
func (s *member) resides(p addr.PageNum, end time.Time) {
	then := time.Until(end)
	i := slices.IndexFunc(s.Node.residences.queue, func(d due) bool { return d.mapping == nil && d.page == p && d.at.After(time.Now()) })
	switch {
	case then > 0 && i < 0:
		s.w.violate("residence", "node %d holds a recall of %v back, which is to end in %v, and will not think of it", s.id, p, then)
	case i >= 0 && time.Until(s.Node.residences.queue[i].at) != max(then, 0):
		s.w.violate("residence", "node %d holds a recall of %v back for %v more, and it is to be %v", s.id, p, time.Until(s.Node.residences.queue[i].at), max(then, 0))
	}
}

// said is what the core says, in words.
type said struct {
	effects []protocol.Effect
	err     error
}

func (s said) String() string {
	if s.err != nil {
		return s.err.Error()
	}
	text := ""
	for i := range s.effects {
		text += describeEffect(&s.effects[i]) + "; "
	}
	return text
}

func describeEffect(e *protocol.Effect) string {
	switch e.Kind {
	case protocol.Send:
		return fmt.Sprintf("send %v %v to %v", e.Msg.Kind, e.Msg.Op, e.Msg.To)
	case protocol.FrameGrant:
		return fmt.Sprintf("%v %v", e.Kind, e.Access)
	}
	return e.Kind.String()
}

// given takes a message off those that have arrived.
func (s *member) given(m *protocol.Message, page []byte) {
	from := origin{m.From.Node, m.Page}
	list := s.arrived[from]
	switch {
	case len(list) == 0:
		s.w.violate("arrival", "node %d: the core is given a %v of %v from node %d that has not come", s.id, m.Kind, m.Page, m.From.Node)
	case list[0].msg != *m:
		s.w.violate("arrival", "node %d: the core is given a %v of %v from node %d, and before it came a %v", s.id, m.Kind, m.Page, m.From.Node, list[0].msg.Kind)
	case page != nil && s.w.signature(m.Page, page) != list[0].value:
		s.w.violate("arrival", "node %d: the core is given the %v of %v with another page than came with it", s.id, m.Kind, m.Page)
	}
	l := s.w.members[m.From.Node].links[s.id]
	l.given = max(l.given, list[0].place)
	if s.arrived[from] = list[1:]; len(list) == 1 {
		delete(s.arrived, from)
	}
}

// ObserveSync implements protocol.SyncObserver.
func (s *member) ObserveSync(e *protocol.SyncEvent) {
	if e.Action == protocol.ActLockRecvGrant {
		s.fence = e.Message.Fence
	}
	if e.Message == nil || e.Message.From.Node == s.id {
		return
	}
	l := s.w.members[e.Message.From.Node].links[s.id]
	if len(l.syncs) == 0 || *l.syncs[0].sync != *e.Message {
		s.w.violate("arrival", "node %d is given a sync from node %d that is not the next one", s.id, e.Message.From.Node)
	}
	s.heard = max(s.heard, e.Message.Cut)
	at := l.syncs[0].place
	l.syncs = l.syncs[1:]
	before := 0
	for from, list := range s.arrived {
		if from.peer == e.Message.From.Node && list[0].place < at {
			before++
		}
	}
	if before > 0 || l.given > at {
		s.w.violate("arrival", "node %d is given a sync from node %d: it was given no message of %d pages that came before, and some that came behind it: %t",
			s.id, e.Message.From.Node, before, l.given > at)
	}
}

// reach passes over what does not show, up to an effect of the kind.
func (l *ledger) reach(kind protocol.EffectKind, what string) *pendingEffect {
	for len(l.due) > 0 {
		d := &l.due[0]
		if d.Kind == kind {
			return d
		}
		if !l.pass(d) {
			l.member.w.violate("order", "node %d: %s of %v, and before it the core has said: %s", l.member.id, what, l.page, describeEffect(&d.Effect))
		}
		l.due = l.due[1:]
	}
	l.member.w.violate("order", "node %d: %s of %v, and the core has not said so", l.member.id, what, l.page)
	return nil
}

// pass does an effect that does not show when it is carried out, but in what is
// there afterwards. It is false for others.
func (l *ledger) pass(d *pendingEffect) bool {
	switch d.Kind {
	case protocol.FrameFill:
		l.frame = content{true, d.value}
	case protocol.FrameZero:
		l.frame = content{there: true}
	case protocol.HomeToFrame:
		l.frame = l.home
	case protocol.HomeFill:
		l.home = content{true, d.value}
	case protocol.FrameToHome:
		l.home = l.frame
	case protocol.HomeDrop:
		l.home = content{}
	case protocol.FrameGrant, protocol.Held, protocol.Written:
	default:
		return false
	}
	return true
}

func (l *ledger) done() { l.due = l.due[1:] }

func (l *ledger) protect() {
	l.reach(protocol.FrameProtect, "protection")
	l.done()
}

func (l *ledger) drop() {
	l.reach(protocol.FrameDrop, "a drop")
	l.done()
	l.frame = content{}
}

// fill is told what a frame is filled with.
func (l *ledger) fill(value uint64) {
	for !l.frame.there && len(l.due) > 0 && l.pass(&l.due[0]) {
		l.done()
	}
	if want := (content{true, value}); l.frame != want {
		l.member.w.violate("content", "node %d fills %v with store %d, and the core has said %v", l.member.id, l.page, value, l.frame)
	}
}

func (l *ledger) store(value uint64) { l.frame = content{true, value} }

// grant is told what a process is let do.
func (l *ledger) grant(write bool) {
	d := l.reach(protocol.FrameGrant, "a grant")
	if write != (d.Access == protocol.Write) {
		l.member.w.violate("right", "node %d lets a process write %v: %t, and the core has said %v", l.member.id, l.page, write, d.Access)
	}
}

// look demands that who writes is alone, and sees what was stored last.
func (l *ledger) look() {
	w := l.member.w
	writers, readers := 0, 0
	for _, s := range w.members {
		h := s.frames[l.generation]
		if h == nil {
			continue
		}
		most := absent
		for _, t := range h.tables {
			if e := t.entries[l.page]; e != poisoned {
				most = max(most, e)
			}
		}
		switch most {
		case writable:
			writers++
		case protected:
			readers++
		}
	}
	if life := l.frames.life; !life.ends && (writers > 1 || writers == 1 && readers > 0) {
		w.violate("stale", "%d nodes let processes write %v, and %d let them read it", writers, l.page, readers)
	}
}

// send is told what is appended to a link.
func (l *ledger) send(m *protocol.Message, page []byte) {
	w := l.member.w
	d := l.reach(protocol.Send, fmt.Sprintf("a %v", m.Kind))
	if d.Msg != *m {
		w.violate("order", "node %d sends a %v of %v to %v, and the core has said: %s", l.member.id, m.Kind, l.page, m.To, describeEffect(&d.Effect))
	}
	if m.Kind == protocol.Data {
		want := l.frame
		if m.From.Tag == addr.Root {
			want = l.home
		}
		if got := (content{true, w.signature(l.page, page)}); got != want {
			w.violate("content", "node %d sends %v as %v, and it is %v", l.member.id, l.page, got, want)
		}
	}
	l.done()
}

// settled looks at the pages of a lock that is given back.
func (s *member) settled(sh *shard) {
	s.lives()
	for _, l := range s.held[sh] {
		l.held = false
		if !l.frames.seg.removed.Load() {
			l.settle(sh)
		}
		l.granted, l.written = false, false
	}
	s.held[sh] = s.held[sh][:0]
}

// finish passes over what does not show: nothing else is left of a batch.
func (l *ledger) finish() {
	for ; len(l.due) > 0; l.done() {
		if d := &l.due[0]; !l.pass(d) {
			l.member.w.violate("undone", "node %d goes on, and has not done for %v: %s", l.member.id, l.page, describeEffect(&d.Effect))
		}
	}
}

func (l *ledger) settle(sh *shard) {
	w, s, p := l.member.w, l.member, l.page
	l.finish()
	var frame, home content
	if c, ok := l.frames.pages[p]; ok {
		frame = content{true, w.signature(p, c)}
	}
	masters := &l.frames.seg.masters[sh.index]
	for q := range masters.All {
		if q == p {
			home = content{true, w.signature(p, masters.Page(&sh.pool, p))}
		}
	}
	if frame != l.frame || home != l.home {
		w.violate("undone", "node %d gives the lock back, and has of %v the frame %v and the master copy %v; it is to have %v and %v",
			s.id, p, frame, home, l.frame, l.home)
	}
	if l.granted && len(sh.waiters[p]) > 0 {
		w.violate("undone", "node %d gives the lock back, and %d wait for %v, which was granted", s.id, len(sh.waiters[p]), p)
	}
	right := protocol.Access(sh.core.RightTo(p))
	for _, t := range l.frames.tables {
		if e := t.entries[p]; e == writable && right < protocol.Write || e == protected && right < protocol.Read {
			w.violate("right", "node %d gives the lock back, its right to %v is %v, and %s may do more", s.id, p, right, t.process.name)
		}
	}
}

// lives demands that the node has not given up.
func (s *member) lives() {
	if err := s.Err(); err != nil {
		s.w.violate("failure", "node %d: %v", s.id, errors.Unwrap(err))
	}
}

// idle looks at a node at which nobody is at work.
func (s *member) idle() {
	for _, l := range s.links {
		if l != nil && len(l.open) > 0 {
			s.w.violate("flush", "node %d is idle, and has not sent a %v of %v to node %d", s.id, l.open[0].msg.Kind, l.open[0].msg.Page, l.to.id)
		}
	}
	for i := range s.shards {
		if n := s.shards[i].inbox.count.Load(); n > 0 {
			s.w.violate("errand", "node %d is idle, and %d errands of shard %d are not done", s.id, n, i)
		}
	}
	if s.Node.fetching.n < 0 {
		s.w.violate("wake", "node %d was told %d times too often that a page has come", s.id, -s.Node.fetching.n)
	}
}

// atRest looks at the cluster when nothing can happen any more.
func (w *world) atRest() {
	for _, a := range w.tasks {
		if a.ends && !a.over {
			w.violate("rest", "%s is never done", a.name)
		}
	}
	for _, s := range w.members {
		s.idle()
		for _, o := range s.programThreads() {
			if o.state != idling && !o.process.gone {
				w.violate("rest", "for ever waits the %v", o)
			}
		}
		for from, list := range s.arrived {
			w.violate("arrival", "node %d: the core was never given a %v of %v from node %d", s.id, list[0].msg.Kind, from.page, from.peer)
		}
		for i := range s.shards {
			sh := &s.shards[i]
			switch {
			case w.owners[sh] != nil:
				w.violate("rest", "the lock of shard %d of node %d is held", i, s.id)
			case sh.core.Pending() > 0:
				w.violate("rest", "node %d: %d pages of shard %d wait for messages", s.id, sh.core.Pending(), i)
			case len(sh.waiters) > 0 || len(sh.written) > 0 || sh.early.Len() > 0 || len(sh.homeward) > 0:
				w.violate("rest", "node %d, shard %d: there are waiters of %d pages, of %d writebacks, %d early messages, %d pages on their way home",
					s.id, i, len(sh.waiters), len(sh.written), sh.early.Len(), len(sh.homeward))
			}
		}
		if n := s.Node.fetching.n; n != 0 {
			w.violate("rest", "node %d counts %d pages that are being fetched", s.id, n)
		}
		if n := len(s.Node.residences.queue); n > 0 {
			w.violate("rest", "node %d has %d things to do later", s.id, n)
		}
		if s.cleaning > 0 {
			w.violate("rest", "node %d has not answered %d who had pages written back", s.id, s.cleaning)
		}
		for _, h := range s.frames {
			for _, t := range h.tables {
				for p, n := range t.retries {
					if n > 0 && !t.process.gone {
						w.violate("wake", "node %d has not tried again what the kernel was too busy for: %v for %s", s.id, p, t.process.name)
					}
				}
			}
		}
	}
}
