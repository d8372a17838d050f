//go:build mutants

package mutants

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/mome-dsm/mome/impl/sim"
	"github.com/mome-dsm/mome/impl/trace/validate"
	"github.com/mome-dsm/mome/linearizability"
)

// syncKind is locks or barriers.
type syncKind struct {
	steps int // how long a run is
	new   func(sim.SyncConfig) *sim.Syncs
	// seenByOne are the properties that need nobody who looks at all nodes at once.
	seenByOne []string
}

var (
	lockKind = &syncKind{1000, func(cfg sim.SyncConfig) *sim.Syncs { return sim.NewLocks(cfg).Syncs },
		[]string{"Admit", "LockServed", "panic"}}
	barrierKind = &syncKind{500, func(cfg sim.SyncConfig) *sim.Syncs { return sim.NewBarriers(cfg).Syncs },
		[]string{"Admit", "WaitEnds", "NoLostRequest", "panic"}}
)

// syncWorld is a simulated cluster with locks or barriers, and with a seed a run of it.
type syncWorld struct {
	*syncKind
	name string
	cfg  sim.SyncConfig
}

func (wd syncWorld) seeded(seed uint64) syncWorld {
	wd.cfg.Seed = seed
	return wd
}

func (wd syncWorld) finds(short, full string) Finding {
	return Finding{fmt.Sprintf("%s/%d %s", wd.name, wd.cfg.Seed, short), full}
}

// run runs a world, and returns the property that fell.
func (wd syncWorld) run(w *sim.Syncs) (fell *sim.Violation) {
	errors.As(w.Run(wd.steps), &fell)
	return fell
}

func findBySyncInvariants(wd syncWorld) Finding {
	if v := wd.run(wd.new(wd.cfg)); v != nil && !slices.Contains(wd.seenByOne, v.Property) {
		return wd.finds(v.Property, v.What)
	}
	return Finding{}
}

func findBySyncSimulator(wd syncWorld) Finding {
	wd.cfg.Blind = true
	if v := wd.run(wd.new(wd.cfg)); v != nil {
		return wd.finds(v.Property, v.What)
	}
	return Finding{}
}

func findInLockHistory(wd syncWorld) Finding {
	wd.cfg.Blind = true
	w := sim.NewLocks(wd.cfg)
	wd.run(w.Syncs)
	if r := judgeHistory(w.History); r.Verdict == linearizability.Violation {
		return wd.finds(r.Verdict.String(), r.Findings[0].Why)
	}
	return Finding{}
}

func (wd syncWorld) record(dir string) (ended bool, err error) {
	wd.cfg.Blind = true
	w := wd.new(wd.cfg)
	if err := w.Record(dir); err != nil {
		return false, err
	}
	ended = wd.run(w) != nil
	return ended, w.EndRecord()
}

// TestLocks puts each mistake into the core of locks.
func TestLocks(t *testing.T) {
	(&layer[syncWorld]{name: "locks", kind: validate.Locks, seeds: 24,
		worlds: []syncWorld{
			{lockKind, "lock3", sim.SyncConfig{Nodes: 3, Objects: 1}},
			{lockKind, "locks3", sim.SyncConfig{Nodes: 3, Objects: 2}},
			{lockKind, "late3", sim.SyncConfig{Nodes: 3, Objects: 2, Late: true}},
		},
		checks: []check[syncWorld]{
			{name: "invariants", run: findBySyncInvariants},
			{name: "simulator", run: findBySyncSimulator},
			{name: "history", run: findInLockHistory},
		},
		// No links deliver late.
		logless: func(wd syncWorld) bool { return wd.cfg.Late }}).test(t)
}

// TestBarriers puts each mistake into the core of barriers.
func TestBarriers(t *testing.T) {
	(&layer[syncWorld]{name: "barriers", kind: validate.Barriers, seeds: 24,
		worlds: []syncWorld{
			{barrierKind, "pair2", sim.SyncConfig{Nodes: 2, Objects: 1, Parties: 2}},
			{barrierKind, "trio3", sim.SyncConfig{Nodes: 3, Objects: 1, Parties: 3}},
			{barrierKind, "trios3", sim.SyncConfig{Nodes: 3, Objects: 2, Parties: 3}},
		},
		checks: []check[syncWorld]{
			{name: "invariants", run: findBySyncInvariants},
			{name: "simulator", run: findBySyncSimulator},
		}}).test(t)
}
