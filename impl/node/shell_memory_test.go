//go:build invariants || race || mutants

package node

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/memory"
)

// The kernel's memory, as the contracts of impl/memory have it: which pages of a
// segment a node has, what each process may do with them, who sleeps. It says that
// it is busy, or out of memory, when the choices have it so.

// modelFrames is the frames of one life of a segment at one node.
type modelFrames struct {
	member *member
	seg    *segment
	life   *segmentLife
	pages  map[addr.PageNum][]byte // that are there
	tables []*modelTable
}

// segmentLife is one life of a segment, at all nodes.
type segmentLife struct {
	generation uint64
	latest     map[addr.PageNum]uint64 // what was stored last
	ends       bool                    // some node removes it
}

// entry is what a process may do with a page.
type entry uint8

const (
	absent entry = iota
	protected
	writable
	poisoned
)

// modelTable is a process's mapping of a segment.
type modelTable struct {
	frames  *modelFrames
	process *process
	mapping *mapping
	entries map[addr.PageNum]entry
	events  []*programThread     // whose faults nobody has read
	retries map[addr.PageNum]int // that are owed: the kernel was busy
}

func (s *member) newFrames(seg *segment) *modelFrames {
	l := s.w.lives[seg.info.Generation]
	if l == nil {
		l = &segmentLife{generation: seg.info.Generation, latest: make(map[addr.PageNum]uint64)}
		s.w.lives[l.generation] = l
	}
	h := &modelFrames{member: s, seg: seg, life: l, pages: make(map[addr.PageNum][]byte)}
	s.frames[l.generation] = h
	return h
}

func (s *member) attach(p *process, h *modelFrames) *modelTable {
	t := &modelTable{frames: h, process: p, entries: make(map[addr.PageNum]entry), retries: make(map[addr.PageNum]int)}
	t.mapping = &mapping{seg: h.seg, table: t}
	h.tables = append(h.tables, t)
	p.tables[h.life.generation] = t
	s.w.faults(s, t)
	return t
}

// trouble is what the kernel answers now and then: nil is no trouble.
func (w *world) trouble(op string, p addr.PageNum, answers ...error) error {
	if w.troubles == 0 {
		return nil
	}
	i := w.choices.trouble(len(answers))
	if i == 0 {
		return nil
	}
	w.troubles--
	w.note("%s of %v: %v", op, p, answers[i-1])
	return &memory.PageError{Op: op, Page: p, Err: answers[i-1]}
}

// signature is what is at both ends of a page's content: no two stores have the
// same, and zeros have none.
func (w *world) signature(p addr.PageNum, content []byte) uint64 {
	head := binary.NativeEndian.Uint64(content)
	if tail := binary.NativeEndian.Uint64(content[addr.PageSize-8:]); len(content) != addr.PageSize || head != tail {
		w.violate("content", "%d bytes are the content of %v, and begin with store %d and end with %d", len(content), p, head, tail)
	}
	return head
}

func sign(content []byte, value uint64) {
	binary.NativeEndian.PutUint64(content, value)
	binary.NativeEndian.PutUint64(content[addr.PageSize-8:], value)
}

// Page implements frames.
func (h *modelFrames) Page(p addr.PageNum) []byte {
	w := h.member.w
	h.member.under("the content is read", h, p)
	content, ok := h.pages[p]
	if !ok {
		w.violate("content", "node %d reads %v, which is a hole", h.member.id, p)
	}
	for _, t := range h.tables {
		if t.entries[p] == writable {
			w.violate("content", "node %d reads %v while %s may store to it", h.member.id, p, t.process.name)
		}
	}
	return content
}

// Fill implements frames.
func (h *modelFrames) Fill(p addr.PageNum, src []byte) error {
	w := h.member.w
	w.yield()
	l := h.member.under("the frame is filled", h, p)
	if err := w.trouble("fill", p, unix.ENOMEM); err != nil {
		return err
	}
	h.put(l, p, src)
	return nil
}

// put puts a content into a hole.
func (h *modelFrames) put(l *ledger, p addr.PageNum, src []byte) {
	w := h.member.w
	value := w.signature(p, src)
	w.note("fill of %v with %d", p, value)
	if _, ok := h.pages[p]; ok {
		w.violate("content", "node %d fills %v, which has a content", h.member.id, p)
	}
	l.fill(value)
	content := make([]byte, addr.PageSize)
	sign(content, value)
	h.pages[p] = content
}

