package protocol

import (
	"cmp"
	"maps"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
)

// What a SyncNode remembers, as values, for who looks at it: nothing here changes
// anything. Lists are sorted, but for the queue of a lock, which has its own order.

// Applicant is a party that has a lock or waits for it.
type Applicant struct {
	Node           addr.NodeID
	Party, Request uint64 // of the Acquire
}

// LockState is a lock at its home. One that is free, and whose last holder did
// not die, is not remembered.
type LockState struct {
	Object uint64
	Fence  uint64    // of the holder; zero: nobody has the lock
	Holder Applicant // where Fence is not zero
	Died   bool      // the last holder died, and the next one will be told
	Queue  []Applicant
}

// BarrierState is a generation of a barrier at its home.
type BarrierState struct {
	Object, Generation uint64
	Parties            uint32
	Round              uint64 // the one that goes on, from 1
	Broken             bool
	Seats              []SeatState // by index
	Left               []uint32    // the seats whose parties have left after they had arrived in Round
}

// SeatState is a seat that is taken.
type SeatState struct {
	Index   uint32
	Node    addr.NodeID
	Party   uint64
	Arrived bool // in the round that goes on
}

// TurnState is a lock that a party of this node has (Fence is not zero) or waits for.
type TurnState struct {
	Object, Party, Request, Fence uint64
}

// Locks are the locks that this node is the home of and remembers.
func (s *SyncNode) Locks() []LockState {
	all := make([]LockState, 0, len(s.locks))
	for _, object := range slices.Sorted(maps.Keys(s.locks)) {
		l := s.locks[object]
		state := LockState{Object: object, Fence: l.fence, Died: l.died}
		if l.fence != 0 {
			state.Holder = l.holder.applicant()
		}
		for _, w := range l.queue {
			state.Queue = append(state.Queue, w.applicant())
		}
		all = append(all, state)
	}
	return all
}

func (w waiter) applicant() Applicant { return Applicant{w.node, w.party, w.request} }

// Barriers are the barriers that this node is the home of: of each its generations, the
// oldest first.
func (s *SyncNode) Barriers() []BarrierState {
	all := make([]BarrierState, 0, len(s.barriers))
	for _, object := range slices.Sorted(maps.Keys(s.barriers)) {
		for _, b := range s.barriers[object] {
			state := BarrierState{Object: object, Generation: b.generation, Parties: b.parties, Round: b.over + 1, Broken: b.broken,
				Left: slices.Sorted(maps.Keys(b.left))}
			for _, index := range slices.Sorted(maps.Keys(b.seats)) {
				seat := b.seats[index]
				state.Seats = append(state.Seats, SeatState{index, seat.node, seat.party, seat.arrived == b.over+1})
			}
			all = append(all, state)
		}
	}
	return all
}

// Turns are the locks that parties of this node have or wait for.
func (s *SyncNode) Turns() []TurnState {
	all := make([]TurnState, 0, len(s.turns))
	for key, t := range s.turns {
		all = append(all, TurnState{key.object, key.party, t.request, t.fence})
	}
	slices.SortFunc(all, func(a, b TurnState) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Party, b.Party))
	})
	return all
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
