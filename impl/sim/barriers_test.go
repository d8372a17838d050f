package sim

import (
	"flag"
	"fmt"
	"testing"
)

var barrierSeed = flag.Uint64("barrierseed", 0, "run only this seed of TestBarriers")

// TestBarriers runs random schedules of barriers.
func TestBarriers(t *testing.T) {
	for _, cfg := range []BarriersConfig{{Nodes: 1, Barriers: 1, Parties: 2}, {Nodes: 2, Barriers: 1, Parties: 3},
		{Nodes: 3, Barriers: 2, Parties: 3}, {Nodes: 5, Barriers: 2, Parties: 4}} {
		t.Run(fmt.Sprintf("nodes=%d/barriers=%d/parties=%d", cfg.Nodes, cfg.Barriers, cfg.Parties), func(t *testing.T) {
			var sum Barriers
			for seed := uint64(1); seed <= 20; seed++ {
				if *barrierSeed != 0 && seed != *barrierSeed {
					continue
				}
				cfg.Seed = seed
				w := NewBarriers(cfg)
				if err := w.Run(3000); err != nil {
					t.Fatalf("%v\nreproduce: go test ./impl/sim -run '%s' -barrierseed %d", err, t.Name(), seed)
				}
				sum.Passed += w.Passed
				sum.Broken += w.Broken
				sum.Deaths += w.Deaths
				sum.Refused += w.Refused
				sum.Late += w.Late
				sum.Beside += w.Beside
			}
			t.Logf("%d waits passed, %d broken, %d deaths, %d refused, %d came late, %d steps beside an older generation",
				sum.Passed, sum.Broken, sum.Deaths, sum.Refused, sum.Late, sum.Beside)
			if *barrierSeed == 0 && (sum.Passed < 1000 || sum.Broken < 100 || sum.Deaths < 100 || sum.Refused < 100 ||
				sum.Beside < 1000 || sum.Late < 10 && cfg.Parties > 2) {
				t.Error("the schedules did not get around")
			}
		})
	}
}
