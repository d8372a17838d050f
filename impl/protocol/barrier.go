package protocol

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
)

// at is the place of an index among the seats, and whether it is taken.
func (m *Meeting) at(index uint32) (int, bool) {
	return slices.BinarySearchFunc(m.Seats, index, func(s Seat, i uint32) int { return cmp.Compare(s.Index, i) })
}

// barrierClient is the part of a node that stands between its processes and the
// homes of barriers.
type barrierClient struct{ *SyncNode }

// seat is the seat that a party has and is not leaving, with its generation, or
// nil. It has one at most.
func (c barrierClient) seat(object uint64, index uint32, id uint64) (*Meeting, *Seat) {
	for _, m := range c.meetings[object] {
		if i, ok := m.at(index); ok && m.Seats[i].Party == id && !m.Seats[i].Leaving {
			return m, &m.Seats[i]
		}
	}
	return nil, nil
}

// meeting is the generation of a number, or nil.
func (c barrierClient) meeting(object, generation uint64) *Meeting {
	for _, m := range c.meetings[object] {
		if m.Generation == generation {
			return m
		}
	}
	return nil
}

// JoinBarrier asks the home for a seat. A party may ask again for the seat that
// it has.
func (c barrierClient) JoinBarrier(in *SyncInput) {
	if in.Parties == 0 || in.Parties > MaxParties || in.Index >= in.Parties {
		c.refuse(in, CodeInvalid)
		return
	}
	if m, s := c.seat(in.Object, in.Index, in.Party); s != nil {
		code := CodeOK
		if m.Parties != in.Parties {
			code = CodeMismatch
		}
		c.refuse(in, code)
		return
	}
	if p := c.parties[in.Party]; !c.mayCall(in.Party) || p != nil && p.seats+p.calls >= MaxSeats {
		c.refuse(in, CodeLimit)
		return
	}
	c.beginCall(call{SyncJoin, in.Index, in.Object, 0, in.Party, in.Request})
	c.toHome(SyncJoin, CodeOK, Sync{Object: in.Object, Party: in.Party, Request: in.Request,
		Index: in.Index, Parties: in.Parties})
}

// AwaitBarrier arrives in a round, once, and waits for its end.
func (c barrierClient) AwaitBarrier(in *SyncInput) {
	if in.Round == 0 {
		c.refuse(in, CodeInvalid)
		return
	}
	m, s := c.seat(in.Object, in.Index, in.Party)
	switch {
	case s == nil || m.Parties != in.Parties:
		c.refuse(in, CodeMismatch)
		return
	case in.Round <= m.Over:
		c.refuse(in, CodeOK)
		return
	case m.Broken:
		c.refuse(in, CodePartyDied)
		return
	case in.Round != m.Over+1:
		c.refuse(in, CodeMismatch)
		return
	}
	if len(s.Waits) == MaxWaits {
		c.answer(Answer{Kind: InBarrierWait, Code: CodeCanceled, Party: s.Party, Request: s.Waits[0]})
		s.Waits = slices.Delete(s.Waits, 0, 1)
	}
	s.Waits = append(s.Waits, in.Request)
	if s.Arrived < in.Round {
		s.Arrived = in.Round
		c.toHome(SyncArrive, CodeOK, Sync{Envelope: Envelope{Generation: m.Generation}, Object: in.Object,
			Party: in.Party, Index: in.Index, Round: in.Round})
	}
}

// LeaveBarrier gives a seat up. Who still waits in it waits in vain.
func (c barrierClient) LeaveBarrier(in *SyncInput) {
	m, s := c.seat(in.Object, in.Index, in.Party)
	if s == nil {
		c.refuse(in, CodeMismatch)
		return
	}
	if !c.mayCall(in.Party) {
		c.refuse(in, CodeLimit)
		return
	}
	c.leave(in.Object, m.Generation, s, in.Request, CodeOK)
}

func (c barrierClient) leave(object, generation uint64, s *Seat, request uint64, code SyncCode) {
	c.endWaits(s, CodePartyDied)
	s.Leaving = true
	c.beginCall(call{SyncLeave, s.Index, object, generation, s.Party, request})
	c.toHome(SyncLeave, code, Sync{Envelope: Envelope{Generation: generation}, Object: object,
		Party: s.Party, Request: request, Index: s.Index})
}

