package protocol

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
)

// MaxFanout is the most children that a manager can have: they are the bits of
// one word.
const MaxFanout = 64

// Tree is the tree of managers of one slot. The slot's members are ranked from the
// home on (home 0, the next member 1, ...); a manager of level l with index i covers
// the ranks [i*fanout^l, (i+1)*fanout^l) and sits on the first node of them.
// Leaves are level 0, the root is the level that covers all. So the parent is a
// function of the slot's record and the child, and the managers of different slots
// sit on different nodes.
type Tree struct {
	members *Members
	home    addr.NodeID
	fanout  int
	depth   int // the level of the root, at least 1
}

// Tree is the tree of the slot with this number.
func (c *Configuration) Tree(slot int) Tree { return c.Slots[slot].tree(c.Fanout) }

func (s *Slot) tree(fanout int) Tree {
	t := Tree{members: s.Members, home: s.Home, fanout: fanout, depth: 1}
	for covered := fanout; covered < t.Leaves(); covered *= fanout {
		t.depth++
	}
	return t
}

// Leaves is how many nodes are in the tree.
func (t Tree) Leaves() int { return t.members.Len() }

// Rank counts a node from the home on.
// Preconditions: the node is in the tree.
func (t Tree) Rank(n addr.NodeID) int { return t.members.distance(t.home, n) }

// Node is the one of this rank.
func (t Tree) Node(rank int) addr.NodeID { return t.members.after(t.home, rank) }

// width is how many ranks a manager of the level covers.
func (t Tree) width(level int) int {
	w := 1
	for range level {
		w *= t.fanout
	}
	return w
}

func (t Tree) level(tag addr.Tag) int {
	switch tag {
	case addr.Root:
		return t.depth
	case addr.Leaf:
		return 0
	}
	return int(tag-addr.FirstIntermediate) + 1
}

func (t Tree) at(level, index int) addr.Place {
	n := t.Node(index * t.width(level))
	switch level {
	case t.depth:
		return t.Root()
	case 0:
		return addr.Place{Node: n, Tag: addr.Leaf}
	}
	return addr.Place{Node: n, Tag: addr.FirstIntermediate + addr.Tag(level-1)}
}

// Root is where the root manager lives.
func (t Tree) Root() addr.Place { return addr.Place{Node: t.home, Tag: addr.Root} }

// Has says whether the place is a manager of this tree.
func (t Tree) Has(p addr.Place) bool {
	if !t.members.Has(p.Node) {
		return false
	}
	l := t.level(p.Tag)
	switch {
	case p.Tag == addr.Root:
		return p.Node == t.home
	case p.Tag == addr.Leaf:
		return true
	}
	return l < t.depth && t.Rank(p.Node)%t.width(l) == 0
}

// Parent is the manager above p, and which of its children p is.
// Preconditions: Has(p), and p is not the root.
func (t Tree) Parent(p addr.Place) (parent addr.Place, child int) {
	l := t.level(p.Tag)
	index := t.Rank(p.Node) / t.width(l)
	return t.at(l+1, index/t.fanout), index % t.fanout
}

// Child is the child with this index of the manager p.
// Preconditions: Has(p), p is not a leaf, child < Children(p).
func (t Tree) Child(p addr.Place, child int) addr.Place {
	l := t.level(p.Tag)
	index := 0
	if l < t.depth {
		index = t.Rank(p.Node) / t.width(l)
	}
	return t.at(l-1, index*t.fanout+child)
}

// below says whether the leaf of node n is below p, or is p.
// Preconditions: Has(p), n is in the tree.
func (t Tree) below(n addr.NodeID, p addr.Place) bool {
	l := t.level(p.Tag)
	return l == t.depth || t.Rank(n)/t.width(l) == t.Rank(p.Node)/t.width(l)
}

// Children is how many children the manager p has.
func (t Tree) Children(p addr.Place) int {
	l := t.level(p.Tag)
	if l == 0 {
		return 0
	}
	first := 0
	if l < t.depth {
		first = t.Rank(p.Node)
	}
	w := t.width(l - 1)
	return min(t.fanout, (t.Leaves()-first+w-1)/w)
}

// Depth is how many links are between a leaf and the root.
func (t Tree) Depth() int { return t.depth }

func (t Tree) String() string {
	return fmt.Sprintf("home %d, %d nodes, fan-out %d, depth %d", t.home, t.Leaves(), t.fanout, t.depth)
}
