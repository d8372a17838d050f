package protocol

import (
	"slices"

	"github.com/tidwall/btree"

	"github.com/mome-dsm/mome/impl/addr"
)

// HomePolicy says how the pages of a segment spread over the slots.
type HomePolicy uint8

const (
	// Spread scatters runs of BlockPages pages evenly over the slots.
	Spread HomePolicy = iota
	// Block gives every slot one contiguous part of the segment, in the order of
	// the slots: where neighbouring slots have one home, so has what they cover.
	Block
)

// BlockPages is how many neighbouring pages share a slot under Spread, and so a
// home: a window of prefetched pages goes to one node in one frame.
const (
	BlockShift = 6
	BlockPages = 1 << BlockShift
)

// Segment is a named range of the global space as the core sees it. Pages
// [First, First+Pages) belong to it for as long as Generation is in force.
type Segment struct {
	First      addr.PageNum
	Pages      int64  // 1..addr.Pages
	Generation uint64 // strictly increasing over the life of the cluster
	Policy     HomePolicy
}

// Contains says whether the page belongs to the segment.
func (s *Segment) Contains(p addr.PageNum) bool {
	return p >= s.First && int64(p-s.First) < s.Pages
}

// Slot is the page's slot, of count in all.
func (s *Segment) Slot(p addr.PageNum, count int) int {
	if s.Policy == Block {
		return int(uint64(p-s.First) * uint64(count) / uint64(s.Pages))
	}
	// Fibonacci hashing (Knuth, TAOCP 3, 6.4): neighbours lie far apart.
	const golden = 0x9E3779B1
	return int(uint64((uint32(p)>>BlockShift)*golden) * uint64(count) >> 32)
}

// Slot is a share of all pages: it has one home and one tree, of which this record
// says all. It is of one term: another home or other members are a later one.
type Slot struct {
	Home addr.NodeID
	Term uint64
	// Members are the nodes of the tree. The home is one of them. They need not be all
	// members of the cluster.
	Members *Members
}

// Equal says whether two records say the same.
func (s Slot) Equal(other Slot) bool {
	return s.Home == other.Home && s.Term == other.Term && s.Members.Equal(other.Members)
}

// DealSlots is the slots of a cluster all of whose members are in every tree. Each
// is the home of one run of them, so that under Block it is the home of one run of
// pages of every segment.
func DealSlots(slots int, members *Members) []Slot {
	dealt := make([]Slot, slots)
	for i := range dealt {
		dealt[i] = Slot{Home: members.nodes[i*members.Len()/slots], Term: 1, Members: members}
	}
	return dealt
}

// DefaultSlots is how many slots a cluster has unless its founder decides
// otherwise.
func DefaultSlots(nodes int) int { return max(1024, nodes) }

// Configuration is what a node knows of the cluster. It is immutable: a change
// makes a new one with a higher epoch or with other segments.
type Configuration struct {
	Epoch   uint64
	Members *Members
	Fanout  int // the most children a manager has, 2..MaxFanout
	Slots   []Slot
	// Generation is that of the segment created last, removed or not; zero
	// means the highest among the segments. It tells a message about a segment
	// that is gone from one about a segment that is not known yet.
	Generation uint64

	segments *segmentMap // nil: there are none
}

// segmentMap is disjoint segments by First. A configuration shares what it has in
// common with the one that it was made from.
type segmentMap = btree.Map[addr.PageNum, *Segment]

// WithSegments is the same configuration with these segments, which are
// disjoint.
func (c *Configuration) WithSegments(segments []Segment) *Configuration {
	next := *c
	next.segments = nil
	return next.Change(nil, segments)
}

// Change is the same configuration without some of its segments and with others,
// disjoint from all that stay. It costs what changes.
func (c *Configuration) Change(gone, made []Segment) *Configuration {
	next := *c
	if c.segments == nil {
		next.segments = new(segmentMap)
	} else {
		next.segments = c.segments.Copy()
	}
	for i := range gone {
		next.segments.Delete(gone[i].First)
	}
	for i := range made {
		s := made[i]
		next.segments.Set(s.First, &s)
		next.Generation = max(next.Generation, s.Generation)
	}
	return &next
}

// Follow is the configuration that a later view makes of this one: Change, at the
// view's epoch and with the number of the generation created last. Of a segment
// that came and went between two views only that is left: it says that messages
// about the segment are late, and not early.
func (c *Configuration) Follow(gone, made []Segment, epoch uint64, generation uint64) *Configuration {
	next := c.Change(gone, made)
	next.Epoch = epoch
	next.Generation = max(next.Generation, generation)
	return next
}

// Segment is the segment that has the page, or nil.
func (c *Configuration) Segment(p addr.PageNum) *Segment {
	if c.segments == nil {
		return nil
	}
	var found *Segment
	c.segments.Descend(p, func(_ addr.PageNum, s *Segment) bool {
		found = s
		return false
	})
	if found == nil || !found.Contains(p) {
		return nil
	}
	return found
}

// Segments is all segments in the order of their pages.
func (c *Configuration) Segments() []Segment {
	if c.segments == nil {
		return nil
	}
	all := make([]Segment, 0, c.segments.Len())
	c.segments.Scan(func(_ addr.PageNum, s *Segment) bool {
		all = append(all, *s)
		return true
	})
	return all
}

// Gone is the segments of this configuration that a later one does not have.
func (c *Configuration) Gone(later *Configuration) (gone []Segment) {
	for _, was := range c.Segments() {
		if is := later.Segment(was.First); is == nil || is.Generation != was.Generation {
			gone = append(gone, was)
		}
	}
	return gone
}

// moved says of a page that is in a segment of both configurations whether its slot
// has another term in the later one. It is nil where no slot has.
func (c *Configuration) moved(later *Configuration) func(addr.PageNum) bool {
	if &c.Slots[0] == &later.Slots[0] || // Change leaves the slots alone
		slices.EqualFunc(c.Slots, later.Slots, func(was, is Slot) bool { return was.Term == is.Term }) {
		return nil
	}
	return func(p addr.PageNum) bool {
		slot := c.Segment(p).Slot(p, len(c.Slots))
		return c.Slots[slot].Term != later.Slots[slot].Term
	}
}

// Member is the incarnation of a node, zero for a stranger.
func (c *Configuration) Member(n addr.NodeID) addr.Incarnation { return c.Members.Incarnation(n) }
