package explore

import (
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/strong"
	"github.com/mome-dsm/mome/spec/tla"
)

// value is a state in the words of Strong.tla: mgr, leaf, home, up, down, data.
func (l *layout) value(s *state) tla.Value {
	var mgr, leaf, up, down []any
	names := strong.Names{Leaf: l.leaf, Missing: func(int) {}}
	for x, name := range l.names {
		if x < l.Leaves {
			leaf = append(leaf, name, l.leafValue(&s.leaves[x], s.frames[x]))
		} else {
			names.Children = names.Children[:0]
			for _, k := range l.Kids[x] {
				child := ""
				if k >= 0 {
					child = l.names[k]
				}
				names.Children = append(names.Children, child)
			}
			mgr = append(mgr, name, strong.Manager(&s.managers[x], &names))
		}
		if x != l.Root {
			up, down = append(up, name, l.channel(s.up[x])), append(down, name, l.channel(s.down[x]))
		}
	}
	var data []tla.Value
	for _, d := range s.data {
		to := "home"
		if d.to != l.Root {
			to = l.names[d.to]
		}
		data = append(data, tla.Record("to", tla.Text(to), "val", tla.Number(int(d.val))))
	}
	return tla.Record("mgr", tla.Record(mgr...), "leaf", tla.Record(leaf...), "up", tla.Record(up...), "down", tla.Record(down...),
		"home", tla.Record("state", tla.Text(s.managers[l.Root].Home.String()), "val", tla.Number(int(s.home))), "data", tla.Set(data...))
}

func (l *layout) leaf(n addr.NodeID) tla.Value {
	if i, ok := l.byNode[n]; ok {
		return tla.Text(l.names[i])
	}
	return tla.Number(int(n))
}

func (l *layout) leafValue(s *protocol.LeafState, frame content) tla.Value {
	val, arrived := 0, tla.Tuple()
	if s.Right != protocol.None {
		val = int(frame)
	}
	if s.Arrived {
		arrived = tla.Tuple(tla.Number(int(frame)))
	}
	return tla.Record("right", strong.Right(s.Right), "req", tla.Record("op", tla.Text(s.Op.String()), "have", strong.Right(s.Have)),
		"val", tla.Number(val), "arrived", arrived)
}

func (l *layout) channel(ch []message) tla.Value {
	var all []tla.Value
	for _, m := range ch {
		all = append(all, strong.Message(&protocol.Message{Kind: m.kind, Op: m.op, Have: m.have, Keep: m.keep, Source: m.source,
			Dst: m.dst, Hit: m.hit, Leaf: m.leaf}, &strong.Names{Leaf: l.leaf}))
	}
	return tla.Tuple(all...)
}
