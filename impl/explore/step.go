package explore

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/sim"
)

// Action is an action of the spec with its parameters: Name(At), or
// Name(At, With), where With is a child, or the content that Store writes.
type Action struct {
	Name     string
	At, With int8 // With is -1 where there is none
}

// cause is the type of a move.
type cause uint8

const (
	byInput cause = iota // local to a leaf
	byStore
	byUp   // the head of a channel up is delivered
	byDown // the same, down
	byData
)

// move is one thing that can happen to a state. Whether the core answers it with
// an action is for the core to say.
type move struct {
	cause cause
	input protocol.InputKind // byInput
	at    int                // the leaf, the lower end of the channel, or the index in data
	val   content            // byStore
}

// violation is something that must not happen.
type violation struct{ property, text string }

func violated(property, format string, args ...any) *violation {
	return &violation{property, fmt.Sprintf(format, args...)}
}

// machine has a core for every manager of a model and plays the shells, the
// links and the applications around them.
type machine struct {
	*layout
	stores int // contents that leaves may store
	inputs []protocol.InputKind
	shards []*protocol.Shard
	batch  protocol.Batch
	acts   []Action // what the step took
	buffer []move
	spare  sim.Snapshot
	pool   []protocol.Message // what spare points to
	steps  int64
	// history, where not nil, makes up what the spec does not have, before each
	// step. Nothing may depend on it.
	history func() uint64
}

func newMachine(m *Model) *machine {
	e := &machine{layout: m.lay(), stores: m.Stores,
		inputs: []protocol.InputKind{protocol.InReadFault, protocol.InWriteFault, protocol.InWriteback, protocol.InEvict}}
	switch {
	case m.Askers:
		e.stores, e.inputs = 0, e.inputs[:2]
	case m.Writers:
		e.stores, e.inputs = 0, e.inputs[1:2]
	}
	for _, at := range e.Places {
		e.shards = append(e.shards, protocol.NewShard(at.Node, 1, 0, e.conf, e))
	}
	return e
}

// Observe implements protocol.Observer.
func (e *machine) Observe(v *protocol.Event) {
	a := Action{Name: v.Action.String(), At: int8(e.known[v.At]), With: -1}
	if v.Action == protocol.ActRecvReq || v.Action == protocol.ActRecvAck {
		a.With = int8(e.known[v.Message.From])
	}
	e.acts = append(e.acts, a)
}

// moves are all that can happen to a state, also what no core may answer with
// an action. The application alone is held to its guard: it stores where it may.
func (e *machine) moves(s *state) []move {
	all := e.buffer[:0]
	for i := range s.leaves {
		for _, in := range e.inputs {
			all = append(all, move{cause: byInput, input: in, at: i})
		}
		if s.taken[i] > 0 && s.down[i][0].kind == protocol.Recall {
			all = append(all, move{cause: byInput, input: protocol.InResidenceOver, at: i})
		}
		if s.leaves[i].Right == protocol.Write {
			for v := content(1); v <= content(e.stores); v++ {
				if s.frames[i] != v {
					all = append(all, move{cause: byStore, at: i, val: v})
				}
			}
		}
	}
	for x := range e.Root {
		if len(s.up[x]) > 0 {
			all = append(all, move{cause: byUp, at: x})
		}
		if n := e.first(s, x); n < len(s.down[x]) {
			all = append(all, move{cause: byDown, at: x})
		}
	}
	for k := range s.data {
		all = append(all, move{cause: byData, at: k})
	}
	e.buffer = all
	return all
}

// first is the place in down[x] of the message that is delivered next.
func (e *machine) first(s *state, x int) int {
	if x < e.Leaves {
		return int(s.taken[x])
	}
	return 0
}

