package linearizability

import (
	"cmp"
	"fmt"
	"slices"
)

// block is a run of states that can only have followed each other without
// another state between them: a value that was written and what
// compare-and-swaps and additions made of it. With reads and writes alone, each
// block is one cluster.
type block struct {
	chain []*cluster
	// first returned first, last was called last of all operations in the
	// block. The block of the initial value was there always: its first is nil.
	first, last *Operation
	begin, end  int64 // first.Return and last.Call
}

func newBlock(chain []*cluster) *block {
	b := &block{chain: chain, begin: Never, end: always}
	for _, c := range chain {
		if c.first != nil && c.first.Return < b.begin {
			b.first, b.begin = c.first, c.first.Return
		}
		if c.last != nil && c.last.Call > b.end {
			b.last, b.end = c.last, c.last.Call
		}
	}
	if chain[0].by == nil {
		b.first, b.begin = nil, always
	}
	return b
}

// before says that an operation of b precedes one of d, so b comes before d.
func (b *block) before(d *block) bool { return b.begin < d.end }

// zones judges blocks against each other: they can follow each other in some
// order exactly if no two of them must come before each other.
//
// The zone of a block is the time between begin and end (Gibbons & Korach 1997,
// section 4.2). It is forward if begin is first: then the word was in the block
// all that time, and no other forward zone may overlap it, nor a backward zone
// lie within it. Two backward zones never contradict each other. That pairs are
// enough: in a longest cycle of "before", let m have the latest end. Its
// successor is before something that ends no later than m, so it is before m, and
// m is before it. O(n log n).
func zones(blocks []*block) *conflict {
	var forward, backward []*block
	for _, b := range blocks {
		if b.begin < b.end {
			forward = append(forward, b)
		} else {
			backward = append(backward, b)
		}
	}
	slices.SortFunc(forward, func(a, b *block) int { return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end)) })
	for i := 1; i < len(forward); i++ {
		if a, b := forward[i-1], forward[i]; b.before(a) {
			return bothFirst(blocks, a, b)
		}
	}
	// Now the forward zones are disjoint, so they end in the order in which they
	// begin.
	for _, b := range backward {
		i, _ := slices.BinarySearchFunc(forward, b.end, func(a *block, end int64) int { return cmp.Compare(a.begin, end) })
		if i > 0 && b.before(forward[i-1]) {
			return bothFirst(blocks, forward[i-1], b)
		}
	}
	return nil
}

func bothFirst(blocks []*block, a, b *block) *conflict {
	c := &conflict{why: fmt.Sprintf("%s must come before %s, and after it", a, b)}
	for _, o := range []*Operation{a.first, b.last, b.first, a.last} {
		if o != nil && !slices.Contains(c.ops, o) {
			c.ops = append(c.ops, o)
		}
	}
	for _, d := range []*block{a, b} {
		if by := d.chain[0].by; by != nil && !slices.Contains(c.ops, by) {
			c.ops = append(c.ops, by)
		}
	}
	c.window = newBlockWindow(blocks, a, b)
	return c
}

func (b *block) String() string {
	switch first, last := b.chain[0], b.chain[len(b.chain)-1]; {
	case first == last:
		return first.String()
	default:
		return fmt.Sprintf("the values from %d to %d", first.value, last.value)
	}
}
