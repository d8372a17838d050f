//go:build mutants

package mutants

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/sim"
	"github.com/mome-dsm/mome/impl/trace/validate"
	"github.com/mome-dsm/mome/linearizability"
)

// The bounds of what a link may need for a mutant.
const (
	pageSeeds = 20 // of each world
	pageSteps = 2000
)

// world is a simulated cluster, and with a seed a run of it.
type world struct {
	name string
	cfg  sim.Config
}

func (wd world) String() string { return fmt.Sprintf("%s/%d", wd.name, wd.cfg.Seed) }

func (wd world) finds(short, full string) Finding { return Finding{wd.String() + " " + short, full} }

// worlds are where mutants of the pages' core run: one page, so that nodes meet
// often and a recorded run has one first event to be refused.
var worlds = []world{
	{"root3", sim.Config{Nodes: 3, Fanout: 64, Pages: 1, Processes: 2, Lateral: true}},
	{"pair3", sim.Config{Nodes: 4, Fanout: 2, Pages: 1, Processes: 2, Lateral: true}},
	{"deep4", sim.Config{Nodes: 6, Fanout: 2, Pages: 1, Lateral: true}},
	{"recreate", sim.Config{Nodes: 3, Fanout: 64, Pages: 1, Recreate: true, Breaks: true}},
}

// firstRun is what the first run shows in which look finds something.
func firstRun(look func(world) Finding) Finding {
	for seed := range uint64(pageSeeds) {
		for _, wd := range worlds {
			wd.cfg.Seed = seed
			if f := look(wd); f.Short != "" {
				return f
			}
		}
	}
	return Finding{}
}

// isInvariant says whether a property is one that only somebody can check who
// looks at all nodes at once.
func isInvariant(property string) bool { return strings.HasSuffix(property, "Inv") }

// findByInvariants ends a run as well where the core refuses a message, since
// there is no going on; but then it has found nothing.
func findByInvariants(wd world) Finding {
	wd.cfg.Check = 1
	if f := sim.New(wd.cfg).Play(pageSteps, false); f != nil && isInvariant(f.Property) {
		return wd.finds(f.Property, fmt.Sprintf("step %d: %s", f.Step, f.Text))
	}
	return Finding{}
}

func findBySimulator(wd world) Finding {
	wd.cfg.Blind = true
	if f := sim.New(wd.cfg).Play(pageSteps, true); f != nil {
		return wd.finds(f.Property, fmt.Sprintf("step %d: %s", f.Step, f.Text))
	}
	return Finding{}
}

func findInHistory(wd world) Finding {
	w := sim.New(wd.cfg)
	h := w.RecordHistory()
	w.Play(pageSteps, false)
	if r := judgeHistory(h.Operations); r.Verdict == linearizability.Violation {
		return wd.finds(r.Verdict.String(), r.Findings[0].Why)
	}
	return Finding{}
}

// recordPages lets a broken core run and write logs, as nodes do.
func recordPages(t *testing.T, bug protocol.Bug, wd world) recording {
	t.Helper()
	protocol.Break(bug)
	defer protocol.Break(0)
	wd.cfg.Blind = true
	r := recording{finds: wd.finds, dir: t.TempDir()}
	w := sim.New(wd.cfg)
	if err := w.Record(r.dir); err != nil {
		t.Fatal(err)
	}
	r.ended = w.Play(pageSteps, false) != nil
	if err := w.EndRecord(); err != nil {
		t.Fatal(err)
	}
	return r
}

// The links that pages go through, in the order of the columns.
var pageLinks = []string{"explorer", "invariants", "simulator", "history", "replay", "trace"}

// TestPages puts each mistake into the core of pages.
func TestPages(t *testing.T) {
	defer protocol.Break(0)
	tool := findTLC(t)
	tb := Table{Name: "pages", Package: "./impl/mutants", Links: pageLinks}
	judges := newJudges()
	for _, bug := range append([]protocol.Bug{0}, protocol.Bugs()...) {
		if !Wanted(bug.String()) {
			continue
		}
		r := Row{Mutant: bug.String(), Found: make([]Finding, len(pageLinks))}
		tb.Rows = append(tb.Rows, r)
		protocol.Break(bug)
		var links sync.WaitGroup
		links.Go(func() { r.Found[0] = findByExplorer(t) })
		links.Go(func() { r.Found[1] = firstRun(findByInvariants) })
		links.Go(func() { r.Found[2] = firstRun(findBySimulator) })
		links.Go(func() { r.Found[3] = firstRun(findInHistory) })
		links.Wait()
		record := func(wd world) recording { return recordPages(t, bug, wd) }
		var again replays
		firstRun(func(wd world) Finding { return again.look(t, record(wd)) })
		if again.judged.dir == "" {
			again.judged = record(worlds[0])
		}
		r.Found[4] = again.found
		judges.add(func() { r.Found[5] = findInTrace(t, tool, validate.Pages, again.judged) })
	}
	judges.wait()
	tb.Compare(t, "testdata")
}
