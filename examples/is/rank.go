package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"github.com/mome-dsm/mome/examples/internal/team"
)

// arena is what the ranks share, or what a serial run has to itself: one rank
// then.
//
//	keys    in the order of generation, a block per rank
//	counts  how many keys each rank has of each value, a row per rank
//	below   of each value, how many keys are less than or equal to it:
//	        a slice of the values per rank
//	sorted  the keys, in order
//	notes   a page per rank: for each slice of the values, how many keys of it
//	        the rank has; and how many keys it found out of order
type arena struct {
	*class
	ranks int

	keys, below, sorted []int32
	counts              [][]int32
	notes               [][]int32
}

// notesLen is the length of a rank's page of notes; so many ranks but one there
// can be.
const notesLen = team.PageSize / 4

// arenaLen is the length of an arena in keys.
func arenaLen(c *class, ranks int) int {
	return 2*c.keys() + (ranks+1)*c.maxKey() + ranks*notesLen
}

// newArena cuts the memory up. All parts have a multiple of 1024 entries, which
// is a page of int32.
func newArena(c *class, ranks int, memory []int32) *arena {
	a := &arena{class: c, ranks: ranks}
	cut := func(n int) []int32 {
		part := memory[:n:n]
		memory = memory[n:]
		return part
	}
	a.keys, a.sorted, a.below = cut(c.keys()), cut(c.keys()), cut(c.maxKey())
	for range ranks {
		a.counts = append(a.counts, cut(c.maxKey()))
		a.notes = append(a.notes, cut(notesLen))
	}
	return a
}

// maxRanks is how many ranks can have a page of keys and of values each.
func maxRanks(c *class) int { return min(c.keys(), c.maxKey()) / (team.PageSize / 4) }

// part is rank r's part of n entries, in whole pages.
func (a *arena) part(n, r int) (lo, hi int) {
	const page = team.PageSize / 4
	lo, hi = team.Split(n/page, a.ranks, r)
	return lo * page, hi * page
}

// worker is one rank.
type worker struct {
	*arena
	rank     int
	mine     []int32 // its keys
	firstKey int
	lo, hi   int     // its slice of the values
	private  []int32 // its counts, before they are shared
}

func newWorker(a *arena, rank int) *worker {
	w := &worker{arena: a, rank: rank, private: make([]int32, a.maxKey())}
	var end int
	w.firstKey, end = a.part(a.class.keys(), rank)
	w.mine = a.keys[w.firstKey:end]
	w.lo, w.hi = a.part(a.maxKey(), rank)
	return w
}

// count is the first half of an iteration: the two keys change, and each rank
// counts its own. Then comes a barrier.
func (w *worker) count(iteration int) {
	if w.rank == 0 { // the keys are in its first page
		w.keys[iteration] = int32(iteration)
		w.keys[iteration+iterations] = int32(w.maxKey() - iteration)
	}
	clear(w.private)
	tally(w.private, w.mine)
	for r := range w.ranks {
		lo, hi := w.part(w.maxKey(), r)
		var total int32
		for _, n := range w.private[lo:hi] {
			total += n
		}
		w.notes[w.rank][r] = total
		if r != w.rank { // nobody else reads the slice that is its own
			copy(w.counts[w.rank][lo:hi], w.private[lo:hi])
		}
	}
}

// tally counts keys by their value.
func tally(counts, keys []int32) {
	for _, k := range keys {
		counts[k]++
	}
}

// accumulate is the second half: each rank adds up its slice of the values. The
// next barrier ends the iteration.
func (w *worker) accumulate() {
	var base int32
	for r := range w.ranks {
		for s := range w.rank {
			base += w.notes[r][s]
		}
	}
	mine := w.private[w.lo:w.hi]
	for r := range w.ranks {
		if r != w.rank {
			add(mine, w.counts[r][w.lo:w.hi])
		}
	}
	below := w.below[w.lo:w.hi]
	for k, n := range mine {
		base += n
		below[k] = base
	}
}

func add(to, from []int32) {
	from = from[:len(to)]
	for i := range to {
		to[i] += from[i]
	}
}

// check is the partial verification of an iteration: how many of the five keys
// have the rank they should have.
func (a *arena) check(iteration int) (passed int) {
	for i, index := range a.testIndex {
		key := a.keys[index]
		if key > 0 && int(a.below[key-1]) == a.testRank[i]+a.adjustment(i, iteration) {
			passed++
		}
	}
	return passed
}

// sort is the first half of the full verification: each rank puts the keys of
// its slice of the values where they belong, whoever has them.
func (w *worker) sort() {
	next := slices.Clone(w.below[w.lo:w.hi]) // one past the last key of a value
	lo, hi := int32(w.lo), int32(w.hi)
	for _, k := range w.keys {
		if k >= lo && k < hi {
			next[k-lo]--
			w.sorted[next[k-lo]] = k
		}
	}
}

// compare is the second half, after a barrier: each rank looks for keys that
// are out of order in its part of the result.
func (w *worker) compare() {
	lo, hi := w.part(w.class.keys(), w.rank)
	var wrong int32
	for i := max(lo, 1); i < hi; i++ {
		if w.sorted[i-1] > w.sorted[i] {
			wrong++
		}
	}
	w.notes[w.rank][notesLen-1] = wrong
}

// outOfOrder is how many keys all ranks found out of order.
func (a *arena) outOfOrder() (n int) {
	for _, notes := range a.notes {
		n += int(notes[notesLen-1])
	}
	return n
}

// digest is the SHA-256 of the sorted keys.
func (a *arena) digest() string {
	h := sha256.New()
	var buf [4096]byte
	for keys := range slices.Chunk(a.sorted, len(buf)/4) {
		for i, k := range keys {
			binary.LittleEndian.PutUint32(buf[4*i:], uint32(k))
		}
		h.Write(buf[:4*len(keys)])
	}
	return hex.EncodeToString(h.Sum(nil))
}
