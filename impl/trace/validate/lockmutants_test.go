//go:build mutants

package validate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/sim"
)

// TestLockMutants records locks of a core with each of its mistakes, in the first
// run in which a process notices, and demands that TLC stops at the event where
// the core was wrong. testdata/lockmutants is the table: the mistake, what the
// process noticed, the event, and what does not hold there. A late Release is
// the one thing that no recorded run has.
func TestLockMutants(t *testing.T) {
	defer protocol.Break(0)
	datadriven.RunTest(t, "testdata/lockmutants", func(t *testing.T, d *datadriven.TestData) string {
		var b strings.Builder
		for _, bug := range protocol.LockBugs() {
			protocol.Break(bug)
			var dir string
			var fell error
			for seed := uint64(1); seed <= 40 && fell == nil; seed++ {
				dir, fell = recordLocks(t, sim.LocksConfig{Nodes: 3, Locks: 1, Seed: seed}, 2000)
			}
			if fell == nil {
				fmt.Fprintf(&b, "%v: nothing falls\n", bug)
				continue
			}
			property, _, _ := strings.Cut(fell.Error(), ":")
			v := judgeLocks(t, dir)
			if v.Accepted {
				t.Errorf("%v: %v, and the run is accepted", bug, fell)
				fmt.Fprintf(&b, "%v: %s; ACCEPTED\n", bug, property)
				continue
			}
			part, _, _ := strings.Cut(strings.TrimPrefix(v.Refusal.Reasons[0], "does not hold: "), ":")
			fmt.Fprintf(&b, "%v: %s; %s: %s\n", bug, property, v.Refusal.Event.Act, part)
		}
		return b.String()
	})
}
