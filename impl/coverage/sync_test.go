package coverage_test

import (
	"errors"
	"testing"

	"github.com/mome-dsm/mome/impl/coverage"
	"github.com/mome-dsm/mome/impl/sim"
)

// TestSync: locks and barriers are counted apart, a home's part at the root.
func TestSync(t *testing.T) {
	dir := t.TempDir()
	w := sim.NewLocks(sim.LocksConfig{Nodes: 3, Locks: 2, Seed: 1})
	if err := w.Record(dir); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Run(2000), w.EndRecord()); err != nil {
		t.Fatal(err)
	}
	runs, err := coverage.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	locks, barriers := runs[2], runs[3]
	if locks.Spec != coverage.Locks || locks.Logs != 3 || locks.Never(1) != nil || barriers.Total() != 0 ||
		len(barriers.Never(1)) != len(coverage.Barriers.Actions) {
		t.Errorf("%v, never %v and %v", locks, locks.Never(1), barriers.Never(1))
	}
	if locks.Cases[coverage.Case{Action: "RecvRefuse", Answer: "Busy"}] == 0 {
		t.Errorf("nobody was refused: %v", locks.Cases)
	}
}
