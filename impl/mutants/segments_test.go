//go:build mutants

package mutants

import (
	"testing"

	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/sim"
	"github.com/mome-dsm/mome/impl/trace/validate"
)

// segmentWorlds are where mutants about segments run: others take the pages of those
// that go, and nodes hear of it late.
var segmentWorlds = []world{
	{name: "again3", cfg: sim.Config{Nodes: 3, Fanout: 64, Pages: 1, Recreate: true}, rest: true},
	{name: "again4", cfg: sim.Config{Nodes: 4, Fanout: 2, Pages: 2, Recreate: true, Lateral: true}, rest: true},
	{name: "split3", cfg: sim.Config{Nodes: 3, Fanout: 64, Pages: 3, Segments: 2, Processes: 2, Recreate: true, Breaks: true}, rest: true},
}

// TestSegments puts each mistake about segments into the core, and one into the
// views that nodes take.
func TestSegments(t *testing.T) {
	(&layer[world]{name: "segments", more: Mistakes(coord.Break, coord.Named("PagesCompared")), kind: validate.Pages, others: []validate.Kind{validate.Successions}, worlds: segmentWorlds, seeds: 10,
		checks: []check[world]{
			{name: "invariants", run: findByInvariants},
			{name: "simulator", run: findBySimulator},
			{name: "history", run: findInHistory},
		}}).test(t)
}
