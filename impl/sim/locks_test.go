package sim

import (
	"flag"
	"fmt"
	"testing"
)

var lockSeed = flag.Uint64("lockseed", 0, "run only this seed of TestLocks")

// TestLocks runs random schedules of locks.
func TestLocks(t *testing.T) {
	for _, cfg := range []LocksConfig{{Nodes: 1, Locks: 1}, {Nodes: 2, Locks: 1}, {Nodes: 3, Locks: 2, Late: true}, {Nodes: 5, Locks: 2}} {
		t.Run(fmt.Sprintf("nodes=%d/locks=%d/late=%v", cfg.Nodes, cfg.Locks, cfg.Late), func(t *testing.T) {
			var sum Locks
			for seed := uint64(1); seed <= 20; seed++ {
				if *lockSeed != 0 && seed != *lockSeed {
					continue
				}
				cfg.Seed = seed
				w := NewLocks(cfg)
				if err := w.Run(3000); err != nil {
					t.Fatalf("%v\nreproduce: go test ./impl/sim -run '%s' -lockseed %d", err, t.Name(), seed)
				}
				sum.Grants += w.Grants
				sum.Deaths += w.Deaths
				sum.Canceled += w.Canceled
				sum.Busy += w.Busy
				sum.Overtaken += w.Overtaken
			}
			t.Logf("%d grants, %d deaths, %d canceled, %d busy, %d overtaken", sum.Grants, sum.Deaths, sum.Canceled, sum.Busy, sum.Overtaken)
			if *lockSeed == 0 && (sum.Grants < 1000 || sum.Deaths < 100 || sum.Canceled < 100 || sum.Busy < 100 || sum.Overtaken < 100 && cfg.Nodes > 1) {
				t.Error("the schedules did not get around")
			}
		})
	}
}