func (c barrierClient) endWaits(s *Seat, code SyncCode) {
	for _, r := range s.Waits {
		c.answer(Answer{Kind: InBarrierWait, Code: code, Party: s.Party, Request: r})
	}
	s.Waits = s.Waits[:0]
}

// abandonSeats leaves every seat of a dead party, in the order of objects and of
// indices.
func (c barrierClient) abandonSeats(id uint64) {
	objects := c.touches(id, SyncJoin, SyncLeave)
	for object, generations := range c.meetings {
		for _, m := range generations {
			if slices.ContainsFunc(m.Seats, func(s Seat) bool { return s.Party == id }) {
				objects = append(objects, object)
			}
		}
	}
	for _, object := range sorted(objects) {
		var indices []uint32
		for _, m := range c.meetings[object] {
			for _, s := range m.Seats {
				if s.Party == id && !s.Leaving {
					indices = append(indices, s.Index)
				}
			}
		}
		slices.Sort(indices)
		for _, index := range indices {
			m, s := c.seat(object, index, id)
			c.leave(object, m.Generation, s, 0, CodePartyDied)
		}
		c.observeDeath(id, object, Barriers)
	}
}

// admit says what is wrong with an answer of a home before it changes anything.
func (c barrierClient) admit(msg *Sync) error {
	m := c.meeting(msg.Object, msg.Generation)
	switch msg.Kind {
	case SyncJoined:
		if c.calls[barrierCall(SyncJoin, msg)] == 0 {
			return c.foreign(msg, "nobody asked to join")
		}
		if msg.Code != CodeOK || m == nil {
			return nil
		}
		i, taken := m.at(msg.Index)
		if taken && m.Seats[i].Party != msg.Party || !taken && (m.Broken || m.Over != 0) ||
			m.Parties != msg.Parties {
			return c.foreign(msg, "the seat cannot be had")
		}
	case SyncDone:
		if m == nil || m.Broken || msg.Round != m.Over+1 {
			return c.foreign(msg, "the round is not the one that goes on")
		}
		for i := range m.Seats {
			if m.Seats[i].Arrived != msg.Round {
				return c.foreign(msg, "a party has not arrived")
			}
		}
	case SyncBroken:
		if m == nil || m.Broken {
			return c.foreign(msg, "there is nothing to break")
		}
	case SyncLeft:
		if c.calls[barrierCall(SyncLeave, msg)] == 0 {
			return c.foreign(msg, "nobody asked to leave")
		}
	}
	return nil
}

func barrierCall(kind SyncKind, m *Sync) call {
	generation := m.Generation
	if kind == SyncJoin {
		generation = 0 // the home chooses it
	}
	return call{kind, m.Index, m.Object, generation, m.Party, m.Request}
}

// RecvJoined is the end of a Join. The seat of a party that has died meanwhile
// is left at once.
func (c barrierClient) RecvJoined(msg *Sync) {
	c.endCall(barrierCall(SyncJoin, msg))
	if msg.Code == CodeOK {
		c.sit(msg)
	}
	c.answer(Answer{Kind: InBarrierJoin, Code: msg.Code, Party: msg.Party, Request: msg.Request})
	c.settle(msg.Party)
}

func (c barrierClient) sit(msg *Sync) {
	m := c.meeting(msg.Object, msg.Generation)
	if m == nil {
		m = &Meeting{Generation: msg.Generation, Parties: msg.Parties}
		c.meetings[msg.Object] = append(c.meetings[msg.Object], m)
	}
	i, taken := m.at(msg.Index)
	if taken {
		return
	}
	p := c.enter(msg.Party)
	p.seats++
	m.Seats = slices.Insert(m.Seats, i, Seat{Index: msg.Index, Party: msg.Party})
	if p.dead {
		c.leave(msg.Object, m.Generation, &m.Seats[i], 0, CodePartyDied)
	}
}

// RecvDone ends a round for all seats of the node in a generation, in the order of
// indices.
func (c barrierClient) RecvDone(msg *Sync) {
	m := c.meeting(msg.Object, msg.Generation)
	m.Over = msg.Round
	for i := range m.Seats {
		c.endWaits(&m.Seats[i], CodeOK)
	}
}

