// Package addr names the things that the machines of a cluster talk about:
// pages, nodes, and the managers that serve a page at a node.
package addr

import (
	"fmt"
	"strconv"
)

// PageSize is the unit of coherence in bytes, PageShift its logarithm.
const (
	PageShift = 12
	PageSize  = 1 << PageShift
)

// Pages is the most pages that a global space has, Space their bytes: 16 TiB.
const (
	Pages = int64(1) << 32
	Space = Pages << PageShift
)

// PageNum is a page of the one global space.
type PageNum uint32

func (p PageNum) String() string { return fmt.Sprintf("page %d", uint32(p)) }

// NodeID is one machine's daemon. Ids are dense and start at 0.
type NodeID uint16

// Incarnation tells the lives of one NodeID apart. The first one is 1; zero
// belongs to nobody.
type Incarnation uint32

// Tag tells the managers of one page at one node apart. Tags 0 and 1 belong to
// Mome, the others to whoever places intermediate managers.
type Tag uint16

const (
	Root Tag = 0 // the page's root manager, at its home
	Leaf Tag = 1 // the node's own (SMP) manager
	// FirstIntermediate and above are intermediate managers: one tag per level,
	// counted from the leaves up.
	FirstIntermediate Tag = 2
)

// Place is where a manager lives: a node and a tag, for whatever page.
type Place struct {
	Node NodeID `json:"node"`
	Tag  Tag    `json:"tag"`
}

func (p Place) String() string { return string(p.Append(nil)) }

// Append appends the place's String.
func (p Place) Append(b []byte) []byte {
	switch p.Tag {
	case Root:
		b = append(b, "root"...)
	case Leaf:
		b = append(b, "leaf"...)
	default:
		b = strconv.AppendUint(append(b, "mid"...), uint64(p.Tag), 10)
	}
	return strconv.AppendUint(append(b, '@'), uint64(p.Node), 10)
}

// ManagerID is the identity of a manager in one 64-bit word: page number (32
// bits), node (16), tag (16), from the highest bit down.
type ManagerID uint64

// ID packs a page and a place.
func ID(page PageNum, at Place) ManagerID {
	return ManagerID(page)<<32 | ManagerID(at.Node)<<16 | ManagerID(at.Tag)
}

// Page is the page the manager serves.
func (id ManagerID) Page() PageNum { return PageNum(id >> 32) }

// Place is where the manager lives.
func (id ManagerID) Place() Place { return Place{NodeID(id >> 16), Tag(id)} }

func (id ManagerID) String() string { return fmt.Sprintf("%d/%v", uint32(id.Page()), id.Place()) }
