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
)

// barrierSteps is how long a run of barriers is.
const barrierSteps = 500

// barrierWorld is a simulated cluster with barriers, and with a seed a run of it.
type barrierWorld struct {
	name string
	cfg  sim.BarriersConfig
}

// barrierWorlds are where mutants of barriers run.
var barrierWorlds = []barrierWorld{
	{"pair2", sim.BarriersConfig{Nodes: 2, Barriers: 1, Parties: 2}},
	{"trio3", sim.BarriersConfig{Nodes: 3, Barriers: 1, Parties: 3}},
	{"trios3", sim.BarriersConfig{Nodes: 3, Barriers: 2, Parties: 3}},
}

func (wd barrierWorld) seeded(seed uint64) barrierWorld {
	wd.cfg.Seed = seed
	return wd
}

func (wd barrierWorld) finds(short, full string) Finding {
	return Finding{fmt.Sprintf("%s/%d %s", wd.name, wd.cfg.Seed, short), full}
}

// run runs the world, and returns the property that fell.
func (wd barrierWorld) run(w *sim.Barriers) (fell *sim.Violation) {
	errors.As(w.Run(barrierSteps), &fell)
	return fell
}

// barrierSeenByOne are the properties that need nobody who looks at all nodes at
// once.
var barrierSeenByOne = []string{"Admit", "WaitEnds", "NoLostRequest", "panic"}

func findByBarrierInvariants(wd barrierWorld) Finding {
	if v := wd.run(sim.NewBarriers(wd.cfg)); v != nil && !slices.Contains(barrierSeenByOne, v.Property) {
		return wd.finds(v.Property, v.What)
	}
	return Finding{}
}

func findByBarrierSimulator(wd barrierWorld) Finding {
	wd.cfg.Blind = true
	if v := wd.run(sim.NewBarriers(wd.cfg)); v != nil {
		return wd.finds(v.Property, v.What)
	}
	return Finding{}
}

func (wd barrierWorld) record(dir string) (ended bool, err error) {
	wd.cfg.Blind = true
	w := sim.NewBarriers(wd.cfg)
	if err := w.Record(dir); err != nil {
		return false, err
	}
	ended = wd.run(w) != nil
	return ended, w.EndRecord()
}

// TestBarriers puts each mistake into the core of barriers.
func TestBarriers(t *testing.T) {
	(&layer[barrierWorld]{name: "barriers", bugs: mistakes(protocol.BarrierBugs()), kind: validate.Barriers, worlds: barrierWorlds, seeds: 24,
		links: []link[barrierWorld]{
			{name: "invariants", run: findByBarrierInvariants},
			{name: "simulator", run: findByBarrierSimulator},
		}}).test(t)
}
