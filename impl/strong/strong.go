// Package strong writes states and messages of pages in the words of spec/strong: the
// explorer compares them with what TLC prints, the validator gives them to TLC.
package strong

import (
	"math/bits"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/spec/tla"
)

// Names are what the specification calls what a state or a message names.
type Names struct {
	Children []string // of the manager, by their numbers; empty where there is none
	Leaf     func(addr.NodeID) tla.Value
	Missing  func(child int) // is told of a child that the manager does not have
}

func (n *Names) child(c int) tla.Value {
	if c < 0 || c >= len(n.Children) || n.Children[c] == "" {
		n.Missing(c)
		return tla.Text("nobody")
	}
	return tla.Text(n.Children[c])
}

// Right is a right as the specifications number it.
func Right(r protocol.Right) tla.Value { return tla.Number(int(r)) }

// Manager is mgr[m] of Strong.tla.
func Manager(m *protocol.ManagerState, n *Names) tla.Value {
	var recorded []any
	for c, name := range n.Children {
		if name != "" {
			recorded = append(recorded, name, Right(m.Recorded(c)))
		}
	}
	busy := tla.Record("op", tla.Text("none"))
	if b := &m.Busy; b.Op != protocol.OpNone {
		phase := "serve"
		if b.Climbing {
			phase = "up"
		}
		busy = tla.Record(append(collection(&b.Collection, n), "op", tla.Text(b.Op.String()), "child", n.child(int(b.Child)),
			"have", Right(b.Have), "phase", tla.Text(phase), "source", tla.Text(b.Source.String()))...)
	}
	recall := tla.Record("keep", Right(protocol.Write))
	if m.Recall.Active {
		recall = tla.Record(collection(&m.Recall.Collection, n)...)
	}
	var queue []tla.Value
	for i := range m.Queue {
		w := &m.Queue[i]
		if w.IsRecall() {
			queue = append(queue, tla.Record(recallOf(w.Keep, w.Dst, w.Leaf, n)...))
		} else {
			queue = append(queue, tla.Record(append(requestOf(w.Op, w.Have, w.Leaf, n), "child", n.child(int(w.Child)))...))
		}
	}
	return tla.Record("right", Right(m.Right), "recorded", tla.Record(recorded...), "busy", busy, "recall", recall, "queue", tla.Tuple(queue...))
}

func collection(c *protocol.Collection, n *Names) []any {
	var wait []tla.Value
	for rest := uint64(c.Wait); rest != 0; rest &= rest - 1 {
		wait = append(wait, n.child(bits.TrailingZeros64(rest)))
	}
	return []any{"wait", tla.Set(wait...), "homeDue", tla.Number(int(c.HomeDue)), "keep", Right(c.Keep),
		"dst", tla.Text(c.Dst.String()), "leaf", n.Leaf(c.Leaf), "hit", tla.Truth(c.Hit)}
}

func requestOf(op protocol.Op, have protocol.Right, leaf addr.NodeID, n *Names) []any {
	return []any{"kind", tla.Text("Req"), "op", tla.Text(op.String()), "leaf", n.Leaf(leaf), "have", Right(have)}
}

func recallOf(keep protocol.Right, dst protocol.Dst, leaf addr.NodeID, n *Names) []any {
	return []any{"kind", tla.Text("Recall"), "keep", Right(keep), "dst", tla.Text(dst.String()), "leaf", n.Leaf(leaf)}
}

// Message is a message of a channel between a manager and its parent.
func Message(m *protocol.Message, n *Names) tla.Value {
	switch m.Kind {
	case protocol.Req:
		return tla.Record(requestOf(m.Op, m.Have, m.Leaf, n)...)
	case protocol.Grant:
		return tla.Record("kind", tla.Text("Grant"), "op", tla.Text(m.Op.String()), "source", tla.Text(m.Source.String()), "leaf", n.Leaf(m.Leaf))
	case protocol.Recall:
		return tla.Record(recallOf(m.Keep, m.Dst, m.Leaf, n)...)
	}
	return tla.Record("kind", tla.Text(m.Kind.String()), "keep", Right(m.Keep), "hit", tla.Truth(m.Hit))
}
