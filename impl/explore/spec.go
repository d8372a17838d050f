package explore

import (
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// value is a state in the words of Strong.tla: mgr, leaf, home, up, down, data.
func (l *layout) value(s *state) value {
	var mgr, leaf, up, down []any
	for x, name := range l.names {
		if x < l.Leaves {
			leaf = append(leaf, name, l.leafValue(&s.leaves[x], s.frames[x]))
		} else {
			mgr = append(mgr, name, l.managerValue(x, &s.managers[x]))
		}
		if x != l.Root {
			up, down = append(up, name, l.channel(s.up[x])), append(down, name, l.channel(s.down[x]))
		}
	}
	var data []value
	for _, d := range s.data {
		to := "home"
		if d.to != l.Root {
			to = l.names[d.to]
		}
		data = append(data, record("to", text(to), "val", number(int(d.val))))
	}
	return record("mgr", record(mgr...), "leaf", record(leaf...), "up", record(up...), "down", record(down...),
		"home", record("state", text(s.managers[l.Root].Home.String()), "val", number(int(s.home))), "data", set(data...))
}

func (l *layout) leaf(n addr.NodeID) value {
	if i, ok := l.byNode[n]; ok {
		return text(l.names[i])
	}
	return number(int(n))
}

func right(r protocol.Right) value { return number(int(r)) }

func (l *layout) leafValue(s *protocol.LeafState, frame content) value {
	val, arrived := 0, tuple()
	if s.Right != protocol.None {
		val = int(frame)
	}
	if s.Arrived {
		arrived = tuple(number(int(frame)))
	}
	return record("right", right(s.Right), "req", record("op", text(s.Op.String()), "have", right(s.Have)),
		"val", number(val), "arrived", arrived)
}

// childName is the model's name for a manager's child.
func (l *layout) childName(m, c int) string {
	if c < len(l.Kids[m]) && l.Kids[m][c] >= 0 {
		return l.names[l.Kids[m][c]]
	}
	return "nobody"
}

func (l *layout) children(m int, set protocol.Children) (names []value) {
	for c := range l.Kids[m] {
		if set&(1<<c) != 0 {
			names = append(names, text(l.childName(m, c)))
		}
	}
	return names
}

func (l *layout) managerValue(x int, m *protocol.ManagerState) value {
	var recorded []any
	for c, k := range l.Kids[x] {
		if k >= 0 {
			recorded = append(recorded, l.names[k], right(m.Recorded(c)))
		}
	}
	busy := record("op", text("none"))
	if b := &m.Busy; b.Op != protocol.OpNone {
		phase := "serve"
		if b.Climbing {
			phase = "up"
		}
		busy = record(append(l.collection(x, &b.Collection), "op", text(b.Op.String()), "child", text(l.childName(x, int(b.Child))),
			"have", right(b.Have), "phase", text(phase), "source", text(b.Source.String()))...)
	}
	recall := record("keep", right(protocol.Write))
	if m.Recall.Active {
		recall = record(l.collection(x, &m.Recall.Collection)...)
	}
	var queue []value
	for i := range m.Queue {
		w := &m.Queue[i]
		if w.IsRecall() {
			queue = append(queue, record("kind", text("Recall"), "keep", right(w.Keep), "dst", text(w.Dst.String()), "leaf", l.leaf(w.Leaf)))
		} else {
			queue = append(queue, record("kind", text("Req"), "child", text(l.childName(x, int(w.Child))), "op", text(w.Op.String()),
				"leaf", l.leaf(w.Leaf), "have", right(w.Have)))
		}
	}
	return record("right", right(m.Right), "recorded", record(recorded...), "busy", busy, "recall", recall, "queue", tuple(queue...))
}

func (l *layout) collection(x int, c *protocol.Collection) []any {
	return []any{"wait", set(l.children(x, c.Wait)...), "homeDue", number(int(c.HomeDue)), "keep", right(c.Keep),
		"dst", text(c.Dst.String()), "leaf", l.leaf(c.Leaf), "hit", truth(c.Hit)}
}

func (l *layout) channel(ch []message) value {
	var all []value
	for _, m := range ch {
		kind := text(m.kind.String())
		switch m.kind {
		case protocol.Req:
			all = append(all, record("kind", kind, "op", text(m.op.String()), "leaf", l.leaf(m.leaf), "have", right(m.have)))
		case protocol.Grant:
			all = append(all, record("kind", kind, "op", text(m.op.String()), "source", text(m.source.String()), "leaf", l.leaf(m.leaf)))
		case protocol.Recall:
			all = append(all, record("kind", kind, "keep", right(m.keep), "dst", text(m.dst.String()), "leaf", l.leaf(m.leaf)))
		default:
			all = append(all, record("kind", kind, "keep", right(m.keep), "hit", truth(m.hit)))
		}
	}
	return tuple(all...)
}
