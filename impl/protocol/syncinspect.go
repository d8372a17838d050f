package protocol

import (
	"iter"
	"maps"
	"slices"
)

// What of a SyncNode is in use, for who looks at it: nothing here changes anything.

// Locks are the locks that this node is the home of and remembers, in order.
func (s *SyncNode) Locks() []uint64 { return slices.Sorted(maps.Keys(s.locks)) }

// Barriers are the barriers that this node is the home of and remembers, in order.
func (s *SyncNode) Barriers() []uint64 { return slices.Sorted(maps.Keys(s.barriers)) }

// Turns are the locks that parties of this node have or wait for: the request and
// the object of each.
func (s *SyncNode) Turns() iter.Seq2[Waiter, uint64] {
	return func(yield func(Waiter, uint64) bool) {
		for key, t := range s.turns {
			if !yield(Waiter{s.self, key.party, t.Request}, key.object) {
				return
			}
		}
	}
}

// Used are the locks and barriers that parties of this node have to do with:
// turns, seats, and requests that have no answer yet.
func (s *SyncNode) Used() map[uint64]bool {
	used := make(map[uint64]bool)
	for key := range s.turns {
		used[key.object] = true
	}
	for object := range s.meetings {
		used[object] = true
	}
	for c := range s.calls {
		used[c.object] = true
	}
	return used
}
