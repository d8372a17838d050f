package sim

import (
	"flag"
	"fmt"
	"testing"
)

var syncSeed = flag.Uint64("syncseed", 0, "run only this seed of TestLocks or TestBarriers")

// runSyncs runs random schedules of a world, and demands that they get around: that
// what they are there for has happened so often, where cfg allows it.
func runSyncs(t *testing.T, cfg SyncConfig, world func(SyncConfig) *Syncs, least map[string]int) {
	t.Run(fmt.Sprintf("nodes=%d/objects=%d/parties=%d/late=%v", cfg.Nodes, cfg.Objects, cfg.Parties, cfg.Late), func(t *testing.T) {
		sum := make(map[string]int)
		for seed := uint64(1); seed <= 20; seed++ {
			if *syncSeed != 0 && seed != *syncSeed {
				continue
			}
			cfg.Seed = seed
			w := world(cfg)
			if err := w.Run(3000); err != nil {
				t.Fatalf("%v\nreproduce: go test ./impl/sim -run '%s' -syncseed %d", err, t.Name(), seed)
			}
			for what, n := range w.Counts {
				sum[what] += n
			}
		}
		t.Logf("%v", sum)
		for what, n := range least {
			if *syncSeed == 0 && sum[what] < n {
				t.Errorf("%s %d, want %d: the schedules did not get around", what, sum[what], n)
			}
		}
	})
}

// TestLocks runs random schedules of locks.
func TestLocks(t *testing.T) {
	for _, cfg := range []SyncConfig{{Nodes: 1, Objects: 1}, {Nodes: 2, Objects: 1}, {Nodes: 3, Objects: 2, Late: true}, {Nodes: 5, Objects: 2}} {
		least := map[string]int{"grants": 1000, "deaths": 100, "canceled": 100, "busy": 100, "overtaken": 100}
		if cfg.Nodes == 1 {
			delete(least, "overtaken")
		}
		runSyncs(t, cfg, func(cfg SyncConfig) *Syncs { return NewLocks(cfg).Syncs }, least)
	}
}

// TestBarriers runs random schedules of barriers.
func TestBarriers(t *testing.T) {
	for _, cfg := range []SyncConfig{{Nodes: 1, Objects: 1, Parties: 2}, {Nodes: 2, Objects: 1, Parties: 3},
		{Nodes: 3, Objects: 2, Parties: 3}, {Nodes: 5, Objects: 2, Parties: 4}} {
		least := map[string]int{"passed": 1000, "broken": 100, "deaths": 100, "refused": 100, "beside": 1000, "late": 10}
		if cfg.Parties == 2 {
			delete(least, "late")
		}
		runSyncs(t, cfg, func(cfg SyncConfig) *Syncs { return NewBarriers(cfg).Syncs }, least)
	}
}
