package validate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// syncs is the projection on locks or on barriers. A node is called n1, the party 7
// there n1p7.
type syncs struct {
	of      *protocol.Protocol
	words   syncWords
	run     *trace.Run
	objects map[uint64]*Object
	parties map[string]string // name: that of its node
	numbers map[uint64]int    // what stands for those that are too high
}

// syncWords are the words of TraceHeapLock or TraceBarrier.
type syncWords interface {
	// message writes a message about a party of a node, with the fields that its kind
	// has, and receiver who takes it at the node, beside that.
	message(w *writer, m *protocol.Sync, node addr.NodeID)
	receiver(w *writer, ev *trace.Event)
	// call writes what a process asks for, beside the request's number.
	call(w *writer, call *protocol.SyncInput)
	// home and node write the state after an action, there and at a party's node.
	home(w *writer, ev *trace.Event)
	node(w *writer, ev *trace.Event)
}

func newSyncs(run *trace.Run, of *protocol.Protocol, words syncWords) *syncs {
	return &syncs{of: of, words: words, run: run, objects: make(map[uint64]*Object), parties: make(map[string]string), numbers: make(map[uint64]int)}
}

// Add implements Projection.
func (p *syncs) Add(ev *trace.Event) error {
	if ev.Protocol() != p.of {
		return nil
	}
	if m := ev.Sync; m != nil && p.run.Conf.Member(m.From.Node) == 0 {
		return malformed(ev, "a message from node %d of %d", m.From.Node, p.run.Conf.Members.Len())
	}
	shape, err := p.shape(ev)
	if err != nil {
		return malformed(ev, "%w", err)
	}
	o := p.objects[ev.Object]
	if o == nil {
		home := p.run.Conf.Slots[ev.Object%uint64(len(p.run.Conf.Slots))].Home
		o = &Object{Name: fmt.Sprintf("%s %#x (home node@%d)", p.of.Object, ev.Object, home),
			Place: func(string) (addr.Place, bool) { return addr.Place{}, false }}
		p.objects[ev.Object] = o
	}
	o.Events = append(o.Events, Event{Shape: shape, Act: ev.Act, At: ev.At, Lamport: ev.Lamport, File: ev.File, Line: ev.Line})
	return nil
}

// Objects implements Projection.
func (p *syncs) Objects() ([]*Object, error) {
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

// members are the nodes and the parties.
func (p *syncs) members() []Constant {
	var nodes, parties, nodeOf []string
	for node := range p.run.Conf.Members.All {
		nodes = append(nodes, fmt.Sprintf("%q", nodeName(node)))
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

func (p *syncs) party(node addr.NodeID, id uint64) string {
	name := fmt.Sprintf("%sp%d", nodeName(node), id)
	p.parties[name] = nodeName(node)
	return name
}

// shape is the event in the words of the specification.
func (p *syncs) shape(ev *trace.Event) (string, error) {
	var w writer
	w.printf("[act|->%q", ev.Act)
	m, call := ev.Sync, ev.Call
	home := ev.At.Tag == addr.Root
	switch {
	case home && m != nil:
		w.printf(",node|->%q,msg|->", nodeName(m.From.Node))
		p.words.message(&w, m, m.From.Node)
	case home:
		return "", errors.New("a home does nothing without a message")
	case m != nil:
		w.printf(",node|->%q", nodeName(ev.At.Node))
		p.words.receiver(&w, ev)
		w.WriteString(",msg|->")
		p.words.message(&w, m, ev.At.Node)
	default:
		w.printf(",node|->%q,party|->%q,call|->[request|->%d", nodeName(ev.At.Node), p.party(ev.At.Node, call.Party), p.number(call.Request))
		p.words.call(&w, call)
		w.WriteByte(']')
	}
	w.WriteString(",post|->")
	if home {
		p.words.home(&w, ev)
	} else {
		p.words.node(&w, ev)
	}
	w.WriteByte(']')
	return w.String(), w.err
}

// state decodes the state after an event.
func (w *writer) state(ev *trace.Event, into any) {
	if err := ev.State(into); err != nil && w.err == nil {
		w.err = err
	}
}

// small is the first number that stands for one that TLC cannot hold.
const small = 1 << 30

// number is a name of a request or a fence as a number that TLC can hold.
func (p *syncs) number(v uint64) int {
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

// writeList writes the elements of a list with commas between, each by one.
func writeList[T any](w *writer, all []T, one func(T)) {
	for i, v := range all {
		if i > 0 {
			w.WriteByte(',')
		}
		one(v)
	}
}

// list writes names with commas between.
func (p *syncs) list(w *writer, all []uint64) {
	writeList(w, all, func(v uint64) { w.printf("%d", p.number(v)) })
}