// apply carries a move out. The actions that the core took are valid until the
// next call.
func (e *machine) apply(s *state, mv move) ([]Action, *violation) {
	e.acts = e.acts[:0]
	in := protocol.Input{Kind: mv.input, Page: page}
	at, val := mv.at, hole
	msg := protocol.Message{Page: page, Envelope: protocol.Envelope{Generation: 1, FromIncarnation: 1, ToIncarnation: 1, Epoch: 1, Term: 1}}
	deliver := func(m message, from, to addr.Place) {
		msg.Kind, msg.Op, msg.Have, msg.Keep, msg.Source, msg.Dst, msg.Hit, msg.Leaf =
			m.kind, m.op, m.have, m.keep, m.source, m.dst, m.hit, m.leaf
		msg.From, msg.To = from, to
		in = protocol.Input{Kind: protocol.InMessage, Msg: &msg}
	}
	switch mv.cause {
	case byStore:
		s.frames[at] = mv.val
		e.acts = append(e.acts, Action{"Store", int8(at), int8(mv.val)})
		return e.acts, nil
	case byUp:
		at = e.Parent[mv.at]
		deliver(s.up[mv.at][0], e.child[mv.at], e.Places[at])
		s.up[mv.at] = slices.Delete(s.up[mv.at], 0, 1)
	case byDown:
		k := e.first(s, at)
		deliver(s.down[at][k], e.parent[at], e.Places[at])
		s.down[at] = slices.Delete(s.down[at], k, k+1)
	case byData:
		d := s.data[mv.at]
		s.data = slices.Delete(s.data, mv.at, mv.at+1)
		at, val = d.to, d.val
		// The spec does not say who sent it: it may be from whoever can.
		from := e.Places[e.Root]
		if at == e.Root {
			from = e.Places[0]
		}
		deliver(message{kind: protocol.Data}, from, e.Places[at])
	}
	e.steps++
	if e.history != nil {
		msg.Version, msg.Lamport, msg.Cut, msg.Txn = e.history(), e.history(), e.history(), e.txn()
		s.managers[at].Version, s.managers[at].Busy.Txn, s.managers[at].Recall.Txn = e.history(), e.txn(), e.txn()
		if at < e.Leaves {
			s.leaves[at].Version, s.leaves[at].Stamp, s.leaves[at].Txn = e.history(), uint32(e.history()), e.txn()
		}
	}
	if at < e.Leaves {
		return e.acts, e.stepLeaf(s, at, in, val)
	}
	return e.acts, e.stepManager(s, at, in, val)
}

func (e *machine) txn() protocol.Txn {
	return protocol.Txn{Leaf: addr.NodeID(e.history()), Incarnation: addr.Incarnation(e.history()), Counter: e.history()}
}

func (e *machine) stepManager(s *state, at int, in protocol.Input, val content) *violation {
	sh, version := e.shards[at], s.managers[at].Version
	order := protocol.Order{Home: hasHome(&s.managers[at], at == e.Root)}
	sh.SetManager(page, e.Places[at], &s.managers[at])
	if v := e.stepCore(sh, in); v != nil {
		return v
	}
	s.managers[at] = sh.Manager(page, e.Places[at])
	for i := range e.batch.Effects {
		var v *violation
		if err := order.Apply(&e.batch.Effects[i]); err != nil {
			return violated("OrderInv", "%v: %v", e.Places[at], err)
		}
		switch f := &e.batch.Effects[i]; f.Kind {
		case protocol.Send:
			if m := &f.Msg; at == e.Root && m.Kind == protocol.Grant && m.Op == protocol.OpWrite && m.Version <= version {
				return violated("VersionInv", "the root grants write, and the version stays")
			}
			v = e.send(s, at, &f.Msg, s.home)
		case protocol.HomeFill:
			s.home = val
		case protocol.HomeDrop: // the spec keeps the old content, and never looks at it
		default:
			v = violated("EffectInv", "a manager that is no leaf wants %v", f.Kind)
		}
		if v != nil {
			return v
		}
	}
	if err := order.Fits(protocol.None, false, hasHome(&s.managers[at], at == e.Root)); err != nil {
		return violated("OrderInv", "%v: %v", e.Places[at], err)
	}
	return nil
}

// hasHome says whether a manager has a master copy.
func hasHome(m *protocol.ManagerState, root bool) bool { return root && m.Home == protocol.Valid }

