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

// Locks are the locks of a run, each the object of spec/heaplock/HeapLock.tla.
var Locks = Kind{Name: "locks", Protocol: protocol.Locks, Spec: "TraceHeapLock", Optional: true, Records: (*trace.Run).SyncEvents, Project: newLocks}

// locks is the projection on locks. A node is called n1, the party 7 there n1p7.
type locks struct {
	run     *trace.Run
	objects map[uint64]*Object
	parties map[string]string // name: that of its node
	numbers map[uint64]int    // what stands for those that are too high
}

func newLocks(run *trace.Run) (Projection, error) {
	p := newLockNames(run)
	return &p, nil
}

func newLockNames(run *trace.Run) locks {
	return locks{run: run, objects: make(map[uint64]*Object), parties: make(map[string]string), numbers: make(map[uint64]int)}
}

// Add implements Projection.
func (p *locks) Add(ev *trace.Event) error {
	if ev.Protocol() != protocol.Locks {
		return nil
	}
	return p.add(ev, "lock", p.shape)
}

// add takes an event of an object, whose kind is called so.
func (p *locks) add(ev *trace.Event, kind string, shapeOf func(*trace.Event) (string, error)) error {
	if m := ev.Sync; m != nil && int(m.From.Node) >= len(p.run.Conf.Members) {
		return malformed(ev, "a message from node %d of %d", m.From.Node, len(p.run.Conf.Members))
	}
	shape, err := shapeOf(ev)
	if err != nil {
		return malformed(ev, "%w", err)
	}
	o := p.objects[ev.Object]
	if o == nil {
		home := p.run.Conf.Slots[ev.Object%uint64(len(p.run.Conf.Slots))].Home
		o = &Object{Name: fmt.Sprintf("%s %#x (home node@%d)", kind, ev.Object, home),
			Place: func(string) (addr.Place, bool) { return addr.Place{}, false }}
		p.objects[ev.Object] = o
	}
	o.Events = append(o.Events, Event{Shape: shape, Act: ev.Act, At: ev.At, Lamport: ev.Lamport, File: ev.File, Line: ev.Line})
	return nil
}

// Objects implements Projection.
func (p *locks) Objects() ([]*Object, error) {
	var all []*Object
	rest := p.run.UnderWay() == ""
	for _, object := range slices.Sorted(maps.Keys(p.objects)) {
		o := p.objects[object]
		if rest {
			o.Events = append(o.Events, ending(o.Events))
		}
		all = append(all, o)
	}
	return all, nil
}

// Constants implements Projection.
func (p *locks) Constants() []Constant {
	return append(p.members(),
		Constant{Name: "Asks", Value: "{}"}, Constant{Name: "Cancels", Value: "{}"}, Constant{Name: "Gives", Value: "{}"},
		Constant{Name: "NearTurns", Value: fmt.Sprint(protocol.NearTurns)},
		Constant{Name: "MaxWaiters", Value: fmt.Sprint(protocol.MaxWaiters)},
		Constant{Name: "NextFence", Operator: "TraceFence"})
}

// members are the nodes and the parties.
func (p *locks) members() []Constant {
	var nodes, parties, nodeOf []string
	for node := range p.run.Conf.Members {
		nodes = append(nodes, fmt.Sprintf("%q", nodeName(addr.NodeID(node))))
	}
	for _, name := range slices.Sorted(maps.Keys(p.parties)) {
		parties = append(parties, fmt.Sprintf("%q", name))
		nodeOf = append(nodeOf, fmt.Sprintf("%s|->%q", name, p.parties[name]))
	}
	return []Constant{
		{Name: "Nodes", Value: "{" + strings.Join(nodes, ",") + "}"},
		{Name: "Parties", Value: "{" + strings.Join(parties, ",") + "}"},
		{Name: "NodeOf", Value: "[" + strings.Join(nodeOf, ",") + "]"},
	}
}

func nodeName(n addr.NodeID) string { return fmt.Sprintf("n%d", n) }

func (p *locks) party(node addr.NodeID, id uint64) string {
	name := fmt.Sprintf("%sp%d", nodeName(node), id)
	p.parties[name] = nodeName(node)
	return name
}

// shape is the event in the words of TraceHeapLock.
func (p *locks) shape(ev *trace.Event) (string, error) {
	var w writer
	w.printf("[act|->%q", ev.Act)
	m, call := ev.Sync, ev.Call
	home := ev.At.Tag == addr.Root
	switch {
	case home && m != nil:
		w.printf(",node|->%q,msg|->", nodeName(m.From.Node))
		w.sync(m, m.From.Node, p)
	case home:
		return "", fmt.Errorf("a home does nothing without a message")
	case m != nil:
		w.printf(",node|->%q,party|->%q,msg|->", nodeName(ev.At.Node), p.party(ev.At.Node, ev.Party))
		w.sync(m, ev.At.Node, p)
	default:
		w.printf(",node|->%q,party|->%q,call|->[request|->%d,try|->%s,target|->%d,fence|->%d]", nodeName(ev.At.Node),
			p.party(ev.At.Node, call.Party), p.number(call.Request), boolean(call.Try), p.number(call.Target), p.number(call.Fence))
	}
	w.WriteString(",post|->")
	if home {
		var s lockState
		if err := decodeState(ev.Post, &s); err != nil {
			return "", err
		}
		w.lock(&s, p)
	} else {
		var s turnState
		if err := decodeState(ev.Post, &s); err != nil {
			return "", err
		}
		w.turn(&s, p)
	}
	w.WriteByte(']')
	return w.String(), w.err
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

func (w *writer) lock(s *lockState, p *locks) {
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

func (w *writer) turn(s *turnState, p *locks) {
	w.printf("[dead|->%s,turn|->", boolean(s.Dead))
	if t := s.Turn; t == nil {
		w.WriteString("NoTurn")
	} else {
		w.printf("[request|->%d,fence|->%d,cancel|->%d,canceling|->%s,try|->%s]", p.number(t.Request), p.number(t.Fence),
			p.number(t.Cancel), boolean(t.Canceling), boolean(t.Try))
	}
	w.WriteString(",calls|->{")
	for i, r := range s.Calls {
		if i > 0 {
			w.WriteByte(',')
		}
		w.printf("%d", p.number(r))
	}
	w.WriteString("}]")
}

// sync writes a message about a party of a node, with the fields that its kind
// has.
func (w *writer) sync(m *protocol.Sync, node addr.NodeID, p *locks) {
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

// small is the first number that stands for one that TLC cannot hold.
const small = 1 << 30

// number is a name of a request or a fence as a number that TLC can hold.
func (p *locks) number(v uint64) int {
	if v < small {
		return int(v)
	}
	n, ok := p.numbers[v]
	if !ok {
		n = small + len(p.numbers)
		p.numbers[v] = n
	}
	return n
}
