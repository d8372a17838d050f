package protocol

import (
	"fmt"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"pgregory.net/rapid"
)

// dense is the tree of the nodes from 0 on.
func dense(home, nodes, fanout int) Tree { return treeOf(home, nodes, fanout, 0, 1) }

// treeOf is the tree of so many nodes from one on, each further one by a step. The
// home is counted among them.
func treeOf(home, nodes, fanout, first, step int) Tree {
	lives := make(map[addr.NodeID]addr.Incarnation)
	for i := range nodes {
		lives[addr.NodeID(first+i*step)] = 1
	}
	s := Slot{Home: addr.NodeID(first + home*step), Members: NewMembers(lives)}
	return s.tree(fanout)
}

// walkTree checks everything that is promised of one tree.
func walkTree(t rapid.TB, tree Tree) {
	t.Helper()
	if tree.depth > 1 {
		covered := 1
		for range tree.depth - 1 {
			covered *= tree.fanout
		}
		if covered >= tree.Leaves() {
			t.Fatalf("%v: a level too many", tree)
		}
	}
	leaves, managers := 0, 0
	var down func(p addr.Place, level int)
	down = func(p addr.Place, level int) {
		if !tree.Has(p) || tree.level(p.Tag) != level {
			t.Fatalf("%v: %v is not at level %d", tree, p, level)
		}
		if level == 0 {
			leaves++
			// Every leaf reaches the root in Depth steps.
			for range tree.Depth() {
				up, c := tree.Parent(p)
				if back := tree.Child(up, c); back != p {
					t.Fatalf("%v: child %d of %v is %v, not %v", tree, c, up, back, p)
				}
				p = up
			}
			if p != tree.Root() {
				t.Fatalf("%v: a leaf ends at %v", tree, p)
			}
			return
		}
		managers++
		n := tree.Children(p)
		if n < 1 || n > tree.fanout {
			t.Fatalf("%v: %v has %d children", tree, p, n)
		}
		for c := range n {
			child := tree.Child(p, c)
			if up, k := tree.Parent(child); up != p || k != c {
				t.Fatalf("%v: the parent of child %d of %v, %v, is %v, child %d", tree, c, p, child, up, k)
			}
			down(child, level-1)
		}
	}
	down(tree.Root(), tree.Depth())
	if leaves != tree.Leaves() {
		t.Fatalf("%v: %d leaves", tree, leaves)
	}
	// Has knows no others.
	has := 0
	last := tree.members.nodes[tree.Leaves()-1]
	for n := range min(int(last)+3, 1<<16) {
		for tag := range addr.Tag(tree.depth + 3) {
			if tree.Has(addr.Place{Node: addr.NodeID(n), Tag: tag}) {
				has++
			}
		}
	}
	if has != leaves+managers {
		t.Fatalf("%v: Has knows %d places, there are %d", tree, has, leaves+managers)
	}
	for _, p := range []addr.Place{{Node: tree.Root().Node, Tag: 60000}, {Node: last, Tag: 0xffff}} {
		if tree.Has(p) {
			t.Fatalf("%v has %v", tree, p)
		}
	}
}

func TestTree(t *testing.T) {
	for _, nodes := range []int{1, 2, 3, 4, 5, 8, 9, 16, 17, 63, 64, 65, 100, 1000} {
		for _, fanout := range []int{2, 3, 7, 8, 63, 64} {
			for _, home := range []int{0, 1, nodes / 2, nodes - 1} {
				if home < nodes {
					walkTree(t, dense(home, nodes, fanout))
				}
			}
		}
	}
	for _, fanout := range []int{2, 3, 16, 64} {
		for _, nodes := range []int{65535, 65536} {
			walkTree(t, dense(nodes-7, nodes, fanout))
		}
	}
}

func TestTreeOfAnyShape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(1, 3000).Draw(t, "nodes")
		walkTree(t, treeOf(rapid.IntRange(0, nodes-1).Draw(t, "home"), nodes, rapid.IntRange(2, MaxFanout).Draw(t, "fanout"),
			rapid.IntRange(0, 9).Draw(t, "first"), rapid.IntRange(1, 9).Draw(t, "step")))
	})
}

// TestTreeBelow compares below with climbing.
func TestTreeBelow(t *testing.T) {
	for _, tree := range []Tree{dense(3, 10, 2), dense(0, 27, 3), dense(64, 65, 8), dense(0, 1, 2), treeOf(3, 10, 2, 5, 7)} {
		for _, n := range tree.members.nodes {
			above := map[addr.Place]bool{}
			p := addr.Place{Node: n, Tag: addr.Leaf}
			for above[p] = true; p.Tag != addr.Root; above[p] = true {
				p, _ = tree.Parent(p)
			}
			for _, k := range tree.members.nodes {
				for tag := range addr.Tag(tree.depth + 2) {
					q := addr.Place{Node: k, Tag: tag}
					if tree.Has(q) && tree.below(n, q) != above[q] {
						t.Fatalf("%v: leaf %d below %v: %v, want %v", tree, n, q, !above[q], above[q])
					}
				}
			}
		}
	}
}

// TestTreeSpreads demands that the trees of all slots together put the same
// number of managers on every node.
func TestTreeSpreads(t *testing.T) {
	for _, c := range []struct{ nodes, fanout int }{{8, 2}, {64, 8}, {100, 3}, {1000, 16}} {
		t.Run(fmt.Sprintf("nodes=%d/fanout=%d", c.nodes, c.fanout), func(t *testing.T) {
			count := make([]int, c.nodes)
			for home := range c.nodes {
				tree := dense(home, c.nodes, c.fanout)
				for n := range c.nodes {
					for l := 1; l < tree.depth; l++ {
						if tree.Has(addr.Place{Node: addr.NodeID(n), Tag: addr.FirstIntermediate + addr.Tag(l-1)}) {
							count[n]++
						}
					}
				}
			}
			for n := range count {
				if count[n] != count[0] || count[n] == 0 && c.nodes > c.fanout {
					t.Fatalf("node %d has %d intermediates, node 0 %d", n, count[n], count[0])
				}
			}
		})
	}
}
