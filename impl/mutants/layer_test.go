//go:build mutants

package mutants

import (
	"slices"
	"sync"
	"testing"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace/validate"
)

// run is a simulated run of a layer: a world with a seed.
type run[W any] interface {
	seeded(seed uint64) W
	finds(short, full string) Finding
	// record writes the logs of the run into a directory, as nodes do, and says
	// whether the core ended it.
	record(dir string) (ended bool, err error)
}

// layer is a core that mistakes are put into: its worlds, and what checks there
// are beside those that judge logs.
type layer[W run[W]] struct {
	name    string    // of its table, and of the group of its mistakes in the core
	more    []Mistake // of other packages
	kind    validate.Kind
	others  []validate.Kind // whose objects TLC judges as well
	worlds  []W
	seeds   uint64 // of each world: the bound of what a check may need for a mutant
	checks  []check[W]
	logless func(W) bool // no log can say what happens in the world; nil: none is
}

// check finds a mistake in a run, or by itself.
type check[W any] struct {
	name  string
	run   func(W) Finding
	alone func(t *testing.T, mutant string) Finding
}

// first is what the first run shows in which look finds something.
func (y *layer[W]) first(look func(W) Finding) Finding {
	for seed := range y.seeds {
		for _, wd := range y.worlds {
			if f := look(wd.seeded(seed)); f.Short != "" {
				return f
			}
		}
	}
	return Finding{}
}

// recorded lets a broken core run and write logs.
func (y *layer[W]) recorded(t *testing.T, bug Mistake, wd W) recording {
	t.Helper()
	bug.Put(true)
	defer bug.Put(false)
	r := recording{finds: wd.finds, dir: t.TempDir()}
	var err error
	if r.ended, err = wd.record(r.dir); err != nil {
		t.Fatal(err)
	}
	return r
}

// likely are the runs in which others than the layer's own objects are judged: the
// first in which the replay finds anything, and then one of each world, since what
// becomes of a message before or behind the core is nothing that it sees.
func (y *layer[W]) likely(t *testing.T, bug Mistake, again *replays) (runs []recording) {
	t.Helper()
	if again.differs.dir != "" {
		runs = append(runs, again.differs)
	}
	for _, wd := range y.worlds {
		runs = append(runs, y.recorded(t, bug, wd))
	}
	return runs
}

// test puts each mistake into the core.
func (y *layer[W]) test(t *testing.T) {
	tool := findTLC(t)
	tb := Table{Name: y.name, Package: "./impl/mutants", Uncounted: replayed}
	for _, l := range y.checks {
		tb.Checks = append(tb.Checks, l.name)
	}
	tb.Checks = append(tb.Checks, replayed, "trace")
	for _, kind := range y.others {
		tb.Checks = append(tb.Checks, kind.Name)
	}
	judges := newJudges()
	for _, bug := range slices.Concat(Mistakes(protocol.Break, 0), Mistakes(protocol.Break, protocol.Bugs(y.name)...), y.more) {
		if !Wanted(bug.Name) {
			continue
		}
		r := Row{Mutant: bug.Name, Found: make([]Finding, len(tb.Checks))}
		tb.Rows = append(tb.Rows, r)
		bug.Put(true)
		var checks sync.WaitGroup
		for i, l := range y.checks {
			checks.Go(func() {
				if l.alone != nil {
					r.Found[i] = l.alone(t, bug.Name)
				} else {
					r.Found[i] = y.first(l.run)
				}
			})
		}
		checks.Wait()
		bug.Put(false)
		var again replays
		y.first(func(wd W) Finding {
			if y.logless != nil && y.logless(wd) {
				return Finding{}
			}
			return again.look(t, y.recorded(t, bug, wd))
		})
		r.Found[len(y.checks)] = again.found
		for i, kind := range y.others {
			runs := y.likely(t, bug, &again)
			judges.add(func() { r.Found[len(y.checks)+2+i] = firstInTrace(t, tool, kind, runs) })
		}
		if again.judged.dir == "" && bug.Name != None {
			continue // its logs have the actions of the core without it, which TLC accepts
		}
		if again.judged.dir == "" {
			again.judged = y.recorded(t, bug, y.worlds[0])
		}
		judges.add(func() { r.Found[len(y.checks)+1] = findInTrace(t, tool, y.kind, again.judged) })
	}
	judges.wait()
	tb.Compare(t, "testdata")
}
