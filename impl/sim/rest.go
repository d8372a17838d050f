package sim

import (
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// checkRest is RestInv: where nothing is under way, a core remembers what the
// state says and nothing else. A leaf has an entry for a page that it has a right
// to, a root for one that was granted, an intermediate for one that its parent
// granted to it. Frames and master copies are in OrderInv, after every step.
func (w *World) checkRest() {
	if w.cfg.Blind {
		return
	}
	for _, n := range w.nodes {
		views, directories := 0, 0
		for i := range w.cfg.Pages {
			p := addr.PageNum(i)
			if w.generation(n, p) == 0 {
				continue
			}
			if n.shard.RightTo(p) != protocol.None {
				views++
			}
			for _, at := range w.places(n, n.shard, p) {
				m := n.shard.Manager(p, at)
				if at.Tag != addr.Root && m.Right != protocol.None || at.Tag == addr.Root && (m.Marked != 0 || m.Home != protocol.Virgin || m.Version != 0) {
					directories++
				}
			}
		}
		if v, d := n.shard.Tables(); v != views || d != directories {
			w.fail("RestInv", "node %d remembers %d pages as a leaf and %d as a manager, by its state %d and %d", n.id, v, d, views, directories)
		}
		if left := n.early.Len(); left != 0 {
			w.fail("RestInv", "node %d keeps %d early messages, and has the newest view", n.id, left)
		}
		if left := n.shard.Pending(); left != 0 {
			w.fail("RestInv", "node %d remembers %d transactions or requests, and nothing is under way", n.id, left)
		}
	}
	for p, list := range w.flight {
		if len(list) > 0 {
			w.fail("RestInv", "%d messages about page %d are under way at the end", len(list), p)
		}
	}
}

// places are where a node has managers of a page that are no leaves.
func (w *World) places(n *node, s *protocol.Shard, p addr.PageNum) (all []addr.Place) {
	tree := s.Tree(p)
	for at := (addr.Place{Node: n.id, Tag: addr.Leaf}); at.Tag != addr.Root; {
		at, _ = tree.Parent(at)
		if at.Node != n.id {
			break
		}
		all = append(all, at)
	}
	return all
}
