//go:build mutants

package mutants

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/sim"
	"github.com/mome-dsm/mome/impl/trace/validate"
	"github.com/mome-dsm/mome/linearizability"
)

// lockSteps is how long a run of locks is.
const lockSteps = 1000

// lockWorld is a simulated cluster with locks, and with a seed a run of it.
type lockWorld struct {
	name string
	cfg  sim.LocksConfig
}

// lockWorlds are where mutants of locks run.
var lockWorlds = []lockWorld{
	{"lock3", sim.LocksConfig{Nodes: 3, Locks: 1}},
	{"locks3", sim.LocksConfig{Nodes: 3, Locks: 2}},
	{"late3", sim.LocksConfig{Nodes: 3, Locks: 2, Late: true}},
}

func (wd lockWorld) seeded(seed uint64) lockWorld {
	wd.cfg.Seed = seed
	return wd
}

func (wd lockWorld) finds(short, full string) Finding {
	return Finding{fmt.Sprintf("%s/%d %s", wd.name, wd.cfg.Seed, short), full}
}

// run runs the world, and returns the property that fell.
func (wd lockWorld) run(w *sim.Locks) (fell *sim.Violation) {
	errors.As(w.Run(lockSteps), &fell)
	return fell
}

// seenByOne are the properties that need nobody who looks at all nodes at once.
var seenByOne = []string{"Admit", "LockServed", "panic"}

func findByLockInvariants(wd lockWorld) Finding {
	if v := wd.run(sim.NewLocks(wd.cfg)); v != nil && !slices.Contains(seenByOne, v.Property) {
		return wd.finds(v.Property, v.What)
	}
	return Finding{}
}

func findByLockSimulator(wd lockWorld) Finding {
	wd.cfg.Blind = true
	if v := wd.run(sim.NewLocks(wd.cfg)); v != nil {
		return wd.finds(v.Property, v.What)
	}
	return Finding{}
}

func findInLockHistory(wd lockWorld) Finding {
	wd.cfg.Blind = true
	w := sim.NewLocks(wd.cfg)
	wd.run(w)
	if r := judgeHistory(w.History); r.Verdict == linearizability.Violation {
		return wd.finds(r.Verdict.String(), r.Findings[0].Why)
	}
	return Finding{}
}

func (wd lockWorld) record(dir string) (ended bool, err error) {
	wd.cfg.Blind = true
	w := sim.NewLocks(wd.cfg)
	if err := w.Record(dir); err != nil {
		return false, err
	}
	ended = wd.run(w) != nil
	return ended, w.EndRecord()
}

// TestLocks puts each mistake into the core of locks.
func TestLocks(t *testing.T) {
	(&layer[lockWorld]{name: "locks", bugs: mistakes(protocol.LockBugs()), kind: validate.Locks, worlds: lockWorlds, seeds: 24,
		links: []link[lockWorld]{
			{name: "invariants", run: findByLockInvariants},
			{name: "simulator", run: findByLockSimulator},
			{name: "history", run: findInLockHistory},
		},
		// No links deliver late.
		logless: func(wd lockWorld) bool { return wd.cfg.Late }}).test(t)
}
