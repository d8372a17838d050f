package coverage_test

import (
	"testing"

	"github.com/mome-dsm/mome/impl/coverage"
	"github.com/mome-dsm/mome/impl/sim"
)

// readWorld records a world of locks or barriers.
func readWorld(t *testing.T, w *sim.Syncs) (locks, barriers *coverage.Recorded) {
	t.Helper()
	dir := t.TempDir()
	if err := w.Recorded(dir, 2000); err != nil {
		t.Fatal(err)
	}
	runs, err := coverage.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return runs[2], runs[3]
}

// TestSync: locks and barriers are counted apart, a home's part at the root.
func TestSync(t *testing.T) {
	locks, barriers := readWorld(t, sim.NewLocks(sim.SyncConfig{Nodes: 3, Objects: 2, Seed: 1}).Syncs)
	if locks.Spec != coverage.Locks || locks.Logs != 3 || locks.Never(1) != nil || barriers.Total() != 0 ||
		len(barriers.Never(1)) != len(coverage.Barriers.Actions) {
		t.Errorf("%v, never %v and %v", locks, locks.Never(1), barriers.Never(1))
	}
	if locks.Cases[coverage.Case{Action: "RecvRefuse", Answer: "Busy"}] == 0 {
		t.Errorf("nobody was refused: %v", locks.Cases)
	}
	locks, barriers = readWorld(t, sim.NewBarriers(sim.SyncConfig{Nodes: 3, Objects: 2, Parties: 3, Seed: 1}).Syncs)
	if barriers.Spec != coverage.Barriers || barriers.Logs != 3 || barriers.Never(1) != nil || locks.Total() != 0 {
		t.Errorf("%v, never %v and %v", barriers, barriers.Never(1), locks.Never(1))
	}
	if barriers.Cases[coverage.Case{Action: "RecvJoined", Answer: "Mismatch"}] == 0 {
		t.Errorf("nobody was refused: %v", barriers.Cases)
	}
}
