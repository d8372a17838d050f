//go:build invariants || race || mutants

package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/protocol"
)

// view is a view of the configuration, and the segments that it has.
type view struct {
	*coord.View
	segments []coord.Segment
}

// residences is the thread that does what is to be done later.
func (w *world) residences(s *member) {
	s.clock.until, s.clock.idle = time.Time{}, true
	w.thread(s, "later", func(a *task) {
		for {
			left, _ := s.Node.residences.catchUp()
			s.clock.idle = left == idle
			s.clock.until = time.Now().Add(left)
			a.rest(func() bool {
				if s.dirty {
					s.dirty = false
					s.clock.woken = s.Node.residences.sleep(&unix.Timespec{}) || s.clock.woken
				}
				return s.clock.woken || !s.clock.idle && !time.Now().Before(s.clock.until)
			})
			s.clock.woken = false
		}
	})
}

// timer is for how long the thread of residences sleeps.
type timer struct {
	until time.Time
	idle  bool
	woken bool
}

// waits says until when a node waits for time to pass, if it does.
func (s *member) waits() (until time.Time, ok bool) {
	return s.clock.until, !s.clock.idle && !s.clock.woken && time.Now().Before(s.clock.until)
}

// faults is the thread that reads the faults of a mapping.
func (w *world) faults(s *member, t *modelTable) {
	w.thread(s, "faults of "+t.process.name, func(a *task) {
		for {
			a.rest(func() bool { return len(t.events) > 0 && !t.process.gone })
			n := len(t.events) - w.choices.pick(len(t.events))
			batch := make([]memory.Fault, n)
			for i, o := range t.events[:n] {
				batch[i] = o.fault
			}
			t.events = slices.Clone(t.events[n:])
			for i := range batch {
				s.fault(t.mapping, &batch[i])
			}
		}
	})
}

// populate gives a node its processes, and them their threads.
func (w *world) populate(s *member) {
	for i := range w.processes {
		p := s.newProcess(i)
		s.programs = append(s.programs, p)
		for range w.threads {
			o := p.newThread(w.accesses)
			w.program(o, func() {
				g := s.lived()
				o.begin(s.tableOf(p, g), w.page(g), w.choices.pick(2) == 1)
			})
		}
	}
}

func (s *member) newProcess(number int) *process {
	return &process{name: fmt.Sprintf("program %d.%d", s.id, number), member: s, tables: make(map[uint64]*modelTable)}
}

func (p *process) newThread(accesses int) *programThread {
	o := &programThread{process: p, name: fmt.Sprintf("%s thread %d", p.name, len(p.threads)), left: accesses}
	p.threads = append(p.threads, o)
	return o
}

// page is one of those that the workload is about.
func (w *world) page(h *modelFrames) addr.PageNum {
	return h.seg.core.First + w.pages[w.choices.pick(len(w.pages))]
}

// lived is one of the segments that a node has.
func (s *member) lived() *modelFrames {
	var list []*modelFrames
	for seg := range s.segments.Load().all() {
		list = append(list, s.frames[seg.info.Generation])
	}
	return list[s.w.choices.pick(len(list))]
}

func (s *member) tableOf(p *process, h *modelFrames) *modelTable {
	if t := p.tables[h.life.generation]; t != nil {
		return t
	}
	return s.attach(p, h)
}

// program makes a task of a thread of a program.
func (w *world) program(o *programThread, next func()) {
	w.enter(&task{name: o.name, member: o.process.member,
		ready: func() bool {
			switch {
			case o.process.gone || o.left == 0:
				return false
			case o.state == asleep:
				return w.interrupts > 0
			}
			return true
		},
		step: func() {
			switch o.state {
			case idling:
				if next(); o.state == idling {
					return
				}
			case asleep:
				w.interrupts--
				w.note("interrupted: %v", o)
				o.wake()
				return
			}
			o.access()
		}})
}

func (o *programThread) begin(t *modelTable, p addr.PageNum, store bool) {
	o.table, o.page, o.store, o.state = t, p, store, running
}

// programThreads is the threads of the node's programs.
func (s *member) programThreads() (list []*programThread) {
	for _, p := range s.programs {
		list = append(list, p.threads...)
	}
	return list
}