// RecvBroken ends the use of a generation for all seats of the node.
func (c barrierClient) RecvBroken(msg *Sync) {
	m := c.meeting(msg.Object, msg.Generation)
	m.Broken = true
	for i := range m.Seats {
		c.endWaits(&m.Seats[i], CodePartyDied)
	}
}

// RecvLeft is the end of a Leave.
func (c barrierClient) RecvLeft(msg *Sync) {
	c.endCall(barrierCall(SyncLeave, msg))
	m := c.meeting(msg.Object, msg.Generation)
	i, _ := m.at(msg.Index)
	m.Seats = slices.Delete(m.Seats, i, i+1)
	c.parties[msg.Party].seats--
	if len(m.Seats) == 0 {
		forget(c.meetings, msg.Object, m)
	}
	c.answer(Answer{Kind: InBarrierLeave, Party: msg.Party, Request: msg.Request})
	c.settle(msg.Party)
}

// forget takes one of the generations of an object away.
func forget[T comparable](generations map[uint64][]T, object uint64, which T) {
	all := generations[object]
	i := slices.Index(all, which)
	if all = slices.Delete(all, i, i+1); len(all) > 0 {
		generations[object] = all
	} else {
		delete(generations, object)
	}
}

// barrier is a generation at its home, with what finds a seat and who is told.
type barrier struct {
	Barrier
	left  map[uint32]bool     // the seats whose parties have left behind their arrival; nil: none
	seats map[uint32]HomeSeat // by index
	nodes []nodeSeats         // who is told, by node
}

type nodeSeats struct {
	node  addr.NodeID
	seats int
}

// count adds to the number of a node's seats.
func (b *barrier) count(node addr.NodeID, change int) {
	i, ok := slices.BinarySearchFunc(b.nodes, node, func(n nodeSeats, id addr.NodeID) int { return cmp.Compare(n.node, id) })
	if !ok {
		b.nodes = slices.Insert(b.nodes, i, nodeSeats{node: node})
	}
	b.nodes[i].seats += change
	if b.nodes[i].seats == 0 {
		b.nodes = slices.Delete(b.nodes, i, i+1)
	}
}

// barrierHome is the part of a node that is the home of barriers.
type barrierHome struct{ *SyncNode }

// generation is the one of a number, or nil.
func (h barrierHome) generation(object, number uint64) *barrier {
	for _, b := range h.barriers[object] {
		if b.Generation == number {
			return b
		}
	}
	return nil
}

// admit says what is wrong with a request before it changes anything. A node
// checks a seat and a round itself before it asks.
func (h barrierHome) admit(m *Sync) error {
	if m.Kind == SyncJoin {
		return nil
	}
	b := h.generation(m.Object, m.Generation)
	if b == nil {
		return h.foreign(m, "there is no such generation of the barrier")
	}
	s, ok := b.seats[m.Index]
	if !ok || !s.is(m) {
		return h.foreign(m, "the party has no such seat")
	}
	if m.Kind == SyncArrive && (m.Round != b.Over+1 || s.Arrived == m.Round) {
		return h.foreign(m, "the party has arrived, or another round goes on")
	}
	return nil
}

// has says whether the party that a Join names has the seat.
func (b *barrier) has(m *Sync) bool {
	s, taken := b.seats[m.Index]
	return taken && s.is(m)
}

// open says whether a seat can be had, or whoever has it may come to a round. Who
// has left a seat is for the next generation.
func (b *barrier) open(index uint32) bool {
	return !b.Broken && !b.left[index]
}

// generationFor is the generation that a Join is for: the one in which the party has
// the seat, or else the oldest that is open for it, since a round of that one needs
// it. If there is none it makes the next one.
func (h barrierHome) generationFor(m *Sync) *barrier {
	all := h.barriers[m.Object]
	i := slices.IndexFunc(all, func(b *barrier) bool { return b.has(m) })
	if i < 0 {
		i = slices.IndexFunc(all, func(b *barrier) bool { return b.open(m.Index) })
	}
	if i >= 0 {
		return all[i]
	}
	h.generations++
	b := &barrier{Barrier: Barrier{Generation: h.generations, Parties: m.Parties}, seats: make(map[uint32]HomeSeat)}
	h.barriers[m.Object] = append(all, b)
	return b
}

