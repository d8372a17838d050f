package fuzz

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/mome-dsm/mome/impl/sim"
)

// TestStrong checks strong pages: actions of spec/strong/Strong.tla in any
// order.
func TestStrong(t *testing.T) { rapid.Check(t, sim.Machine) }

// FuzzStrong is the same property for the fuzzer.
func FuzzStrong(f *testing.F) {
	addFailFiles(f, "TestStrong")
	f.Fuzz(rapid.MakeFuzz(sim.Machine))
}