// Protect implements frames.
func (h *modelFrames) Protect(p addr.PageNum, n int64) error {
	w := h.member.w
	w.yield()
	ledgers := h.member.all("pages are protected", h, p, n)
	if err := w.trouble("protect", p, memory.ErrBusy, unix.ENOMEM); err != nil {
		return err
	}
	w.note("protect %d pages from %v", n, p)
	for _, l := range ledgers {
		l.protect()
		for _, t := range h.tables {
			if t.entries[l.page] == writable {
				t.entries[l.page] = protected
			}
		}
	}
	return nil
}

// Punch implements frames.
func (h *modelFrames) Punch(p addr.PageNum, n int64) error {
	w := h.member.w
	w.yield()
	if h.seg.removed.Load() {
		if err := w.trouble("punch", p, unix.ENOMEM); err != nil {
			return err
		}
		for q := p; q < p+addr.PageNum(n); q++ {
			h.drop(q)
		}
		return nil
	}
	ledgers := h.member.all("pages are dropped", h, p, n)
	if err := w.trouble("punch", p, unix.ENOMEM); err != nil {
		return err
	}
	w.note("punch %d pages from %v", n, p)
	for _, l := range ledgers {
		l.drop()
		h.drop(l.page)
	}
	return nil
}

func (h *modelFrames) drop(p addr.PageNum) {
	clear(h.pages[p]) // whoever still reads it reads zeros
	delete(h.pages, p)
	for _, t := range h.tables {
		if t.entries[p] != poisoned {
			delete(t.entries, p)
		}
	}
}

// grant makes an entry of a page that is there.
func (t *modelTable) grant(l *ledger, p addr.PageNum, write bool) {
	l.grant(write)
	to := protected
	if write {
		to = writable
	}
	if t.entries[p] == poisoned {
		t.entries[p] = absent
	}
	t.entries[p] = max(t.entries[p], to)
	t.frames.member.w.note("%s may access %v, write %t", t.process.name, p, write)
	t.wake(p)
	l.look()
}

// wake ends the sleep of who waits for a page.
func (t *modelTable) wake(p addr.PageNum) {
	for _, o := range t.process.threads {
		if o.state == asleep && o.table == t && o.page == p {
			o.wake()
		}
	}
}

// Install implements pageTable.
func (t *modelTable) Install(p addr.PageNum, n int64, write bool) error {
	w := t.frames.member.w
	w.yield()
	for _, l := range t.frames.member.all("pages are installed", t.frames, p, n) {
		if t.process.gone {
			return memory.ErrGone
		}
		if err := w.trouble("install", l.page, memory.ErrBusy, unix.ENOMEM); err != nil {
			if busy(err) {
				for q := p; q < p+addr.PageNum(n); q++ {
					t.retries[q]++
				}
			}
			return err
		}
		if _, ok := t.frames.pages[l.page]; !ok {
			w.violate("content", "node %d gives %s access to %v, which is a hole", t.frames.member.id, t.process.name, l.page)
		}
		t.grant(l, l.page, write)
	}
	return nil
}

func busy(err error) bool { return err.(*memory.PageError).Err == memory.ErrBusy }

// Copy implements pageTable.
func (t *modelTable) Copy(p addr.PageNum, src []byte, write bool) (int64, error) {
	n := int64(len(src)) >> addr.PageShift
	return t.fill("copy", p, n, write, func(i int64) []byte { return src[i<<addr.PageShift:][:addr.PageSize] })
}

// Zero implements pageTable.
func (t *modelTable) Zero(p addr.PageNum, n int64, write bool) (int64, error) {
	return t.fill("zero", p, n, write, func(int64) []byte { return zeros[:] })
}

func (t *modelTable) fill(op string, p addr.PageNum, n int64, write bool, content func(int64) []byte) (int64, error) {
	w := t.frames.member.w
	w.yield()
	for i, l := range t.frames.member.all("pages are filled and mapped", t.frames, p, n) {
		if t.process.gone {
			return int64(i), memory.ErrGone
		}
		if err := w.trouble(op, l.page, memory.ErrBusy, unix.ENOMEM); err != nil {
			return int64(i), err
		}
		if _, ok := t.frames.pages[l.page]; ok {
			t.wake(l.page)
			return int64(i), &memory.PageError{Op: op, Page: l.page, Err: memory.ErrExists}
		}
		t.frames.put(l, l.page, content(int64(i)))
		t.grant(l, l.page, write)
	}
	return n, nil
}

