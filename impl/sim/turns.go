package sim

import (
	"math/bits"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// turns is who waits at a manager, and who was granted a request meanwhile.
// Children are bits.
type turns struct {
	waiting uint64
	passed  [protocol.MaxFanout]uint64 // by the child that waits
}

// ask is a request of the child's that has come.
func (t *turns) ask(child int) {
	t.waiting |= 1 << child
	t.passed[child] = 0
}

// grant says that of those who waited only these still wait. It returns a child
// that has waited while another was granted two requests, or -1.
func (t *turns) grant(waiting uint64) int {
	granted := t.waiting &^ waiting
	t.waiting = waiting
	for left := waiting; left != 0; left &= left - 1 {
		child := bits.TrailingZeros64(left)
		if t.passed[child]&granted != 0 {
			return child
		}
		t.passed[child] |= granted
	}
	return -1
}

// takeTurns follows the requests at a manager that has just acted.
// FaultServedProp, bounded: while a request waits, each other child is granted
// at most one.
func (w *World) takeTurns(n *node, e *protocol.Event) {
	id := addr.ID(e.Page, e.At)
	t := w.turns[id]
	if t == nil {
		t = &turns{waiting: n.shard.Unanswered(e.Page, e.At)}
		w.turns[id] = t
	}
	tree := n.shard.Tree(e.Page)
	if e.Action == protocol.ActRecvReq {
		_, child := tree.Parent(e.Message.From)
		t.ask(child)
	}
	if child := t.grant(n.shard.Unanswered(e.Page, e.At)); child >= 0 {
		w.fail("FaultServedProp", "%v waits for %v at %v, and another was granted it twice", tree.Child(e.At, child), e.Page, e.At)
	}
}

// forgetTurns forgets who waited at a node for a page of a segment that is
// removed.
func (w *World) forgetTurns(n *node, p addr.PageNum) {
	for id := range w.turns {
		if id.Page() == p && id.Place().Node == n.id {
			delete(w.turns, id)
		}
	}
}
