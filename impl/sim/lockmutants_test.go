//go:build mutants

package sim

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/mome-dsm/mome/impl/protocol"
)

// seedsToFind is how many seeds may be needed to find a mutant.
const seedsToFind = 40

// TestLockMutants puts each mistake about locks into the core and demands that
// random schedules find it. testdata/lockmutants is the table.
func TestLockMutants(t *testing.T) {
	defer protocol.Break(0)
	datadriven.RunTest(t, "testdata/lockmutants", func(t *testing.T, d *datadriven.TestData) string {
		var b strings.Builder
		for _, bug := range protocol.LockBugs() {
			protocol.Break(bug)
			found := false
			for seed := uint64(1); seed <= seedsToFind && !found; seed++ {
				var v *Violation
				if found = errors.As(NewLocks(LocksConfig{Nodes: 3, Locks: 2, Seed: seed, Late: true}).Run(3000), &v); found {
					fmt.Fprintf(&b, "%-18s seeds %2d  %s\n", bug, seed, v.Property)
				}
			}
			if !found {
				t.Errorf("nobody finds %v within %d seeds", bug, seedsToFind)
				fmt.Fprintf(&b, "%-18s SURVIVES\n", bug)
			}
		}
		return b.String()
	})
}
