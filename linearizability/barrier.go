package linearizability

import (
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"

	"github.com/mome-dsm/mome/impl/history"
)

// Barrier is a barrier's name, as spec/barrier has it at the barrier's home: its
// generations, the oldest first. A Wait is two operations with the same times: it
// arrives, and it learns that the round is over, or that it never will be.
var Barrier = barrierModel()

func barrierModel() porcupine.Model {
	step := func(s barrierState, o *Operation) (bool, barrierState) {
		next := s.clone()
		if !next.step(o) {
			return false, s
		}
		return true, next
	}
	m := model(nil, step, func(s barrierState) string {
		if len(s) == 0 {
			return "nobody has a seat"
		}
		return fmt.Sprintf("%+v", []generation(s))
	})
	m.Equal = func(a, b any) bool {
		return slices.EqualFunc(a.(barrierState), b.(barrierState), generation.equal)
	}
	return m
}

// barrierAnswer is what an operation about a barrier was told.
func barrierAnswer(o *Operation) string {
	switch {
	case o.Op == history.OpJoin && o.Result == 0:
		return fmt.Sprintf("join as %d of %d -> refused", o.Value, o.Old)
	case o.Op == history.OpJoin:
		return fmt.Sprintf("join as %d of %d -> done", o.Value, o.Old)
	case o.Op == history.OpArrive:
		return fmt.Sprintf("arrive as %d in round %d", o.Value, o.Old)
	case o.Op == history.OpAwait && o.Result == 0:
		return fmt.Sprintf("await as %d round %d -> a party died", o.Value, o.Old)
	case o.Op == history.OpAwait:
		return fmt.Sprintf("await as %d round %d -> over", o.Value, o.Old)
	}
	return fmt.Sprintf("leave as %d", o.Value)
}

// unclear says of an operation without an answer that others may have met with it: of
// an arrival they need not.
func (o *Operation) unclear() bool {
	return o.open() && o.Op != history.OpArrive && o.Op != history.OpAwait
}

type barrierState []generation

// generation is one barrier of the name.
type generation struct {
	parties, over, arrived uint64
	broken                 bool
	left                   []uint64 // parties that have left behind their arrival
	seats                  []barrierSeat
}

// barrierSeat is a party, whose calls are those of one client.
type barrierSeat struct {
	party   uint64
	client  int
	arrived uint64 // the last round
}

func (g generation) equal(h generation) bool {
	return g.parties == h.parties && g.over == h.over && g.arrived == h.arrived && g.broken == h.broken &&
		slices.Equal(g.left, h.left) && slices.Equal(g.seats, h.seats)
}

func (s barrierState) clone() barrierState {
	next := slices.Clone(s)
	for i := range next {
		next[i].left, next[i].seats = slices.Clone(next[i].left), slices.Clone(next[i].seats)
	}
	return next
}

// seat is where the client is that party: the generation and the seat in it.
func (s barrierState) seat(o *Operation) (g, i int, ok bool) {
	for g := range s {
		for i, seat := range s[g].seats {
			if seat.party == o.Value && seat.client == o.Client {
				return g, i, true
			}
		}
	}
	return 0, 0, false
}

// step does the operation, if it can be answered as it was. One that had no answer
// may have been done, or not; then it comes last, when it may not be possible any more.
func (s *barrierState) step(o *Operation) bool {
	if o.Op == history.OpJoin {
		return s.join(o) == (o.Result != 0)
	}
	at, i, ok := s.seat(o)
	if !ok {
		return o.open()
	}
	g := &(*s)[at]
	switch o.Op {
	case history.OpArrive:
		return g.arrive(i, o.Old) || o.open()
	case history.OpAwait:
		if o.Result == 0 {
			return g.broken && g.over < o.Old
		}
		return g.over >= o.Old
	}
	seat := g.seats[i]
	g.seats = slices.Delete(g.seats, i, i+1)
	switch {
	case len(g.seats) == 0:
		*s = slices.Delete(*s, at, at+1)
	case g.broken:
	case seat.arrived == g.over+1:
		g.left = append(g.left, seat.party)
		slices.Sort(g.left)
	default:
		g.broken = true
	}
	return true
}

// join takes a seat in the oldest generation that is not broken and that the party
// has not left, or in the next one, and says whether it could.
func (s *barrierState) join(o *Operation) bool {
	if o.Value >= o.Old {
		return false // there is no such party
	}
	if _, _, ok := s.seat(o); ok {
		return false // it is that party already
	}
	at := slices.IndexFunc(*s, func(g generation) bool { return !g.broken && !slices.Contains(g.left, o.Value) })
	if at < 0 {
		at = len(*s)
		*s = append(*s, generation{parties: o.Old})
	}
	g := &(*s)[at]
	if g.parties != o.Old || slices.ContainsFunc(g.seats, func(x barrierSeat) bool { return x.party == o.Value }) {
		return false
	}
	g.seats = append(g.seats, barrierSeat{party: o.Value, client: o.Client})
	slices.SortFunc(g.seats, func(a, b barrierSeat) int { return int(a.party) - int(b.party) })
	return true
}

// arrive counts an arrival, once in a round, and says whether the party may arrive
// in it.
func (g *generation) arrive(i int, round uint64) bool {
	seat := &g.seats[i]
	switch {
	case round <= g.over || g.broken || seat.arrived == round:
		return true
	case round != g.over+1:
		return false
	}
	seat.arrived = round
	if g.arrived++; g.arrived == g.parties {
		g.over, g.arrived = round, 0
		g.broken = len(g.left) > 0
	}
	return true
}