// Wake implements pageTable.
func (t *modelTable) Wake(p addr.PageNum, n int64) error {
	s := t.frames.member
	s.w.yield()
	for q := p; q < p+addr.PageNum(n); q++ {
		s.under("a process is woken", t.frames, q)
		if t.process.gone {
			return memory.ErrGone
		}
		written := s.ledger(t.frames, q).written && len(s.shardOf(q).batch.Effects) > 0
		if !written && t.retries[q] == 0 {
			s.w.violate("wake", "node %d wakes who waits for %v in %s, and has no reason", s.id, q, t.process.name)
		}
		err := s.w.trouble("wake", q, memory.ErrBusy)
		switch {
		case err != nil && written:
			t.retries[q]++
		case err == nil && !written:
			t.retries[q]--
		}
		if err != nil {
			return err
		}
		s.w.note("%s is woken for %v", t.process.name, q)
		t.wake(q)
	}
	return nil
}

// Poison implements pageTable.
func (t *modelTable) Poison(p addr.PageNum, n int64) error {
	w := t.frames.member.w
	w.yield()
	if t.process.gone {
		return memory.ErrGone
	}
	for q := p; q < p+addr.PageNum(n); q++ {
		if !t.frames.seg.removed.Load() {
			w.violate("poison", "node %d poisons %v of a segment that is there", t.frames.member.id, q)
		}
		if _, ok := t.frames.pages[q]; ok {
			w.violate("poison", "node %d poisons %v, which is still there", t.frames.member.id, q)
		}
		if err := w.trouble("poison", q, memory.ErrBusy, unix.ENOMEM); err != nil {
			t.retries[q]++
			return err
		}
		t.entries[q] = poisoned
		t.wake(q)
	}
	return nil
}

// process is a program at a node.
type process struct {
	name    string
	member  *member
	gone    bool
	tables  map[uint64]*modelTable
	threads []*programThread
}

// programThread is a thread of a program.
type programThread struct {
	process *process
	name    string
	left    int // accesses
	state   condition
	table   *modelTable
	page    addr.PageNum
	store   bool
	fault   memory.Fault
}

type condition uint8

const (
	idling condition = iota
	running
	asleep
)

func (o *programThread) String() string {
	op := "load"
	if o.store {
		op = "store"
	}
	return fmt.Sprintf("%s of %v in %s", op, o.page, o.name)
}

// wake has a thread try again; its fault is out of date.
func (o *programThread) wake() {
	o.state = running
	for i, other := range o.table.events {
		if other == o {
			o.table.events = append(o.table.events[:i:i], o.table.events[i+1:]...)
			break
		}
	}
}

// access does what the thread is to do, or has it fault and sleep.
func (o *programThread) access() {
	t, w := o.table, o.process.member.w
	switch e := t.entries[o.page]; {
	case e == poisoned:
		w.note("bus error: %v", o)
		o.end()
	case e == writable || e == protected && !o.store:
		content := t.frames.pages[o.page]
		value, latest := w.signature(o.page, content), t.frames.life.latest[o.page]
		if value != latest && !t.frames.life.ends {
			w.violate("stale", "%v at node %d sees %d, and %d was stored last", o, t.frames.member.id, value, latest)
		}
		if o.store {
			w.stores++
			sign(content, w.stores)
			t.frames.life.latest[o.page] = w.stores
			t.frames.member.ledger(t.frames, o.page).store(w.stores)
		}
		w.note("done: %v, %d, now %d", o, value, t.frames.life.latest[o.page])
		o.end()
	default:
		kind := memory.Missing
		if _, ok := t.frames.pages[o.page]; ok {
			kind = memory.Minor
		}
		if e == protected {
			kind = memory.WriteProtect
		}
		o.fault = memory.Fault{Page: o.page, Write: o.store, Kind: kind}
		o.state = asleep
		t.events = append(t.events, o)
		w.note("fault: %v", o)
	}
}

func (o *programThread) end() {
	o.state = idling
	o.left--
}
