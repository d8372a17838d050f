package fuzz

import (
	"flag"
	"testing"

	"github.com/mome-dsm/mome/impl/sim"
	"pgregory.net/rapid"
)

// TestStrong checks strong pages: actions of spec/strong/Strong.tla in any
// order. Most runs of rapid's own length end before the first page has moved.
func TestStrong(t *testing.T) {
	steps := flag.Lookup("rapid.steps")
	if steps.Value.String() == steps.DefValue {
		if err := flag.Set("rapid.steps", "400"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = flag.Set("rapid.steps", steps.DefValue) })
	}
	rapid.Check(t, sim.Machine)
}

// FuzzStrong is the same property for the fuzzer, which shortens every new input
// for a minute unless told otherwise:
//
//	go test ./fuzz -fuzz FuzzStrong -fuzzminimizetime 10x
func FuzzStrong(f *testing.F) { f.Fuzz(rapid.MakeFuzz(sim.Machine)) }
