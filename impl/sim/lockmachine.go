package sim

import (
	"pgregory.net/rapid"

	"github.com/mome-dsm/mome/impl/protocol"
)

// LockMachine is a property: whatever order the actions of HeapLock.tla come in,
// what processes are told keeps what locks promise, and in the end nobody waits.
// Deliver is the handler of the first message of a link, Late that of a Release
// which the home has seen before. It serves rapid.Check and rapid.MakeFuzz.
func LockMachine(t *rapid.T) {
	w := NewLocks(LocksConfig{
		Nodes: rapid.IntRange(1, 4).Draw(t, "nodes"),
		Locks: rapid.IntRange(1, 3).Draw(t, "locks"),
		Late:  true,
	})
	choose := func(what string) func(n int) int {
		return func(n int) int { return rapid.IntRange(0, n-1).Draw(t, what) }
	}
	process := func() *lockProcess { return w.alive[choose("process")(len(w.alive))] }
	lock := func() uint64 { return uint64(choose("lock")(w.cfg.Locks)) }
	must := func(v *Violation) {
		if v != nil {
			t.Fatal(v)
		}
	}
	t.Repeat(map[string]func(*rapid.T){
		"AcquireLock": func(t *rapid.T) {
			p, l := process(), lock()
			if _, held := p.held[l]; !held && !p.waits(l) {
				must(w.request(p, protocol.SyncInput{Kind: protocol.InLockAcquire, Object: l, Try: rapid.Bool().Draw(t, "try")}))
			}
		},
		"ReleaseLock": func(t *rapid.T) {
			p, l := process(), lock()
			fence, held := p.held[l]
			if past := p.past[l]; held && past != 0 && past != fence && rapid.Bool().Draw(t, "stale") {
				must(w.request(p, protocol.SyncInput{Kind: protocol.InLockRelease, Object: l, Fence: past}))
			} else if held {
				must(w.release(p, l))
			}
		},
		"CancelLock": func(*rapid.T) { must(w.cancel(process(), choose("cancel"))) },
		"ProcessDied": func(t *rapid.T) {
			// Rarely: what a process has come to ends with it.
			if rapid.IntRange(0, 3).Draw(t, "rarely") == 0 {
				must(w.die(process()))
			}
		},
		"Deliver": func(*rapid.T) {
			if links := w.busyLinks(); len(links) > 0 {
				must(w.deliver(links[choose("link")(len(links))]))
			}
		},
		"Late": func(*rapid.T) {
			if len(w.taken) > 0 {
				must(w.late(w.taken[choose("release")(len(w.taken))]))
			}
		},
	})
	if err := w.finish(); err != nil {
		t.Fatal(err)
	}
}
