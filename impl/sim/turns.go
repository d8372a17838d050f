package sim

import (
	"math/bits"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// turns is who waits at a manager, and who was granted a request meanwhile.
// Children are bits.
type turns struct {
	waiting  protocol.Children
	passed   [protocol.MaxFanout]protocol.Children // by the child that waits
	recalled protocol.Children                     // granted while the Recall waits that does now
}

// ask is a request of the child's that has come.
func (t *turns) ask(child int) {
	t.waiting |= 1 << child
	t.passed[child] = 0
}

// grant says that of those who waited only these still wait. It returns a child
// that has waited while another was granted two requests, or -1.
func (t *turns) grant(waiting protocol.Children) int {
	granted := t.waiting &^ waiting
	t.waiting = waiting
	for left := waiting; left != 0; left &= left - 1 {
		child := bits.TrailingZeros64(uint64(left))
		if t.passed[child]&granted != 0 {
			return child
		}
		t.passed[child] |= granted
	}
	return -1
}

// recall says whether a Recall waits now, after these were granted. It returns a
// child that was granted two requests while it waited, or -1.
func (t *turns) recall(waits bool, granted protocol.Children) int {
	if !waits {
		t.recalled = 0
		return -1
	}
	if twice := t.recalled & granted; twice != 0 {
		return bits.TrailingZeros64(uint64(twice))
	}
	t.recalled |= granted
	return -1
}

// takeTurns follows the requests at a manager that has just acted.
// FaultServedProp, bounded: while a request waits, each other child is granted
// at most one. RecallServedProp, bounded: while a Recall waits, each child is.
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
	waiting := n.shard.Unanswered(e.Page, e.At)
	granted := t.waiting &^ waiting
	if child := t.grant(waiting); child >= 0 {
		w.fail("FaultServedProp", "%v waits for %v at %v, and another was granted it twice", tree.Child(e.At, child), e.Page, e.At)
	}
	if child := t.recall(n.shard.RecallWaits(e.Page, e.At), granted); child >= 0 {
		w.fail("RecallServedProp", "a Recall of %v waits at %v, and %v was granted it twice", e.Page, e.At, tree.Child(e.At, child))
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
