package sim

import (
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
)

// TestRestore takes every page of every node out of its shard and puts it back,
// after every few steps: Manager and SetManager, Leaf and SetLeaf lose nothing
// that shows in any batch.
func TestRestore(t *testing.T) {
	for _, wd := range suite {
		if wd.cfg.Nodes > 10 {
			continue
		}
		plain, f := play(wd, 11, "")
		if f != nil {
			t.Fatal(f)
		}
		wd.cfg.Seed = 11
		w := New(wd.cfg)
		for i := range wd.steps {
			w.Random()
			if i%5 > 0 {
				continue
			}
			for p := range addr.PageNum(wd.cfg.Pages) {
				w.restore(p)
			}
		}
		w.Settle()
		if w.Trace() != plain.Trace() || w.Steps != plain.Steps {
			t.Errorf("%s: a run whose states are taken out and put back differs", wd.name)
		}
	}
}

func (w *World) restore(p addr.PageNum) {
	s := w.snapshot(p)
	if s == nil {
		return
	}
	for _, at := range s.Places {
		n := w.nodes[at.Node]
		if w.generation(n, p) == 0 {
			continue
		}
		if at.Tag == addr.Leaf {
			l := n.shard.Leaf(p)
			n.shard.SetLeaf(p, &l)
			continue
		}
		m := n.shard.Manager(p, at)
		n.shard.SetManager(p, at, &m)
	}
}