// stepLeaf also demands what the shell relies on: that effects are in order, and
// that each recall that is held back is reported once.
func (e *machine) stepLeaf(s *state, at int, in protocol.Input, val content) *violation {
	sh, l := e.shards[at], &s.leaves[at]
	waiting := s.down[at][:s.taken[at]]
	kept := len(waiting) > 0 && waiting[0].kind == protocol.Recall
	for i := range waiting {
		m := protocol.Message{Kind: waiting[i].kind, Op: waiting[i].op, Keep: waiting[i].keep, Source: waiting[i].source,
			Dst: waiting[i].dst, Leaf: waiting[i].leaf, Page: page, Envelope: protocol.Envelope{From: e.parent[at], To: e.Places[at]}}
		if m.Kind == protocol.Grant {
			l.Grant = m
		} else {
			l.Recall = m
		}
	}
	s.down[at] = slices.Delete(s.down[at], 0, len(waiting))
	sh.SetLeaf(page, l)
	order, held := protocol.Order{Access: protocol.Access(l.Right), Frame: s.frames[at] != hole}, 0
	if v := e.stepCore(sh, in); v != nil {
		return v
	}
	*l = sh.Leaf(page)
	var slots []message
	for _, m := range [...]*protocol.Message{&l.Grant, &l.Recall} {
		if m.Kind != protocol.KindInvalid {
			slots = append(slots, withoutHistory(m))
		}
	}
	s.down[at] = slices.Insert(s.down[at], 0, slots...)
	s.taken[at] = uint8(len(slots))
	l.Grant, l.Recall, l.Over = protocol.Message{}, protocol.Message{}, false

	for i := range e.batch.Effects {
		f := &e.batch.Effects[i]
		if err := order.Apply(f); err != nil {
			return violated("OrderInv", "%v: %v", e.Places[at], err)
		}
		switch f.Kind {
		case protocol.Send:
			if v := e.send(s, at, &f.Msg, s.frames[at]); v != nil {
				return v
			}
		case protocol.FrameProtect:
		case protocol.FrameDrop:
			s.frames[at] = hole
		case protocol.FrameFill:
			s.frames[at] = val
		case protocol.FrameZero:
			s.frames[at] = 0
		case protocol.FrameGrant:
		case protocol.Held:
			held++
		case protocol.Written:
		default:
			return violated("EffectInv", "a leaf that is alone on its node wants %v", f.Kind)
		}
	}
	if err := order.Fits(l.Right, l.Arrived, false); err != nil {
		return violated("OrderInv", "%v: %v", e.Places[at], err)
	}
	want := 0
	if !kept && len(slots) > 0 && slots[0].kind == protocol.Recall {
		want = 1
	}
	if held != want {
		return violated("HeldInv", "%v reports %d recalls that it holds back, not %d", e.Places[at], held, want)
	}
	return nil
}

// stepCore is a step of the core. What it panics with is a violation.
func (e *machine) stepCore(sh *protocol.Shard, in protocol.Input) (v *violation) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case string:
			v = violated("panic", "%s", strings.ReplaceAll(r, "\n", " "))
		default:
			panic(r)
		}
	}()
	e.batch.Reset()
	if err := sh.Step(in, &e.batch); err != nil {
		return violated("ErrForeign", "%v", err)
	}
	return nil
}

// send puts a message into its channel.
func (e *machine) send(s *state, from int, m *protocol.Message, val content) *violation {
	if from != e.Root && m.To == e.parent[from] && (m.Kind == protocol.Req || m.Kind == protocol.Ack) {
		s.up[from] = append(s.up[from], withoutHistory(m))
		return nil
	}
	to, known := e.known[m.To]
	switch {
	case !known:
	case m.Kind == protocol.Data && (to < e.Leaves || to == e.Root):
		s.data = append(s.data, carried{to, val})
		return nil
	case (m.Kind == protocol.Grant || m.Kind == protocol.Recall) && e.Parent[to] == from:
		s.down[to] = append(s.down[to], withoutHistory(m))
		return nil
	}
	return violated("SendInv", "%v sends a %v to %v, who has asked for nothing", e.Places[from], m.Kind, m.To)
}

// snapshot is what the invariants look at. It is valid until the next call.
func (e *machine) snapshot(s *state) *sim.Snapshot {
	g := &e.spare
	if g.Topology == nil {
		*g = sim.Snapshot{Topology: e.Topology, Val: make([]uint64, e.Leaves), Filled: make([]bool, e.Leaves),
			Up: make([][]*protocol.Message, len(e.Places)), Down: make([][]*protocol.Message, len(e.Places))}
		e.pool = make([]protocol.Message, 0, 64)
	}
	g.Managers, g.Leaf, g.Home = s.managers, s.leaves, uint64(s.home)
	e.pool = e.pool[:0]
	point := func(list []*protocol.Message, ch []message) []*protocol.Message {
		list = list[:0]
		for _, m := range ch {
			if len(e.pool) == cap(e.pool) { // what points into the old one stays
				e.pool = make([]protocol.Message, 0, 2*cap(e.pool))
			}
			e.pool = append(e.pool, protocol.Message{Kind: m.kind, Op: m.op, Have: m.have, Keep: m.keep, Source: m.source, Dst: m.dst, Hit: m.hit, Leaf: m.leaf})
			list = append(list, &e.pool[len(e.pool)-1])
		}
		return list
	}
	for x := range e.Places {
		g.Up[x], g.Down[x] = point(g.Up[x], s.up[x]), point(g.Down[x], s.down[x])
	}
	for i := range s.leaves {
		g.Val[i], g.Filled[i] = uint64(max(s.frames[i], 0)), s.frames[i] != hole
	}
	g.Data = g.Data[:0]
	for _, d := range s.data {
		g.Data = append(g.Data, sim.Carried{To: e.Places[d.to], Word: uint64(d.val)})
	}
	return g
}
