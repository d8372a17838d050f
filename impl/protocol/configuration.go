package protocol

import (
	"sort"

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
	Generation uint32 // strictly increasing over the life of the cluster
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

// Slot is a share of all pages: it has one home and one tree.
type Slot struct {
	Home addr.NodeID
	Term uint64 // changes when the slot gets another home
}

// DealSlots is the slots of a cluster of fixed members. Each node is the home of
// one run of them, so that under Block it is the home of one run of pages of
// every segment.
func DealSlots(slots, nodes int) []Slot {
	dealt := make([]Slot, slots)
	for i := range dealt {
		dealt[i] = Slot{Home: addr.NodeID(i * nodes / slots), Term: 1}
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
	Members []addr.Incarnation // by NodeID; zero where there is no member
	Fanout  int                // the most children a manager has, 2..MaxFanout
	Slots   []Slot
	// Generation is that of the segment created last, removed or not; zero
	// means the highest among the segments. It tells a message about a segment
	// that is gone from one about a segment that is not known yet.
	Generation uint32

	segments []Segment // by First, disjoint
}

// WithSegments is the same configuration with these segments, which are
// disjoint.
func (c *Configuration) WithSegments(segments []Segment) *Configuration {
	next := *c
	next.segments = append([]Segment(nil), segments...)
	sort.Slice(next.segments, func(i, j int) bool { return next.segments[i].First < next.segments[j].First })
	for i := range next.segments {
		next.Generation = max(next.Generation, next.segments[i].Generation)
	}
	return &next
}

// Segment is the segment that has the page, or nil.
func (c *Configuration) Segment(p addr.PageNum) *Segment {
	lo, hi := 0, len(c.segments)
	for lo < hi {
		mid := (lo + hi) / 2
		if c.segments[mid].First <= p {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 || !c.segments[lo-1].Contains(p) {
		return nil
	}
	return &c.segments[lo-1]
}

// Member is the incarnation of a node, zero for a stranger.
func (c *Configuration) Member(n addr.NodeID) addr.Incarnation {
	if int(n) >= len(c.Members) {
		return 0
	}
	return c.Members[n]
}
