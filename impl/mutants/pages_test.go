//go:build mutants

package mutants

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/sim"
	"github.com/mome-dsm/mome/impl/trace/validate"
	"github.com/mome-dsm/mome/linearizability"
)

// pageSteps is how long a run of pages is.
const pageSteps = 2000

// world is a simulated cluster, and with a seed a run of it.
type world struct {
	name string
	cfg  sim.Config
	rest bool // logs are of runs that come to rest
}

func (wd world) String() string { return fmt.Sprintf("%s/%d", wd.name, wd.cfg.Seed) }

func (wd world) seeded(seed uint64) world {
	wd.cfg.Seed = seed
	return wd
}

func (wd world) finds(short, full string) Finding { return Finding{wd.String() + " " + short, full} }

// worlds are where mutants of the pages' core run: one page, so that nodes meet
// often and a recorded run has one first event to be refused.
var worlds = []world{
	{name: "root3", cfg: sim.Config{Nodes: 3, Fanout: 64, Pages: 1, Processes: 2, Lateral: true}},
	{name: "pair3", cfg: sim.Config{Nodes: 4, Fanout: 2, Pages: 1, Processes: 2, Lateral: true}},
	{name: "deep4", cfg: sim.Config{Nodes: 6, Fanout: 2, Pages: 1, Lateral: true}},
	{name: "wide6", cfg: sim.Config{Nodes: 6, Fanout: 3, Pages: 1, Lateral: true}},
	{name: "exact3", cfg: sim.Config{Nodes: 3, Fanout: 2, Pages: 1, Exact: true}},
	{name: "flat40", cfg: sim.Config{Nodes: 40, Fanout: 64, Pages: 1, Lateral: true}},
}

// isInvariant says whether a property is one that only somebody can check who
// looks at all nodes at once, or has a clock.
func isInvariant(property string) bool {
	return strings.HasSuffix(property, "Inv") || slices.Contains([]string{"ResidenceProp", "StaysProp", "NoEffectProp"}, property)
}

// findByInvariants ends a run as well where the core refuses a message, since
// there is no going on; but then it has found nothing.
func findByInvariants(wd world) Finding {
	wd.cfg.Check = 1
	// What is kept too long shows at rest. Not every run is brought there: with some
	// mistakes there is no end to it.
	rest := wd.cfg.Seed == 0
	if f := sim.New(wd.cfg).Play(pageSteps, rest); f != nil && isInvariant(f.Property) {
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

func (wd world) record(dir string) (ended bool, err error) {
	wd.cfg.Blind = true
	w := sim.New(wd.cfg)
	if err := w.Record(dir); err != nil {
		return false, err
	}
	ended = w.Play(pageSteps, wd.rest) != nil
	return ended, w.EndRecord()
}

// TestPages puts each mistake into the core of pages.
func TestPages(t *testing.T) {
	(&layer[world]{name: "pages", kind: validate.Pages, worlds: worlds, seeds: 20,
		checks: []check[world]{
			{name: "explorer", alone: findByExplorer},
			{name: "invariants", run: findByInvariants},
			{name: "simulator", run: findBySimulator},
			{name: "history", run: findInHistory},
		}}).test(t)
}
