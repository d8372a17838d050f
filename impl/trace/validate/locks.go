package validate

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Locks are the locks of a run, each the object of spec/heaplock/HeapLock.tla.
var Locks = Kind{Name: "locks", Protocol: protocol.Locks, Spec: "TraceHeapLock", Optional: true, Records: (*trace.Run).SyncEvents, Project: newLocks}

// locks is the projection on locks.
type locks struct{ *syncs }

func newLocks(run *trace.Run) (Projection, error) {
	p := &locks{}
	p.syncs = newSyncs(run, protocol.Locks, p)
	return p, nil
}

// Constants implements Projection.
func (p *locks) Constants() []Constant {
	return append(p.members(),
		Constant{Name: "Asks", Value: "{}"}, Constant{Name: "Cancels", Value: "{}"}, Constant{Name: "Gives", Value: "{}"},
		Constant{Name: "NearTurns", Value: fmt.Sprint(protocol.NearTurns)},
		Constant{Name: "MaxWaiters", Value: fmt.Sprint(protocol.MaxWaiters)},
		Constant{Name: "NextFence", Operator: "TraceFence"})
}

func (p *locks) receiver(w *writer, ev *trace.Event) {
	w.printf(",party|->%q", p.party(ev.At.Node, ev.Party))
}

func (p *locks) call(w *writer, call *protocol.SyncInput) {
	w.printf(",try|->%s,target|->%d,fence|->%d", truth(call.Try), p.number(call.Target), p.number(call.Fence))
}

func (p *locks) home(w *writer, ev *trace.Event) {
	var s protocol.LockState
	w.state(ev, &s)
	holder, request := "Nobody", 0
	if s.Fence != 0 {
		holder, request = fmt.Sprintf("%q", p.party(s.Holder.Node, s.Holder.Party)), p.number(s.Holder.Request)
	}
	w.printf("[fence|->%d,holder|->%s,request|->%d,died|->%s,overtaken|->%d,queue|-><<",
		p.number(s.Fence), holder, request, truth(s.Died), s.Overtaken)
	writeList(w, s.Queue, func(x protocol.Waiter) {
		w.printf("[party|->%q,request|->%d]", p.party(x.Node, x.Party), p.number(x.Request))
	})
	w.WriteString(">>]")
}

func (p *locks) node(w *writer, ev *trace.Event) {
	var s protocol.TurnState
	w.state(ev, &s)
	w.printf("[dead|->%s,turn|->", truth(s.Dead))
	if t := s.Turn; t == nil {
		w.WriteString("NoTurn")
	} else {
		w.printf("[request|->%d,fence|->%d,cancel|->%d,canceling|->%s,try|->%s]", p.number(t.Request), p.number(t.Fence),
			p.number(t.Cancel), truth(t.Canceling), truth(t.Try))
	}
	w.WriteString(",calls|->{")
	p.list(w, s.Calls)
	w.WriteString("}]")
}

func (p *locks) message(w *writer, m *protocol.Sync, node addr.NodeID) {
	kind := m.Kind
	w.printf("[kind|->%q,party|->%q,request|->%d", kind, p.party(node, m.Party), p.number(m.Request))
	switch kind {
	case protocol.SyncAcquire:
		w.printf(",try|->%s", truth(m.Try))
	case protocol.SyncRelease, protocol.SyncGrant:
		w.printf(",fence|->%d,code|->%q", p.number(m.Fence), m.Code)
	case protocol.SyncRefuse, protocol.SyncReleased:
		w.printf(",code|->%q", m.Code)
	}
	w.WriteByte(']')
}
