package linearizability

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
)

// maxTails bounds the work of arrange: how many ends of orders are looked at.
const maxTails = 1_000_000

// arrange judges blocks that zones accepts together with their refused
// operations: is there an order of the blocks in which these have their places,
// too? It does not decide beyond maxTails.
//
// Orders are built from the last block to the first. Of the blocks that are
// placed, their tail, only two things matter to the others: which they are, and
// when the first of them begins; and the earlier that is, the better (earliest).
// So of all orders of a tail only the best is kept. A block may stand before a
// tail if none of the blocks that remain has to come after it. Number the blocks
// by their ends, and let t be the last that remains: then those of the tail with
// lower numbers must have zones around the end of t. Zones around one moment
// belong to operations that are under way at once, so they are no more than there
// are clients, and for a fixed number of clients the tails are O(n).
func arrange(blocks []*block) (c *conflict, decided bool) {
	a := newArrangement(blocks)
	// In most histories the order of the middles is one.
	if c = a.inSequence(); c == nil {
		return nil, true
	}
	tails, looked := map[string]tail{"": {last: len(blocks) - 1, begin: Never}}, 0
	for range blocks {
		next := make(map[string]tail)
		for _, t := range tails {
			for _, i := range a.candidates(t) {
				if looked++; looked > maxTails {
					return c, false
				}
				longer, conflict := a.extend(t, i)
				if conflict != nil {
					c = conflict
					continue
				}
				key := longer.key()
				if had, ok := next[key]; !ok || longer.begin < had.begin {
					next[key] = longer
				}
			}
		}
		if len(next) == 0 {
			return c, true
		}
		tails = next
	}
	return nil, true
}

// arrangement is blocks in the order of their ends.
type arrangement struct {
	blocks []*block
	// around are, for each block, those before it whose zones are around its
	// end: they may come after it.
	around [][]int
}

// tail is blocks that come last, in the best order.
type tail struct {
	last  int   // the last block that is not in it; -1: none
	early []int // its blocks before last, ascending
	begin int64 // when the first of them begins, at the earliest
}

func newArrangement(blocks []*block) *arrangement {
	a := &arrangement{blocks: slices.Clone(blocks)}
	slices.SortStableFunc(a.blocks, func(b, d *block) int { return cmp.Compare(b.end, d.end) })
	var open []int
	for i, b := range a.blocks {
		open = slices.DeleteFunc(open, func(j int) bool { return a.blocks[j].before(b) })
		a.around = append(a.around, slices.Clone(open))
		open = append(open, i)
	}
	return a
}

// key is what two tails of the same blocks have in common.
func (t *tail) key() string {
	b := binary.AppendVarint(nil, int64(t.last))
	for _, i := range t.early {
		b = binary.AppendVarint(b, int64(i))
	}
	return string(b)
}

// second is the last block but one that is not in the tail; -1: none.
func (t *tail) second() int {
	i := t.last - 1
	for j := len(t.early) - 1; j >= 0 && t.early[j] == i; j-- {
		i--
	}
	return i
}

// candidates are the blocks that may stand before the tail.
func (a *arrangement) candidates(t tail) []int {
	var all []int
	if i := t.second(); i < 0 || !a.blocks[t.last].before(a.blocks[i]) {
		all = append(all, t.last)
	}
	for _, i := range a.around[t.last] {
		if !slices.Contains(t.early, i) {
			all = append(all, i)
		}
	}
	return all
}

// extend puts block i before the tail.
func (a *arrangement) extend(t tail, i int) (tail, *conflict) {
	b, longer, left := a.blocks[i], t, t.last
	if i == t.last {
		left = t.second()
		longer.last = left
		longer.early = slices.DeleteFunc(slices.Clone(t.early), func(j int) bool { return j > left })
	} else {
		at, _ := slices.BinarySearch(t.early, i)
		longer.early = slices.Insert(slices.Clone(t.early), at, i)
	}
	low := int64(always)
	if left >= 0 {
		low = a.blocks[left].end
	}
	var c *conflict
	longer.begin, c = b.earliest(low, t.begin)
	return longer, c
}

// inSequence judges the order of the middles, which is possible: if a must come
// before b and not b before a, then a.begin < b.end and b.begin >= a.end, so the
// middle of a's zone is before that of b's.
func (a *arrangement) inSequence() *conflict {
	order := slices.Clone(a.blocks)
	slices.SortStableFunc(order, func(a, b *block) int { return cmp.Compare(a.begin+a.end, b.begin+b.end) })
	low := make([]int64, len(order))
	for i := range order {
		if low[i] = always; i > 0 {
			low[i] = max(low[i-1], order[i-1].end)
		}
	}
	begin := int64(Never)
	for i := len(order) - 1; i >= 0; i-- {
		var c *conflict
		if begin, c = order[i].earliest(low[i], begin); c != nil {
			return c
		}
	}
	return nil
}

// earliest is the earliest moment at which the block can begin, given when the
// last operation of those before it was called, and when the one behind it begins.
// Each refused operation must come before its state begins or after it ends.
//
// Let s(i) be when state i of the block begins. Without the refused ones, every
// s is free between a lower and an upper bound. A refused operation of state i
// that returns before s(i+1) can only come before s(i), so it raises the lower
// bound of s(i) to its call. That is before s(i+1), and so within the bounds of
// all that come behind: only those who saw state i may have returned before.
// That is all it says, and it says the less, the earlier s(i+1) is. So the
// lowest solution, which one pass from the last state to the first finds, is
// one if there is any. O(n).
func (b *block) earliest(low, next int64) (begin int64, c *conflict) {
	lows := make([]int64, len(b.chain))
	for i, s := range b.chain {
		if s.by != nil {
			low = max(low, s.by.Call)
		}
		lows[i] = low
		if s.last != nil {
			low = max(low, s.last.Call)
		}
	}
	for i := len(b.chain) - 1; i >= 0; i-- {
		s := b.chain[i]
		begin, high := lows[i], int64(Never)
		if s.first != nil {
			high = s.first.Return
		}
		if s.by == nil { // it was there always
			begin, high = always, always
		}
		for _, o := range s.refused {
			if o.Return >= next || o.Call <= begin {
				continue
			}
			if begin = o.Call; begin > high {
				return 0, refusedWrongly(o, b.chain[i:])
			}
		}
		next = begin
	}
	return next, nil
}

// refusedWrongly explains an operation that the first of the states contradicts.
func refusedWrongly(o *Operation, chain []*cluster) *conflict {
	ops := []*Operation{o}
	for _, s := range chain[:min(2, len(chain))] {
		if s.by != nil {
			ops = append(ops, s.by)
		}
	}
	return &conflict{why: fmt.Sprintf("an operation is refused as if it did not find %s, which is there all the time", chain[0]), ops: ops}
}
