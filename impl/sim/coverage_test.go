package sim

import (
	"testing"

	"github.com/mome-dsm/mome/impl/coverage"
)

// suiteDepth is that of the deepest trees of which every cell is demanded:
// three levels of intermediates (world deep5).
const suiteDepth = 4

func checkCoverage(t *testing.T, c *coverage.Coverage) {
	t.Helper()
	for _, a := range c.Actions {
		for _, l := range c.Levels(a, suiteDepth) {
			for _, ph := range c.Phases {
				k := coverage.Cell{Action: a, Level: l, Phase: ph}
				n := c.Cells[k]
				switch why := c.Impossible(k); {
				case why == "" && n == 0:
					t.Errorf("%v at %v in phase %v never ran", a, l, ph)
				case why != "" && n > 0:
					t.Errorf("%v at %v in phase %v ran %d times; it is listed as impossible: %s", a, l, ph, n, why)
				}
			}
		}
	}
}
