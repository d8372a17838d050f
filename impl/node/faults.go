package node

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// mapping is one process's mapping of a segment.
type mapping struct {
	seg     *segment
	uffd    *memory.Mapping
	table   pageTable // what effects change of it: uffd
	streams streams   // the fault thread's own
	gone    atomic.Bool
}

// pageTable is which pages a process may access: what memory.Mapping says of
// each of these.
type pageTable interface {
	Copy(p addr.PageNum, src []byte, writable bool) (int64, error)
	Zero(p addr.PageNum, n int64, writable bool) (int64, error)
	Install(p addr.PageNum, n int64, writable bool) error
	Wake(p addr.PageNum, n int64) error
	Poison(p addr.PageNum, n int64) error
}

// serveFaults runs on the mapping's own OS thread until the process is gone.
func (n *Node) serveFaults(m *mapping) {
	defer n.tasks.Done()
	runtime.LockOSThread() // and not unlocked: the thread ends with the goroutine
	n.sleep(1)
	defer n.sleep(-1)
	if err := m.uffd.Serve(func(faults []memory.Fault) {
		for i := range faults {
			n.fault(m, &faults[i])
		}
	}); err != nil {
		n.fail(fmt.Errorf("node %d cannot read the faults of %s: %w", n.id, m.uffd.Name(), err))
	}
}

// sleep counts threads that sleep in the kernel from now on.
func (n *Node) sleep(threads int) {
	if now := n.sleepers.Add(int64(threads)); threads > 0 && n.cfg.Sleepers != nil {
		n.cfg.Sleepers(int(now))
	}
}

// fault is the path from a process's access to the request that leaves this
// node: one thread, one lock, one system call.
func (n *Node) fault(m *mapping, f *memory.Fault) {
	stats := &m.seg.stats
	switch {
	case f.Kind == memory.WriteProtect:
		stats.upgrades.Add(1)
	case f.Write:
		stats.writeFaults.Add(1)
	default:
		stats.readFaults.Add(1)
	}
	n.shardOf(f.Page).post(errand{kind: errandFault, mapping: m, page: f.Page, write: f.Write})
	if f.Kind != memory.WriteProtect {
		n.readAhead(m, f.Page, f.Write)
	}
}

// fault asks for the page, and answers at once if the node has it.
func (s *shard) fault(e *errand) {
	if e.mapping.seg.removed.Load() {
		s.node.room.release(e.charged)
		s.node.doom(waitingAccess{e.mapping, e.page})
		return
	}
	if !s.admit(e) {
		return
	}
	kind := protocol.InReadFault
	if e.write {
		kind = protocol.InWriteFault
	}
	s.traceStep(trace.TakeFault, e.page, e.mapping, e.write)
	s.wait(e.page, waiter{mapping: e.mapping, write: e.write})
	s.handle(protocol.Input{Kind: kind, Page: e.page})
}

// poison makes the page a SIGBUS: its segment was removed. A process that is gone
// needs no answer, and one that has been answered already is gone from the fault.
// One that the kernel is too busy for, or has no memory for, asks again.
func (n *Node) poison(a waitingAccess) {
	switch err := a.mapping.table.Poison(a.page, 1); {
	case err == nil, errors.Is(err, memory.ErrGone), errors.Is(err, memory.ErrExists):
	default:
		n.residences.retry(a.mapping, a.page, 1)
	}
}
