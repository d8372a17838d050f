package sim

import (
	"maps"

	"pgregory.net/rapid"

	"github.com/mome-dsm/mome/impl/protocol"
)

// syncMachine is a property: whatever order the actions of locks or of barriers
// come in, what processes are told keeps what these promise, and in the end nobody
// waits. Deliver is the handler of the first message of a link. It serves
// rapid.Check and rapid.MakeFuzz.
type syncMachine struct {
	t *rapid.T
	w *Syncs
}

// choose is a number below n.
func (m syncMachine) choose(what string, n int) int {
	return rapid.IntRange(0, n-1).Draw(m.t, what)
}

func (m syncMachine) process() *party { return m.w.alive[m.choose("process", len(m.w.alive))] }

func (m syncMachine) must(v *Violation) {
	if v != nil {
		m.t.Fatal(v)
	}
}

// run takes the actions, and those that locks and barriers have in common.
func (m syncMachine) run(actions map[string]func(*rapid.T)) {
	all := map[string]func(*rapid.T){
		"ProcessDied": func(*rapid.T) {
			// Rarely: what a process has come to ends with it.
			if m.choose("rarely", 4) == 0 {
				m.must(m.w.die(m.process()))
			}
		},
		"Deliver": func(*rapid.T) {
			if links := m.w.busyLinks(); len(links) > 0 {
				m.must(m.w.deliver(links[m.choose("link", len(links))]))
			}
		},
	}
	maps.Copy(all, actions)
	m.t.Repeat(all)
	if err := m.w.objects.finish(); err != nil {
		m.t.Fatal(err)
	}
}

// LockMachine is the property of locks. Late is the handler of a Release that the
// home has seen before.
func LockMachine(t *rapid.T) {
	w := NewLocks(SyncConfig{
		Nodes:   rapid.IntRange(1, 4).Draw(t, "nodes"),
		Objects: rapid.IntRange(1, 3).Draw(t, "locks"),
		Late:    true,
	})
	m := syncMachine{t, w.Syncs}
	lock := func() uint64 { return uint64(m.choose("lock", w.cfg.Objects)) }
	m.run(map[string]func(*rapid.T){
		"AcquireLock": func(*rapid.T) {
			p, l := m.process(), lock()
			if _, held := p.held[l]; !held && !p.asks(protocol.InLockAcquire, l, 0) {
				m.must(w.request(p, protocol.SyncInput{Kind: protocol.InLockAcquire, Object: l, Try: rapid.Bool().Draw(t, "try")}))
			}
		},
		"ReleaseLock": func(*rapid.T) {
			p, l := m.process(), lock()
			fence, held := p.held[l]
			if past := p.past[l]; held && past != 0 && past != fence && rapid.Bool().Draw(t, "stale") {
				m.must(w.request(p, protocol.SyncInput{Kind: protocol.InLockRelease, Object: l, Fence: past}))
			} else if held {
				m.must(w.release(p, l))
			}
		},
		"CancelLock": func(*rapid.T) {
			m.must(w.cancel(m.process(), func(n int) int { return m.choose("cancel", n) }))
		},
		"Late": func(*rapid.T) {
			if len(w.taken) > 0 {
				m.must(w.late(w.taken[m.choose("release", len(w.taken))]))
			}
		},
	})
}

// BarrierMachine is the property of barriers.
func BarrierMachine(t *rapid.T) {
	w := NewBarriers(SyncConfig{
		Nodes:   rapid.IntRange(1, 4).Draw(t, "nodes"),
		Objects: rapid.IntRange(1, 2).Draw(t, "barriers"),
		Parties: uint32(rapid.IntRange(1, 4).Draw(t, "parties")),
	})
	m := syncMachine{t, w.Syncs}
	// seated does what a process does with a seat that it has and does not leave.
	seated := func(do func(*party, seatKey) *Violation) func(*rapid.T) {
		return func(*rapid.T) {
			p := m.process()
			if keys := p.kept(); len(keys) > 0 {
				m.must(do(p, keys[m.choose("seat", len(keys))]))
			}
		}
	}
	m.run(map[string]func(*rapid.T){
		"JoinBarrier": func(*rapid.T) {
			p := m.process()
			if key := (seatKey{uint64(m.choose("barrier", w.cfg.Objects)), uint32(m.choose("index", int(w.cfg.Parties)))}); !p.joins(key) {
				m.must(w.join(p, key))
			}
		},
		"AwaitBarrier": seated(func(p *party, key seatKey) *Violation { return w.await(p, key, rapid.Bool().Draw(t, "again")) }),
		"LeaveBarrier": seated(w.leave),
	})
}
