package sim

import "pgregory.net/rapid"

// BarrierMachine is a property: whatever order the actions of Barrier.tla come in,
// what processes are told keeps what barriers promise, and in the end nobody
// waits. Deliver is the handler of the first message of a link. It serves
// rapid.Check and rapid.MakeFuzz.
func BarrierMachine(t *rapid.T) {
	w := NewBarriers(BarriersConfig{
		Nodes:    rapid.IntRange(1, 4).Draw(t, "nodes"),
		Barriers: rapid.IntRange(1, 2).Draw(t, "barriers"),
		Parties:  uint32(rapid.IntRange(1, 4).Draw(t, "parties")),
	})
	process := func() *barrierProcess { return w.alive[rapid.IntRange(0, len(w.alive)-1).Draw(t, "process")] }
	// seat is one that the process has and does not leave.
	seat := func(p *barrierProcess) (seatKey, bool) {
		keys := p.kept()
		if len(keys) == 0 {
			return seatKey{}, false
		}
		return keys[rapid.IntRange(0, len(keys)-1).Draw(t, "seat")], true
	}
	must := func(v *Violation) {
		if v != nil {
			t.Fatal(v)
		}
	}
	t.Repeat(map[string]func(*rapid.T){
		"JoinBarrier": func(t *rapid.T) {
			p := process()
			key := seatKey{uint64(rapid.IntRange(0, w.cfg.Barriers-1).Draw(t, "barrier")),
				uint32(rapid.IntRange(0, int(w.cfg.Parties)-1).Draw(t, "index"))}
			if !p.joins(key) {
				must(w.join(p, key))
			}
		},
		"AwaitBarrier": func(t *rapid.T) {
			p := process()
			if key, ok := seat(p); ok {
				must(w.await(p, key, rapid.Bool().Draw(t, "again")))
			}
		},
		"LeaveBarrier": func(*rapid.T) {
			p := process()
			if key, ok := seat(p); ok {
				must(w.leave(p, key))
			}
		},
		"ProcessDied": func(t *rapid.T) {
			// Rarely: what a process has come to ends with it.
			if rapid.IntRange(0, 3).Draw(t, "rarely") == 0 {
				must(w.die(process()))
			}
		},
		"Deliver": func(*rapid.T) {
			if links := w.busyLinks(); len(links) > 0 {
				must(w.deliver(links[rapid.IntRange(0, len(links)-1).Draw(t, "link")]))
			}
		},
	})
	if err := w.finish(); err != nil {
		t.Fatal(err)
	}
}
