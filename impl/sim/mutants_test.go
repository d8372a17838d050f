//go:build mutants

package sim

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/mome-dsm/mome/impl/protocol"
)

// seedsToFind is how many seeds of every small world may be needed to find a
// mutant.
const seedsToFind = 40

// TestMutants puts each mistake into the core and demands that the simulator
// finds it. testdata/mutants is the table: the mistake, the worlds that it was
// found in with the number of seeds, the property that fell first. Where a
// world has one child below each intermediate, mistakes among siblings survive;
// so each mutant runs in all small worlds.
func TestMutants(t *testing.T) {
	defer protocol.Break(0)
	datadriven.RunTest(t, "testdata/mutants", func(t *testing.T, d *datadriven.TestData) string {
		var b strings.Builder
		for _, bug := range protocol.Bugs() {
			protocol.Break(bug)
			found := 0
			fmt.Fprintf(&b, "%v\n", bug)
			for _, wd := range suite {
				if strings.HasPrefix(wd.name, "large") {
					continue
				}
				for s := range uint64(seedsToFind) {
					_, f := play(wd, s, "go test -tags mutants ./impl/sim -run TestMutants")
					if f != nil {
						found++
						fmt.Fprintf(&b, "  %-18s seeds %2d  %s\n", wd.name, s+1, f.Property)
						break
					}
				}
			}
			if found == 0 {
				t.Errorf("nobody finds %v within %d seeds of each small world", bug, seedsToFind)
				fmt.Fprintf(&b, "  SURVIVES\n")
			}
		}
		return b.String()
	})
}
