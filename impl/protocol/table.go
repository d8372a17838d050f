package protocol

import "maps"

// table is a map that has the entry it was asked for last at hand: a step is
// about one page, and so are most that follow it. What changes meanwhile, and
// above all what comes and goes, is written when another entry is asked for.
// The zero value of V stands for no entry.
type table[K, V comparable] struct {
	entries map[K]V

	key    K
	value  V
	stored V // what entries has
	atHand bool
}

func newTable[K, V comparable]() table[K, V] { return table[K, V]{entries: make(map[K]V)} }

func (t *table[K, V]) get(k K) V {
	if !t.atHand || t.key != k {
		t.flush()
		t.key, t.stored, t.atHand = k, t.entries[k], true
		t.value = t.stored
	}
	return t.value
}

func (t *table[K, V]) set(k K, v V) {
	t.get(k)
	t.value = v
}

// flush writes the entry at hand.
func (t *table[K, V]) flush() {
	var zero V
	switch {
	case t.value == t.stored:
	case t.value == zero:
		delete(t.entries, t.key)
	default:
		t.entries[t.key] = t.value
	}
	t.stored = t.value
}

// forget deletes the entries whose keys are gone.
func (t *table[K, V]) forget(gone func(K) bool) {
	t.flush()
	t.atHand = false
	maps.DeleteFunc(t.entries, func(k K, _ V) bool { return gone(k) })
}

// all is every entry. The loop must not change the table.
func (t *table[K, V]) all(yield func(K, V) bool) {
	t.flush()
	for k, v := range t.entries {
		if !yield(k, v) {
			return
		}
	}
}

func (t *table[K, V]) len() int {
	t.flush()
	return len(t.entries)
}