// HomeRecvJoin gives a seat to a party.
func (h barrierHome) HomeRecvJoin(m *Sync) {
	b := h.generationFor(m)
	code := CodeOK
	_, taken := b.seats[m.Index]
	switch {
	case b.Parties != m.Parties:
		code = CodeMismatch
	case b.has(m):
	case taken:
		code = CodeMismatch
	default:
		b.seats[m.Index] = HomeSeat{Index: m.Index, Node: m.From.Node, Party: m.Party}
		b.count(m.From.Node, 1)
	}
	joined := Sync{Object: m.Object, Party: m.Party, Request: m.Request, Index: m.Index, Parties: m.Parties}
	if code == CodeOK {
		joined.Generation = b.Generation
	}
	h.toNode(m.From.Node, SyncJoined, code, joined)
	h.check(m.Object)
}

// HomeRecvArrive counts an arrival; the last one ends the round. What arrives
// at a broken barrier has crossed Broken.
func (h barrierHome) HomeRecvArrive(m *Sync) {
	b := h.generation(m.Object, m.Generation)
	s := b.seats[m.Index]
	s.Arrived = m.Round
	b.seats[m.Index] = s
	if b.Broken {
		return
	}
	b.Arrived++
	if b.Arrived < b.Parties {
		return
	}
	b.Arrived = 0
	b.Over++
	for _, n := range b.nodes {
		h.toNode(n.node, SyncDone, CodeOK, Sync{Envelope: Envelope{Generation: b.Generation}, Object: m.Object, Round: b.Over})
	}
	if len(b.left) > 0 {
		h.breakUp(m.Object, b)
	}
	h.check(m.Object)
}

// HomeRecvLeave takes a seat back, from a party that leaves or has died.
func (h barrierHome) HomeRecvLeave(m *Sync) {
	b := h.generation(m.Object, m.Generation)
	s := b.seats[m.Index]
	delete(b.seats, m.Index)
	b.count(s.Node, -1)
	h.toNode(m.From.Node, SyncLeft, CodeOK, Sync{Envelope: Envelope{Generation: m.Generation}, Object: m.Object,
		Party: m.Party, Request: m.Request, Index: m.Index})
	switch {
	case len(b.seats) == 0:
		forget(h.barriers, m.Object, b)
	case b.Broken:
	case m.Code == CodeOK && s.Arrived == b.Over+1:
		if b.left == nil {
			b.left = make(map[uint32]bool)
		}
		b.left[m.Index] = true
	default:
		h.breakUp(m.Object, b)
	}
	h.check(m.Object)
}

func (h barrierHome) breakUp(object uint64, b *barrier) {
	b.Broken = true
	for _, n := range b.nodes {
		h.toNode(n.node, SyncBroken, CodeOK, Sync{Envelope: Envelope{Generation: b.Generation}, Object: object})
	}
}

// check runs what holds of a barrier at its home after each step.
func (h barrierHome) check(object uint64) {
	if !invariantsOn {
		return
	}
	all := h.barriers[object]
	for i, b := range all {
		if !b.counts() || slices.ContainsFunc(all[:i], func(older *barrier) bool { return older.Generation >= b.Generation }) {
			panic(fmt.Sprintf("mome: BarrierInv violated at node %d for %#x: %+v", h.self, object, *b))
		}
		if older := slices.IndexFunc(all[:i], func(older *barrier) bool { return !b.behind(older) }); older >= 0 {
			panic(fmt.Sprintf("mome: TurnInv violated at node %d for %#x: %+v before %+v", h.self, object, *all[older], *b))
		}
	}
}

// counts is BarrierInv for one generation.
func (b *barrier) counts() bool {
	seats, counted := 0, len(b.left)
	for _, n := range b.nodes {
		seats += n.seats
	}
	for _, s := range b.seats {
		if s.Arrived == b.Over+1 {
			counted++
		}
	}
	held := len(b.seats) + len(b.left)
	return len(b.seats) > 0 && seats == len(b.seats) && held <= int(b.Parties) && b.Arrived < b.Parties &&
		(b.Broken || int(b.Arrived) == counted && (b.Over == 0 || held == int(b.Parties)))
}

// behind is TurnInv for a generation and an older one.
func (b *barrier) behind(older *barrier) bool {
	if older.Broken {
		return true
	}
	for index := range b.seats {
		if !older.left[index] {
			return false
		}
	}
	for index := range b.left {
		if !older.left[index] {
			return false
		}
	}
	return true
}
