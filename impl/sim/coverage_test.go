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
	for _, k := range c.Holes(suiteDepth) {
		t.Errorf("%v at %v in phase %v never ran", k.Action, k.Level, k.Phase)
	}
	for _, k := range c.Contradictions() {
		t.Errorf("%v at %v in phase %v ran %d times; it is listed as impossible: %s", k.Action, k.Level, k.Phase, c.Cells[k], c.Impossible(k))
	}
}
