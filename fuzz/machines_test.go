package fuzz

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/sim"
)

// machine is the state machine of a protocol, and the test that has its name: its fail
// files are below testdata/rapid/TestX, its fuzz target is FuzzX.
type machine struct {
	of     *protocol.Protocol
	test   string
	groups []string // of the mutants that are about it
}

var machines = []machine{
	{protocol.Pages, "TestStrong", []string{"pages", "segments"}},
	{protocol.Locks, "TestLocks", []string{"locks"}},
	{protocol.Barriers, "TestBarriers", []string{"barriers"}},
}

// property is what the simulator has for the protocol.
func (m machine) property() func(*rapid.T) {
	i := slices.IndexFunc(sim.Protocols, func(s sim.Simulated) bool { return s.Protocol == m.of })
	return sim.Protocols[i].Machine
}

// TestMachines: every protocol has a machine.
func TestMachines(t *testing.T) {
	var have []*protocol.Protocol
	for _, m := range machines {
		have = append(have, m.of)
		failFiles(t, m.test)
	}
	if !slices.Equal(have, protocol.Protocols) {
		t.Error("the machines are not those of protocol.Protocols, in its order")
	}
}

// of is the machine with the test.
func of(test string) machine {
	return machines[slices.IndexFunc(machines, func(m machine) bool { return m.test == test })]
}

func target(f *testing.F, test string) {
	addFailFiles(f, test)
	f.Fuzz(rapid.MakeFuzz(of(test).property()))
}

// Actions of spec/strong/Strong.tla in any order.
func TestStrong(t *testing.T) { rapid.Check(t, of(t.Name()).property()) }
func FuzzStrong(f *testing.F) { target(f, "TestStrong") }

// Of spec/heaplock/HeapLock.tla.
func TestLocks(t *testing.T) { rapid.Check(t, of(t.Name()).property()) }
func FuzzLocks(f *testing.F) { target(f, "TestLocks") }

// Of spec/barrier/Barrier.tla.
func TestBarriers(t *testing.T) { rapid.Check(t, of(t.Name()).property()) }
func FuzzBarriers(f *testing.F) { target(f, "TestBarriers") }
