package replay

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// machine is a core that the records of a log drive: that of the pages of a shard, or
// that of a node's locks and barriers.
type machine interface {
	// configure gives the core the configuration of a conf record.
	configure(conf *trace.Record) error
	// step gives the core the input of an in record. An error means that the
	// record holds no input of this core.
	step(in *trace.Record) (*step, error)
}

// step is what a core did with an input.
type step struct {
	actions  []trace.Record // in their order
	out      trace.Output
	effects  []byte // the canonical encoding of the batch
	panicked any    // what the core panicked with, nil if it did not
}

// Core is a core of this build that can be replayed.
type Core struct {
	// Spec is the Header.Spec of its logs, and Protocols are those whose actions
	// these have.
	Spec      string
	Protocols []*protocol.Protocol
	machine   func(trace.Header) (machine, error)
}

// Cores are all of them.
var Cores = []Core{pagesCore, syncsCore}

func newMachine(h trace.Header) (machine, error) {
	for _, c := range Cores {
		if c.Spec == h.Spec {
			return c.machine(h)
		}
	}
	return nil, fmt.Errorf("this build has no core for the specification %q", h.Spec)
}
