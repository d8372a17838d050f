package sim

import (
	"pgregory.net/rapid"

	"github.com/mome-dsm/mome/impl/protocol"
)

// Simulated is a protocol as it is simulated.
type Simulated struct {
	Protocol *protocol.Protocol
	// Machine is a property of a rapid state machine.
	Machine func(*rapid.T)
	// Record leaves the logs of a small run in a directory: of so many steps, and
	// until it is quiet.
	Record func(dir string, seed uint64, steps int) error
}

// Protocols are all that are simulated.
var Protocols = []Simulated{
	{protocol.Pages, Machine, func(dir string, seed uint64, steps int) error {
		return Recorded(dir, Config{Nodes: 4, Fanout: 2, Pages: 2, Seed: seed}, steps)
	}},
	{protocol.Locks, LockMachine, func(dir string, seed uint64, steps int) error {
		return NewLocks(SyncConfig{Nodes: 3, Objects: 2, Seed: seed}).Recorded(dir, steps)
	}},
	{protocol.Barriers, BarrierMachine, func(dir string, seed uint64, steps int) error {
		return NewBarriers(SyncConfig{Nodes: 3, Objects: 2, Parties: 3, Seed: seed}).Recorded(dir, steps)
	}},
}
