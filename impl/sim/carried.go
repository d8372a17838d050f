package sim

import (
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// What messages carry beside what the specification says. Nodes have different
// incarnations and slots different terms, so that the receive rule itself finds a
// message with another's; transactions and clocks are followed here, versions by
// VersionInv.

// incarnation is that of a simulated node.
func incarnation(id addr.NodeID) addr.Incarnation { return addr.Incarnation(id) + 2 }

// term is that of a simulated slot.
func term(slot int) uint64 { return uint64(slot) + 3 }

// asker is a leaf, and the life of the page that it asks for.
type asker struct {
	node addr.NodeID
	word
}

// carried follows what a node has sent, or takes: TxnInv, that every message is
// part of the transaction of a request that is out, and its answer of that
// request's own; and ClockInv, that an action comes after the message that it
// answers.
func (w *World) carried(n *node, e *protocol.Event) {
	m := e.Message
	if m == nil {
		return
	}
	mine := asker{e.At.Node, word{m.Generation, e.Page}}
	switch e.Action {
	case protocol.ActReadFault, protocol.ActWriteFault, protocol.ActWriteback:
		if m.Txn.Leaf != n.id || m.Txn.Incarnation != incarnation(n.id) || m.Txn.Counter == 0 {
			w.wrong("TxnInv", "node %d asks for %v in transaction %+v", n.id, e.Page, m.Txn)
		}
		if m.Lamport != e.Lamport {
			w.wrong("ClockInv", "node %d asks for %v at %d and says %d", n.id, e.Page, e.Lamport, m.Lamport)
		}
		w.requests[mine] = m.Txn
		return
	}
	if asked := (asker{m.Txn.Leaf, mine.word}); w.requests[asked] != m.Txn {
		w.wrong("TxnInv", "%v takes a %v of %v in transaction %+v, and no such request is out", e.At, m.Kind, e.Page, m.Txn)
	}
	if m.Lamport >= e.Lamport {
		w.wrong("ClockInv", "%v takes a %v of %v from %d at %d", e.At, m.Kind, e.Page, m.Lamport, e.Lamport)
	}
	if e.Action == protocol.ActLeafRecvGrant {
		if w.requests[mine] != m.Txn {
			w.wrong("TxnInv", "node %d takes the Grant of %v in transaction %+v for its own %+v", n.id, e.Page, m.Txn, w.requests[mine])
		}
		delete(w.requests, mine)
	}
}
