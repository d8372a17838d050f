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
	w.printf(",try|->%s,target|->%d,fence|->%d", boolean(call.Try), p.number(call.Target), p.number(call.Fence))
}

// lockState is what a home remembers of a lock.
type lockState struct {
	Fence     uint64    `json:"fence"`
	Holder    *waiting  `json:"holder"`
	Died      bool      `json:"died"`
	Overtaken int       `json:"overtaken"`
	Queue     []waiting `json:"queue"`
}

type waiting struct {
	Node    addr.NodeID `json:"node"`
	Party   uint64      `json:"party"`
	Request uint64      `json:"request"`
}

func (p *locks) home(w *writer, ev *trace.Event) {
	var s lockState
	w.state(ev, &s)
	holder, request := "Nobody", 0
	if s.Holder != nil {
		holder, request = fmt.Sprintf("%q", p.party(s.Holder.Node, s.Holder.Party)), p.number(s.Holder.Request)
	}
	w.printf("[fence|->%d,holder|->%s,request|->%d,died|->%s,overtaken|->%d,queue|-><<",
		p.number(s.Fence), holder, request, boolean(s.Died), s.Overtaken)
	for i, x := range s.Queue {
		if i > 0 {
			w.WriteByte(',')
		}
		w.printf("[party|->%q,request|->%d]", p.party(x.Node, x.Party), p.number(x.Request))
	}
	w.WriteString(">>]")
}

// turnState is what a node remembers of a party at a lock.
type turnState struct {
	Dead  bool     `json:"dead"`
	Calls []uint64 `json:"calls"`
	Turn  *struct {
		Request   uint64 `json:"request"`
		Fence     uint64 `json:"fence"`
		Cancel    uint64 `json:"cancel"`
		Canceling bool   `json:"canceling"`
		Try       bool   `json:"try"`
	} `json:"turn"`
}

func (p *locks) node(w *writer, ev *trace.Event) {
	var s turnState
	w.state(ev, &s)
	w.printf("[dead|->%s,turn|->", boolean(s.Dead))
	if t := s.Turn; t == nil {
		w.WriteString("NoTurn")
	} else {
		w.printf("[request|->%d,fence|->%d,cancel|->%d,canceling|->%s,try|->%s]", p.number(t.Request), p.number(t.Fence),
			p.number(t.Cancel), boolean(t.Canceling), boolean(t.Try))
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
		w.printf(",try|->%s", boolean(m.Try))
	case protocol.SyncRelease, protocol.SyncGrant:
		w.printf(",fence|->%d,code|->%q", p.number(m.Fence), m.Code)
	case protocol.SyncRefuse, protocol.SyncReleased:
		w.printf(",code|->%q", m.Code)
	}
	w.WriteByte(']')
}
