package protocol

import "math/bits"

// runPages is how many neighbouring pages lie together in a table: most steps
// are about a page next to that of the step before.
const runPages = 8

// table is a map whose entries for neighbouring pages lie beside each other, so
// that only one of them is looked up: the run that it was asked for last is at
// hand. The zero value of V stands for no entry; a run without entries is given
// up when another one is asked for.
//
// A key holds a page number from bit shift on. Memory that V keeps free of
// pointers, a table does too.
type table[K ~uint8 | ~uint32 | ~uint64, V comparable] struct {
	shift   int
	index   map[K]uint32 // positions of runs, by the key of the first page
	runs    [][]run[V]   // in slabs, which stay where they are
	spare   []uint32     // positions of runs that were given up
	entries int

	// At hand, if any:
	atHand bool
	key    K // of the run
	pos    uint32
	run    *run[V] // nil: the table has no entry in it
}

// run is the entries of runPages pages.
type run[V comparable] struct {
	entries [runPages]V
	used    uint8 // entries that are not zero, as bits
}

// slabRuns is how many runs are allocated at a time.
const slabRuns = 16

func newTable[K ~uint8 | ~uint32 | ~uint64, V comparable](shift int) table[K, V] {
	return table[K, V]{shift: shift, index: make(map[K]uint32)}
}

// first is the key of the run that has the key.
func (t *table[K, V]) first(k K) K { return k &^ ((runPages - 1) << t.shift) }

func (t *table[K, V]) slot(k K) int { return int(k >> t.shift & (runPages - 1)) }

func (t *table[K, V]) at(pos uint32) *run[V] { return &t.runs[pos/slabRuns][pos%slabRuns] }

// takeUp has the run at hand that begins with the key.
func (t *table[K, V]) takeUp(first K) {
	if t.atHand && t.key == first {
		return
	}
	t.putDown()
	t.atHand, t.key = true, first
	if pos, ok := t.index[first]; ok {
		t.pos, t.run = pos, t.at(pos)
	}
}

// putDown has no run at hand, and frees the one that was if nothing is in it.
func (t *table[K, V]) putDown() {
	if t.run != nil && t.run.used == 0 {
		delete(t.index, t.key)
		t.spare = append(t.spare, t.pos)
	}
	t.atHand, t.run = false, nil
}

func (t *table[K, V]) get(k K) (v V) {
	t.takeUp(t.first(k))
	if t.run != nil {
		v = t.run.entries[t.slot(k)]
	}
	return v
}

func (t *table[K, V]) set(k K, v V) {
	var zero V
	t.takeUp(t.first(k))
	if t.run == nil {
		if v == zero {
			return
		}
		t.begin()
	}
	slot := t.slot(k)
	t.run.entries[slot] = v
	used := t.run.used &^ (1 << slot)
	if v != zero {
		used |= 1 << slot
	}
	if used != t.run.used {
		t.entries += bits.OnesCount8(used) - bits.OnesCount8(t.run.used)
		t.run.used = used
	}
}

// begin has a new run at hand, for t.key.
func (t *table[K, V]) begin() {
	if n := len(t.spare); n > 0 {
		t.pos, t.spare = t.spare[n-1], t.spare[:n-1]
	} else {
		last := len(t.runs) - 1
		if last < 0 || len(t.runs[last]) == slabRuns {
			t.runs = append(t.runs, make([]run[V], 0, slabRuns))
			last++
		}
		t.pos = uint32(last*slabRuns + len(t.runs[last]))
		t.runs[last] = append(t.runs[last], run[V]{})
	}
	t.run = t.at(t.pos)
	t.index[t.key] = t.pos
}

// forget deletes the entries whose keys are gone.
func (t *table[K, V]) forget(gone func(K) bool) {
	var zero V
	for first := range t.index {
		t.takeUp(first)
		for i, v := range t.run.entries {
			if k := first + K(i)<<t.shift; v != zero && gone(k) {
				t.set(k, zero)
			}
		}
		t.putDown()
	}
}

// all is every entry. The loop must not change the table.
func (t *table[K, V]) all(yield func(K, V) bool) {
	var zero V
	for first, pos := range t.index {
		for i, v := range t.at(pos).entries {
			if v != zero && !yield(first+K(i)<<t.shift, v) {
				return
			}
		}
	}
}

func (t *table[K, V]) len() int { return t.entries }
