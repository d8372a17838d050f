package protocol

import (
	"maps"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
)

// Members is nodes, each in one of its lives: those of a cluster, or of the tree of
// a slot. Their numbers may have gaps. It is immutable, and may be shared.
type Members struct {
	nodes []addr.NodeID      // in order
	lives []addr.Incarnation // by NodeID; 0: no member
	index []int              // by NodeID: where a member stands in nodes
}

// NewMembers is these nodes.
func NewMembers(lives map[addr.NodeID]addr.Incarnation) *Members {
	m := &Members{nodes: slices.Sorted(maps.Keys(lives))}
	if len(m.nodes) == 0 {
		return m
	}
	most := int(m.nodes[len(m.nodes)-1]) + 1
	m.lives, m.index = make([]addr.Incarnation, most), make([]int, most)
	for i, n := range m.nodes {
		m.lives[n], m.index[n] = lives[n], i
	}
	return m
}

// Founders is so many nodes from number 0 on, each in its first life.
func Founders(nodes int) *Members {
	lives := make(map[addr.NodeID]addr.Incarnation, nodes)
	for i := range nodes {
		lives[addr.NodeID(i)] = 1
	}
	return NewMembers(lives)
}

// Incarnation is the life that a node is in, zero for a stranger.
func (m *Members) Incarnation(n addr.NodeID) addr.Incarnation {
	if int(n) >= len(m.lives) {
		return 0
	}
	return m.lives[n]
}

// Has says whether a node is one of them.
func (m *Members) Has(n addr.NodeID) bool { return m.Incarnation(n) != 0 }

// Len is how many they are.
func (m *Members) Len() int { return len(m.nodes) }

// Equal says whether others are the same nodes in the same lives.
func (m *Members) Equal(others *Members) bool {
	return m == others || slices.Equal(m.lives, others.lives)
}

// All yields them in the order of their numbers.
func (m *Members) All(yield func(addr.NodeID, addr.Incarnation) bool) {
	for _, n := range m.nodes {
		if !yield(n, m.lives[n]) {
			return
		}
	}
}

// after is the member so many places after another one, all of them in a ring.
func (m *Members) after(n addr.NodeID, places int) addr.NodeID {
	i := m.index[n] + places
	if i >= len(m.nodes) {
		i -= len(m.nodes)
	}
	return m.nodes[i]
}

// distance is how many places one member is after another.
func (m *Members) distance(from, to addr.NodeID) int {
	places := m.index[to] - m.index[from]
	if places < 0 {
		places += len(m.nodes)
	}
	return places
}
