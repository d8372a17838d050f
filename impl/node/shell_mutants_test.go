//go:build mutants

package node

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/mome-dsm/mome/impl/mutants"
)

// TestBrokenShell puts mistakes into the shell, and puts down which are found in the
// scenarios, in all orders, and which in the workloads, by seeds. The table is
// impl/mutants/testdata/shell.
func TestBrokenShell(t *testing.T) {
	views := viewsOfSegments(t)
	tb := mutants.Table{Name: "shell", Package: "./impl/node", Checks: []string{"orders", "seeds"}}
	defer Break(noBug)
	for _, b := range slices.Concat([]Bug{noBug}, Bugs("shell"), Bugs("order")) {
		if !mutants.Wanted(b.String()) {
			continue
		}
		Break(b)
		synctest.Test(t, func(*testing.T) {
			tb.Rows = append(tb.Rows, mutants.Row{Mutant: b.String(), Found: []mutants.Finding{findByOrders(views), findBySeeds(views)}})
		})
	}
	tb.Compare(t, "../mutants/testdata")
}

// found stands in the table for a rule that was broken. Which one it is first differs
// from version to version of the shell: every call of the kernel shifts the choices of
// a seed.
const found = "found"

// mutantSeeds is how many seeds of each workload a mistake may need.
const mutantSeeds = 60

func findBySeeds(views []*view) mutants.Finding {
	for seed := range uint64(mutantSeeds) {
		for _, p := range workloads {
			if _, f := p.seeded(seed, views); f != nil {
				return mutants.Finding{Short: found, Full: f.Error()}
			}
		}
	}
	return mutants.Finding{}
}

// findByOrders allows one delay, and none of a view, which can come at any time.
func findByOrders(views []*view) mutants.Finding {
	for _, c := range scenarios {
		if c.delays = 1; c.views > 0 {
			c.delays = 0
		}
		if _, f := c.ordered(views); f != nil {
			return mutants.Finding{Short: found, Full: fmt.Sprintf("%s: %v", c.name, f)}
		}
	}
	return mutants.Finding{}
}
