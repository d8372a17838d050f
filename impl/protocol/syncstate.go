package protocol

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
)

// The states of locks and barriers, at their homes and at the nodes of parties. The
// core works on these types, Lock, Turn, Barrier and Meetings give them as values,
// AppendState writes them as JSON for a trace, and json.Unmarshal reads them again.

// Waiter is a party that has a lock or waits for it.
type Waiter struct {
	Node    addr.NodeID `json:"node"`
	Party   uint64      `json:"party"`
	Request uint64      `json:"request"` // of the Acquire
}

func (w Waiter) is(m *Sync) bool { return w.Node == m.From.Node && w.Party == m.Party }

// LockState is a lock at its home. A lock that is free, and whose last holder did
// not die, is not remembered: fences count the grants of a home, of whatever lock.
type LockState struct {
	Fence     uint64   `json:"fence"`           // of the holder; zero if there is none
	Holder    Waiter   `json:"holder,omitzero"` // where Fence is not zero
	Died      bool     `json:"died"`            // the last holder died, and nobody was told
	Overtaken int      `json:"overtaken"`       // how often the front of the queue was, at most NearTurns
	Queue     []Waiter `json:"queue"`           // at most MaxWaiters; empty while the lock is free
}

// Turn is a lock that a party holds or waits for, at the party's node.
type Turn struct {
	Request   uint64 `json:"request"` // of the Acquire
	Fence     uint64 `json:"fence"`   // zero while it waits
	Cancel    uint64 `json:"cancel"`  // the request to be answered after the Acquire, or zero
	Canceling bool   `json:"canceling"`
	Try       bool   `json:"try"`
}

// TurnState is all that a node remembers of a party at a lock.
type TurnState struct {
	Dead  bool     `json:"dead"`
	Turn  *Turn    `json:"turn,omitempty"`
	Calls []uint64 `json:"calls"` // requests of the Releases that have no answer, in order
}

// Barrier is one generation of a barrier's name at its home. It is made by a
// party that no older one has room for, and remembered while a seat is taken.
//
// A party that leaves before it has arrived in the round that goes on, or that
// dies, breaks the generation: no round of it will be over any more, and no seat of
// it can be had. One that has arrived and leaves breaks it when the round is over:
// the round does not need it, so that who is late may still come, to another seat.
// Who comes to a seat that was left, or to what is broken, is for the next
// generation.
type Barrier struct {
	Generation uint64 `json:"generation"`
	Parties    uint32 `json:"parties"`
	Arrived    uint32 `json:"arrived"` // in the round that goes on, by parties that may have left since
	Over       uint64 `json:"over"`    // rounds
	Broken     bool   `json:"broken"`
}

// HomeSeat is a seat that is taken, at the home.
type HomeSeat struct {
	Index   uint32      `json:"index"`
	Node    addr.NodeID `json:"node"`
	Party   uint64      `json:"party"`
	Arrived uint64      `json:"arrived"` // the last round
}

func (s HomeSeat) is(m *Sync) bool { return s.Node == m.From.Node && s.Party == m.Party }

// BarrierState is all that a home remembers of a generation.
type BarrierState struct {
	Barrier
	Left  []uint32   `json:"left"`  // the seats whose parties have left behind their arrival, in order
	Seats []HomeSeat `json:"seats"` // by index
}

// Meeting is a generation of a barrier as a node knows it. It is remembered while
// the node has a seat in it.
type Meeting struct {
	Generation uint64 `json:"generation"`
	Parties    uint32 `json:"parties"`
	Over       uint64 `json:"over"` // rounds, as far as the home has said
	Broken     bool   `json:"broken"`
	Seats      []Seat `json:"seats"` // of this node, by index
}

// Seat is one party's place at a barrier, at the party's node.
type Seat struct {
	Index   uint32   `json:"index"`
	Party   uint64   `json:"party"`
	Arrived uint64   `json:"arrived"` // the last round for which an Arrive was sent
	Leaving bool     `json:"leaving"` // a Leave is on its way
	Waits   []uint64 `json:"waits"`   // requests for the round after Meeting.Over, at most MaxWaits
}

// Lock is a lock at this node, its home.
func (s *SyncNode) Lock(object uint64) LockState {
	var l LockState
	if known := s.locks[object]; known != nil {
		l = *known
	}
	l.Queue = append([]Waiter{}, l.Queue...)
	return l
}

// Turn is what this node remembers of a party of it at a lock.
func (s *SyncNode) Turn(id, object uint64) TurnState {
	p := s.parties[id]
	state := TurnState{Dead: p != nil && p.dead, Calls: []uint64{}}
	if t, ok := s.turns[turnKey{id, object}]; ok {
		state.Turn = &t
	}
	for c := range s.calls {
		if c.kind == SyncRelease && c.party == id && c.object == object {
			state.Calls = append(state.Calls, c.request)
		}
	}
	slices.Sort(state.Calls)
	return state
}

// Barrier is the generations of a barrier at this node, its home, the oldest first.
func (s *SyncNode) Barrier(object uint64) []BarrierState {
	all := []BarrierState{}
	for _, b := range s.barriers[object] {
		state := BarrierState{Barrier: b.Barrier, Left: slices.AppendSeq([]uint32{}, maps.Keys(b.left)), Seats: slices.Collect(maps.Values(b.seats))}
		slices.Sort(state.Left)
		slices.SortFunc(state.Seats, func(a, b HomeSeat) int { return cmp.Compare(a.Index, b.Index) })
		all = append(all, state)
	}
	return all
}

// Meetings are the generations of a barrier that this node knows, in the order in
// which it got to know them.
func (s *SyncNode) Meetings(object uint64) []Meeting {
	all := []Meeting{}
	for _, known := range s.meetings[object] {
		m := *known
		m.Seats = slices.Clone(m.Seats)
		for i := range m.Seats {
			m.Seats[i].Waits = append([]uint64{}, m.Seats[i].Waits...)
		}
		all = append(all, m)
	}
	return all
}

// AppendState appends the state of the event's object at the place of the event, as
// JSON. Of a lock it is a LockState at its home and the party's TurnState at a node;
// of a barrier it is a list of BarrierState, or of Meeting.
func (s *SyncNode) AppendState(b []byte, e *SyncEvent) []byte {
	var state any
	switch home := e.At.Tag == addr.Root; {
	case e.Protocol == Barriers && home:
		state = s.Barrier(e.Object)
	case e.Protocol == Barriers:
		state = s.Meetings(e.Object)
	case home:
		state = s.Lock(e.Object)
	default:
		state = s.Turn(e.Party, e.Object)
	}
	text, err := json.Marshal(state)
	if err != nil {
		panic(fmt.Sprintf("mome: %+v: %v", state, err))
	}
	return append(b, text...)
}
