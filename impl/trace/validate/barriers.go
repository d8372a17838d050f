package validate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Barriers are the barriers of a run, each the object of spec/barrier/Barrier.tla
// with all generations of its name.
var Barriers = Kind{Name: "barriers", Protocol: protocol.Barriers, Spec: "TraceBarrier", Optional: true, Records: (*trace.Run).SyncEvents, Project: newBarriers}

// barriers is the projection on barriers.
type barriers struct {
	*syncs
	seats map[uint32]bool // that somebody has had
}

func newBarriers(run *trace.Run) (Projection, error) {
	p := &barriers{seats: make(map[uint32]bool)}
	p.syncs = newSyncs(run, protocol.Barriers, p)
	return p, nil
}

// Constants implements Projection.
func (p *barriers) Constants() []Constant {
	var seats []string
	for _, i := range slices.Sorted(maps.Keys(p.seats)) {
		seats = append(seats, fmt.Sprint(i))
	}
	all := append(p.members(), Constant{Name: "Indices", Value: "{" + strings.Join(seats, ",") + "}"},
		Constant{Name: "MaxParties", Value: fmt.Sprint(protocol.MaxParties)},
		Constant{Name: "MaxWaits", Value: fmt.Sprint(protocol.MaxWaits)},
		Constant{Name: "Numbers", Value: "{}"}, Constant{Name: "NextGen", Operator: "TraceGen"})
	for _, name := range []string{"Asks", "Counts", "Rounds", "Joins", "Waits", "Leaves"} {
		all = append(all, Constant{Name: name, Value: "{}"})
	}
	return all
}

// receiver implements syncWords: a message may be about all seats of the node.
func (p *barriers) receiver(*writer, *trace.Event) {}

func (p *barriers) call(w *writer, call *protocol.SyncInput) {
	w.printf(",index|->%d,parties|->%d,round|->%d", p.number(uint64(call.Index)), p.number(uint64(call.Parties)), p.number(call.Round))
}

func (p *barriers) home(w *writer, ev *trace.Event) {
	var all []protocol.BarrierState
	w.state(ev, &all)
	w.WriteString("<<")
	writeList(w, all, func(s protocol.BarrierState) { p.generation(w, &s) })
	w.WriteString(">>")
}

func (p *barriers) generation(w *writer, s *protocol.BarrierState) {
	w.printf("[gen|->%d,parties|->%d,arrived|->%d,over|->%d,broken|->%s,left|->{", p.number(s.Generation), s.Parties,
		s.Arrived, p.number(s.Over), truth(s.Broken))
	writeList(w, s.Left, func(index uint32) { w.printf("%d", index) })
	w.WriteString("},seats|->")
	for i, x := range s.Seats {
		p.seats[x.Index] = true
		w.key(i, int(x.Index))
		w.printf("[party|->%q,arrived|->%d]", p.party(x.Node, x.Party), p.number(x.Arrived))
	}
	w.endKeys(len(s.Seats))
	w.WriteByte(']')
}

func (p *barriers) node(w *writer, ev *trace.Event) {
	var all []protocol.Meeting
	w.state(ev, &all)
	for i := range all {
		w.key(i, p.number(all[i].Generation))
		p.meeting(w, &all[i], ev.At.Node)
	}
	w.endKeys(len(all))
}

func (p *barriers) meeting(w *writer, s *protocol.Meeting, node addr.NodeID) {
	w.printf("[parties|->%d,over|->%d,broken|->%s,seats|->", s.Parties, p.number(s.Over), truth(s.Broken))
	for i, x := range s.Seats {
		w.key(i, int(x.Index))
		w.printf("[party|->%q,arrived|->%d,leaving|->%s,waits|-><<", p.party(node, x.Party), p.number(x.Arrived), truth(x.Leaving))
		p.list(w, x.Waits)
		w.WriteString(">>]")
	}
	w.endKeys(len(s.Seats))
	w.WriteByte(']')
}

// Seats are a function from indices, and meetings from generations: the empty one if
// there are none.
func (w *writer) key(place, number int) {
	if place == 0 {
		w.WriteByte('(')
	} else {
		w.WriteString("@@")
	}
	w.printf("%d:>", number)
}

func (w *writer) endKeys(n int) {
	if n == 0 {
		w.WriteString("<<>>")
	} else {
		w.WriteByte(')')
	}
}

func (p *barriers) message(w *writer, m *protocol.Sync, node addr.NodeID) {
	kind := m.Kind
	w.printf("[kind|->%q", kind)
	switch kind {
	case protocol.SyncDone, protocol.SyncBroken:
	case protocol.SyncArrive:
		w.printf(",party|->%q,index|->%d", p.party(node, m.Party), p.number(uint64(m.Index)))
	default:
		w.printf(",party|->%q,request|->%d,index|->%d", p.party(node, m.Party), p.number(m.Request), p.number(uint64(m.Index)))
	}
	switch kind {
	case protocol.SyncJoin, protocol.SyncJoined:
		w.printf(",parties|->%d", p.number(uint64(m.Parties)))
	case protocol.SyncArrive, protocol.SyncDone:
		w.printf(",round|->%d", p.number(m.Round))
	}
	if kind != protocol.SyncJoin {
		w.printf(",gen|->%d", p.number(m.Generation))
	}
	switch kind {
	case protocol.SyncLeave, protocol.SyncJoined:
		w.printf(",code|->%q", m.Code)
	}
	w.WriteByte(']')
}
