package sim

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/mome-dsm/mome/impl/coverage"
	"github.com/mome-dsm/mome/impl/protocol"
)

// suiteDepth is that of the deepest trees of which every cell is demanded:
// three levels of intermediates (world deep5).
const suiteDepth = 4

func checkCoverage(t *testing.T, c *coverage.Coverage) {
	t.Helper()
	for _, a := range protocol.Actions() {
		for _, l := range coverage.Levels(a, suiteDepth) {
			for _, ph := range coverage.Phases {
				k := coverage.Cell{Action: a.String(), Level: l, Phase: ph}
				n := c.Cells[k]
				switch why := coverage.Impossible(k); {
				case why == "" && n == 0:
					t.Errorf("%v at %v in phase %v never ran", a, l, ph)
				case why != "" && n > 0:
					t.Errorf("%v at %v in phase %v ran %d times; it is listed as impossible: %s", a, l, ph, n, why)
				}
			}
		}
	}
}

// TestInvariantNames compares the state invariants of StrongInvs.tla with
// Invariants, both ways. ProcessInv and VersionInv are the code's.
func TestInvariantNames(t *testing.T) {
	text, err := os.ReadFile("../../spec/strong/StrongInvs.tla")
	if err != nil {
		t.Fatal(err)
	}
	var spec []string
	for _, m := range regexp.MustCompile(`(?m)^(\w+Inv) *==`).FindAllSubmatch(text, -1) {
		spec = append(spec, string(m[1]))
	}
	code := []string{}
	for _, inv := range Invariants {
		code = append(code, inv.Name)
		if inv.Name != "ProcessInv" && inv.Name != "VersionInv" && !slices.Contains(spec, inv.Name) {
			t.Errorf("StrongInvs.tla has no %s", inv.Name)
		}
	}
	for _, name := range spec {
		if !slices.Contains(code, name) {
			t.Errorf("nothing checks %s", name)
		}
	}
}