// begin is what goes on where nothing else is said.
func (w *world) begin() {
	for _, s := range w.members {
		w.populate(s)
		w.configuration(s)
		w.jobs(s)
	}
	w.sometimes("a view", w.workload.views, func() { w.published++ })
	w.sometimes("an exit", w.exits, func() {
		s := w.members[w.choices.pick(len(w.members))]
		p := s.programs[w.choices.pick(len(s.programs))]
		w.note("%s exits", p.name)
		p.gone = true
		for _, t := range p.tables {
			t.mapping.gone.Store(true)
			clear(t.entries)
		}
	})
}

// sometimes is what happens now and then, so many times.
func (w *world) sometimes(name string, times int, f func()) {
	a := &task{name: name}
	a.ready = func() bool { return times > 0 }
	a.step = func() {
		times--
		f()
	}
	if times > 0 {
		w.enter(a)
	}
}

// configuration is the thread that follows the configuration. It may pass over
// views; every other node does so if it can.
func (w *world) configuration(s *member) {
	if w.workload.views == 0 {
		return
	}
	w.thread(s, "views", func(a *task) {
		for {
			a.rest(func() bool { return s.view < w.published })
			for range w.choices.pick(50) {
				a.rest(nil) // it hears late
			}
			ahead := w.published - s.view
			i := w.choices.pick(ahead)
			if s.id%2 == 0 {
				i = ahead - 1 - i
			}
			s.apply(s.view + 1 + i)
		}
	})
}

func (s *member) apply(i int) {
	w := s.w
	w.note("view %d", i)
	for seg := range s.segments.Load().all() {
		if !slices.ContainsFunc(w.states[i].segments, func(c coord.Segment) bool { return c.Generation == seg.info.Generation }) {
			s.frames[seg.info.Generation].life.ends = true
		}
	}
	s.view = i
	if err := s.Node.apply(w.states[i].View); err != nil {
		w.violate("failure", "node %d: %v", s.id, err)
	}
}

// jobs are what a node is asked for besides faults: pages ahead of their use, or
// written back, or given up.
func (w *world) jobs(s *member) {
	w.job(s, "prefetch", w.prefetch, func() {
		h := s.lived()
		t := s.tableOf(s.programs[w.choices.pick(len(s.programs))], h)
		first, count := w.page(h), int64(1+w.choices.pick(4))
		if end := int64(h.seg.core.First) + h.seg.core.Pages; int64(first)+count > end || !s.Node.fetching.try(count) {
			return
		}
		var out outbox
		s.fetch(t.mapping, first, count, w.choices.pick(2) == 1, w.choices.pick(2) == 1, &out)
		out.flush()
	})
	w.job(s, "write back", w.clean, func() {
		h := s.lived()
		p := w.page(h)
		s.cleaning++
		s.shardOf(p).clean(context.Background(), h.seg, p, w.choices.pick(2) == 1, func(err error) {
			if err != nil {
				w.violate("failure", "node %d cannot write %v back: %v", s.id, p, err)
			}
			s.cleaning--
		})
	})
	w.lock(s)
	w.job(s, "evict", w.evict, func() { s.shardOf(w.page(s.lived())).dropCopies(1 << 20) })
}

// job is a thread of a node that does something so many times.
func (w *world) job(s *member, name string, times int, f func()) {
	if times == 0 {
		return
	}
	w.thread(s, name, func(a *task) {
		for range times {
			a.rest(func() bool { return s.segments.Load().pages.Len() > 0 })
			f()
		}
	}).ends = true
}

// lock is a thread that takes the one lock that there is, and gives it back.
func (w *world) lock(s *member) {
	step := func(in protocol.SyncInput) {
		in.Party, in.Object = 1, Object("lock", "the one")
		s.syncs.mu.Lock()
		if err := s.syncStep(in); err != nil {
			w.violate("failure", "node %d: %v", s.id, err)
		}
		s.syncUnlock()
	}
	w.thread(s, "lock", func(a *task) {
		for i := range uint64(w.locks) {
			a.rest(nil)
			step(protocol.SyncInput{Kind: protocol.InLockAcquire, Request: 2*i + 1})
			a.rest(func() bool { return s.fence != 0 })
			fence := s.fence
			s.fence = 0
			step(protocol.SyncInput{Kind: protocol.InLockRelease, Request: 2*i + 2, Fence: fence})
		}
	}).ends = true
}
