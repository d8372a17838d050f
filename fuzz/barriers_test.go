package fuzz

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/mome-dsm/mome/impl/sim"
)

// TestBarriers checks barriers: actions of spec/barrier/Barrier.tla in any order.
func TestBarriers(t *testing.T) { rapid.Check(t, sim.BarrierMachine) }

// FuzzBarriers is the same property for the fuzzer.
func FuzzBarriers(f *testing.F) {
	addFailFiles(f, "TestBarriers")
	f.Fuzz(rapid.MakeFuzz(sim.BarrierMachine))
}
