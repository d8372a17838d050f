package sim

import (
	"math/bits"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// turns is who waits at a manager, and how many others were granted their
// requests meanwhile.
type turns struct {
	waiting uint64 // children, as bits
	passed  [protocol.MaxFanout]int
}

// takeTurns follows the requests at a manager that has just acted.
// FaultServedProp, bounded: while a request waits, each other child is granted
// at most one.
func (w *World) takeTurns(n *node, e *protocol.Event) {
	id := addr.ID(e.Page, e.At)
	t := w.turns[id]
	if t == nil {
		t = &turns{}
		w.turns[id] = t
	}
	came := t.waiting
	tree := n.shard.Tree(e.Page)
	if e.Action == protocol.ActRecvReq {
		_, child := tree.Parent(e.Message.From)
		came |= 1 << child
		t.passed[child] = 0
	}
	t.waiting = n.shard.Unanswered(e.Page, e.At)
	granted := bits.OnesCount64(came &^ t.waiting)
	if granted == 0 {
		return
	}
	for left := t.waiting; left != 0; left &= left - 1 {
		child := bits.TrailingZeros64(left)
		t.passed[child] += granted
		if t.passed[child] >= tree.Children(e.At) {
			w.fail("FaultServedProp", "%v waits for %v at %v, and others were granted %d requests",
				tree.Child(e.At, child), e.Page, e.At, t.passed[child])
		}
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
