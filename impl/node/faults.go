package node

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/protocol"
)

// mapping is one process's mapping of a segment.
type mapping struct {
	seg     *segment
	uffd    *memory.Mapping
	streams streams // the fault thread's own
}

// serveFaults runs on the mapping's own OS thread until the process is gone.
func (n *Node) serveFaults(m *mapping) {
	defer n.tasks.Done()
	if err := m.uffd.Serve(func(faults []memory.Fault) {
		for i := range faults {
			n.fault(m, &faults[i])
		}
	}); err != nil {
		n.fail(fmt.Errorf("node %d cannot read the faults of %s: %w", n.id, m.uffd.Name(), err))
	}
}

// fault is the path from a process's access to the request that leaves this
// node: one thread, one lock, one system call.
func (n *Node) fault(m *mapping, f *memory.Fault) {
	stats := &m.seg.stats
	in := protocol.Input{Kind: protocol.InReadFault, Page: f.Page}
	switch {
	case f.Kind == memory.WriteProtect:
		stats.upgrades.Add(1)
		in.Kind = protocol.InWriteFault
	case f.Write:
		stats.writeFaults.Add(1)
		in.Kind = protocol.InWriteFault
	default:
		stats.readFaults.Add(1)
	}
	s := n.shardOf(f.Page)
	s.mu.Lock()
	if m.seg.removed.Load() {
		s.mu.Unlock()
		m.poison(f.Page)
		return
	}
	s.wait(f.Page, waiter{mapping: m, write: f.Write})
	s.give(in)
	s.unlock()
	if f.Kind != memory.WriteProtect {
		n.readAhead(m, f.Page, f.Write)
	}
}

// poison makes the page a SIGBUS: its segment was removed.
func (m *mapping) poison(p addr.PageNum) {
	// A process that is gone needs no answer, and one that has been answered
	// already is gone from the fault.
	_ = m.uffd.Poison(p, 1)
}
