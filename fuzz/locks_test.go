package fuzz

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/mome-dsm/mome/impl/sim"
)

// TestLocks checks locks: actions of spec/heaplock/HeapLock.tla in any order.
func TestLocks(t *testing.T) { rapid.Check(t, sim.LockMachine) }

// FuzzLocks is the same property for the fuzzer.
func FuzzLocks(f *testing.F) {
	addFailFiles(f, "TestLocks")
	f.Fuzz(rapid.MakeFuzz(sim.LockMachine))
}
