//go:build mutants

package mutants

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/sim"
	"github.com/mome-dsm/mome/impl/trace/validate"
	"github.com/mome-dsm/mome/linearizability"
)

// The bounds of what a link may need for a mutant.
const (
	lockSeeds = 24 // of each world
	lockSteps = 1000
)

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

func (wd lockWorld) finds(short, full string) Finding {
	return Finding{fmt.Sprintf("%s/%d %s", wd.name, wd.cfg.Seed, short), full}
}

// firstLockRun is what the first run shows in which look finds something.
func firstLockRun(look func(lockWorld) Finding) Finding {
	for seed := range uint64(lockSeeds) {
		for _, wd := range lockWorlds {
			wd.cfg.Seed = seed
			if f := look(wd); f.Short != "" {
				return f
			}
		}
	}
	return Finding{}
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

// recordLocks lets broken locks run and write logs.
func recordLocks(t *testing.T, bug protocol.Bug, wd lockWorld) recording {
	t.Helper()
	protocol.Break(bug)
	defer protocol.Break(0)
	wd.cfg.Blind = true
	r := recording{finds: wd.finds, dir: t.TempDir()}
	w := sim.NewLocks(wd.cfg)
	if err := w.Record(r.dir); err != nil {
		t.Fatal(err)
	}
	r.ended = wd.run(w) != nil
	if err := w.EndRecord(); err != nil {
		t.Fatal(err)
	}
	return r
}

// The links that locks go through, in the order of the columns.
var lockLinks = []string{"invariants", "simulator", "history", "replay", "trace"}

// TestLocks puts each mistake into the core of locks.
func TestLocks(t *testing.T) {
	defer protocol.Break(0)
	tool := findTLC(t)
	tb := Table{Name: "locks", Package: "./impl/mutants", Links: lockLinks}
	judges := newJudges()
	for _, bug := range append([]protocol.Bug{0}, protocol.LockBugs()...) {
		if !Wanted(bug.String()) {
			continue
		}
		r := Row{Mutant: bug.String(), Found: make([]Finding, len(lockLinks))}
		tb.Rows = append(tb.Rows, r)
		protocol.Break(bug)
		var links sync.WaitGroup
		links.Go(func() { r.Found[0] = firstLockRun(findByLockInvariants) })
		links.Go(func() { r.Found[1] = firstLockRun(findByLockSimulator) })
		links.Go(func() { r.Found[2] = firstLockRun(findInLockHistory) })
		links.Wait()
		record := func(wd lockWorld) recording { return recordLocks(t, bug, wd) }
		var again replays
		firstLockRun(func(wd lockWorld) Finding {
			if wd.cfg.Late {
				return Finding{} // no links do that, and no log can say it
			}
			return again.look(t, record(wd))
		})
		if again.judged.dir == "" {
			again.judged = record(lockWorlds[0])
		}
		r.Found[3] = again.found
		judges.add(func() { r.Found[4] = findInTrace(t, tool, validate.Locks, again.judged) })
	}
	judges.wait()
	tb.Compare(t, "testdata")
}
