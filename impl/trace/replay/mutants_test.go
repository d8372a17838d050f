//go:build mutants

package replay

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/mome-dsm/mome/impl/protocol"
)

// TestMutants records runs of the correct core and replays them on each broken
// one: every mistake differs, at a step that is named. testdata/mutants is the
// table: the mistake, in how many runs it shows, and the first of them.
func TestMutants(t *testing.T) {
	defer protocol.Break(0)
	var dirs []string
	for _, cfg := range worlds {
		dirs = append(dirs, record(t, cfg, 4000))
	}
	datadriven.RunTest(t, "testdata/mutants", func(t *testing.T, d *datadriven.TestData) string {
		var b strings.Builder
		for _, bug := range protocol.Bugs() {
			protocol.Break(bug)
			found, first := 0, ""
			for i, dir := range dirs {
				_, err := Run(dir)
				var d *Difference
				switch {
				case err == nil:
					continue
				case !errors.As(err, &d):
					t.Fatalf("%v: %v", bug, err)
				}
				if found++; found == 1 {
					first = fmt.Sprintf("run %d, node %d, step %d, %s: the %s", i, d.Input.At.Node, d.Step, describe(&d.Input), d.What)
				}
			}
			if found == 0 {
				t.Errorf("no replay shows %v", bug)
			}
			fmt.Fprintf(&b, "%-22v %d of %d runs: %s\n", bug, found, len(dirs), first)
		}
		return b.String()
	})
}
