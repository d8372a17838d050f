//go:build mutants

package replay

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/mome-dsm/mome/impl/protocol"
)

// TestMutants records runs of the correct core and replays them on each broken
// one: every mistake differs, at a step that is named. testdata/mutants is the
// table: the mistake, in how many runs it shows, and the first of them.
func TestMutants(t *testing.T) {
	var dirs []string
	for _, cfg := range worlds {
		dirs = append(dirs, record(t, cfg, 4000))
	}
	datadriven.RunTest(t, "testdata/mutants", func(t *testing.T, d *datadriven.TestData) string {
		return differences(t, protocol.Bugs(), dirs)
	})
}

// TestLockMutants is the same for locks. DropFence cannot show: what a fence keeps
// off is a Release that comes twice, and the links of a run deliver once.
func TestLockMutants(t *testing.T) {
	var dirs []string
	for _, seed := range []uint64{1, 2, 3, 13, 31} {
		dirs = append(dirs, recordLocks(t, seed))
	}
	datadriven.RunTest(t, "testdata/lockmutants", func(t *testing.T, d *datadriven.TestData) string {
		return differences(t, protocol.LockBugs(), dirs, "DropFence")
	})
}

// differences is the table of mistakes over runs. All but the silent ones differ
// somewhere, and those nowhere.
func differences(t *testing.T, bugs []protocol.Bug, dirs []string, silent ...string) string {
	defer protocol.Break(0)
	var b strings.Builder
	for _, bug := range bugs {
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
				first = fmt.Sprintf(": run %d, node %d, step %d, %s: the %s", i, d.Input.At.Node, d.Step, describe(&d.Input), d.What)
			}
		}
		if (found == 0) != slices.Contains(silent, bug.String()) {
			t.Errorf("%v differs in %d of %d runs", bug, found, len(dirs))
		}
		fmt.Fprintf(&b, "%-22v %d of %d runs%s\n", bug, found, len(dirs), first)
	}
	return b.String()
}
