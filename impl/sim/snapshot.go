package sim

import (
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// Topology is the tree of one page, by index: leaves first.
type Topology struct {
	Places []addr.Place
	Parent []int   // -1: the root
	Child  []int   // which child of its parent
	Kids   [][]int // by child; -1 where there is none
	Index  map[addr.Place]int
	Leaves int
	Root   int
}

// NewTopology is an empty tree, for Add.
func NewTopology() *Topology { return &Topology{Index: make(map[addr.Place]int)} }

// Add adds a manager below none, and gives its index. Leaves come first.
func (g *Topology) Add(at addr.Place) int {
	i := len(g.Places)
	g.Index[at] = i
	g.Places = append(g.Places, at)
	g.Parent = append(g.Parent, -1)
	g.Child = append(g.Child, 0)
	g.Kids = append(g.Kids, nil)
	if at.Tag == addr.Leaf {
		g.Leaves++
	}
	if at.Tag == addr.Root {
		g.Root = i
	}
	return i
}

// Put makes a manager another one's child number c.
func (g *Topology) Put(i, parent, c int) {
	g.Parent[i], g.Child[i] = parent, c
	for len(g.Kids[parent]) <= c {
		g.Kids[parent] = append(g.Kids[parent], -1)
	}
	g.Kids[parent][c] = i
}

func newTopology(t protocol.Tree) *Topology {
	g := NewTopology()
	for rank := range t.Leaves() {
		g.Add(addr.Place{Node: t.Node(rank), Tag: addr.Leaf})
	}
	for i := 0; i < len(g.Places); i++ {
		if g.Places[i].Tag == addr.Root {
			continue
		}
		up, c := t.Parent(g.Places[i])
		j, ok := g.Index[up]
		if !ok {
			j = g.Add(up)
		}
		g.Put(i, j, c)
	}
	return g
}

// Snapshot is the spec's state of one page: mgr, leaf, home, up, down and data.
type Snapshot struct {
	*Topology
	Managers []protocol.ManagerState // by index; leaves have none
	Leaf     []protocol.LeafState
	Val      []uint64 // of the leaves
	Filled   []bool
	Up, Down [][]*protocol.Message // by index: the channel between it and its parent
	Data     []Carried
	Home     uint64

	page  addr.PageNum
	procs [][]*process
}

// Carried is a Data on its way, with the content of the page.
type Carried struct {
	To   addr.Place
	Word uint64
}

// snapshot is the state of a page for the newest generation of its segment.
// Nodes that do not know it yet are as if they had never touched the page.
func (w *World) snapshot(p addr.PageNum) *Snapshot {
	g, newest := uint64(0), 0
	for _, n := range w.nodes {
		g, newest = max(g, w.generation(n, p)), max(newest, n.view)
	}
	if g == 0 || generationIn(w.views[newest].conf, p) != g {
		return nil // it is being removed
	}
	k := word{g, p}
	if w.trees[k] == nil {
		for _, n := range w.nodes {
			if w.generation(n, p) == g {
				w.trees[k] = newTopology(n.shard.Tree(p))
				break
			}
		}
	}
	t := w.trees[k]
	s := &Snapshot{Topology: t, page: p, Managers: make([]protocol.ManagerState, len(t.Places)),
		Leaf: make([]protocol.LeafState, t.Leaves), Val: make([]uint64, t.Leaves), Filled: make([]bool, t.Leaves),
		Up: make([][]*protocol.Message, len(t.Places)), Down: make([][]*protocol.Message, len(t.Places)),
		procs: make([][]*process, t.Leaves)}
	for i, at := range t.Places {
		n := w.nodes[at.Node]
		here := w.generation(n, p) == g
		switch {
		case at.Tag == addr.Leaf && here:
			s.Leaf[i], s.Val[i], s.Filled[i] = n.shard.Leaf(p), n.frame[p], n.filled[p]
			s.procs[i] = n.procs
			for _, m := range [...]*protocol.Message{&s.Leaf[i].Grant, &s.Leaf[i].Recall} {
				if m.Kind != protocol.KindInvalid {
					s.Down[i] = append(s.Down[i], m)
				}
			}
		case at.Tag != addr.Leaf && here:
			s.Managers[i] = n.shard.Manager(p, at)
		}
		if at.Tag == addr.Root {
			s.Home, s.Managers[i].Right = n.home[p], protocol.Write
		}
	}
	for _, pk := range w.flight[p] {
		m := &pk.msg
		if m.Generation != g {
			continue
		}
		switch m.Kind {
		case protocol.Data:
			s.Data = append(s.Data, Carried{m.To, pk.word})
		case protocol.Req, protocol.Ack:
			s.Up[t.Index[m.From]] = append(s.Up[t.Index[m.From]], m)
		default:
			s.Down[t.Index[m.To]] = append(s.Down[t.Index[m.To]], m)
		}
	}
	return s
}
