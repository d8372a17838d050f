package protocol

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
)

// meeting is a generation of a barrier as a node knows it. It is remembered while
// the node has a seat in it.
type meeting struct {
	generation uint64
	parties    uint32
	over       uint64 // rounds that are over, as far as the home has said
	broken     bool
	seats      []seat // of this node, by index
}

// seat is one party's place at a barrier, at the party's node.
type seat struct {
	index   uint32
	leaving bool // a Leave is on its way
	party   uint64
	arrived uint64   // the last round for which an Arrive was sent
	waits   []uint64 // requests for the round after meeting.over, at most MaxWaits
}

// at is the place of an index among the seats, and whether it is taken.
func (m *meeting) at(index uint32) (int, bool) {
	return slices.BinarySearchFunc(m.seats, index, func(s seat, i uint32) int { return cmp.Compare(s.index, i) })
}

// barrierClient is the part of a node that stands between its processes and the
// homes of barriers.
type barrierClient struct{ *SyncNode }

// seat is the seat that a party has and is not leaving, with its generation, or
// nil. It has one at most.
func (c barrierClient) seat(object uint64, index uint32, id uint64) (*meeting, *seat) {
	for _, m := range c.meetings[object] {
		if i, ok := m.at(index); ok && m.seats[i].party == id && !m.seats[i].leaving {
			return m, &m.seats[i]
		}
	}
	return nil, nil
}

// meeting is the generation of a number, or nil.
func (c barrierClient) meeting(object, generation uint64) *meeting {
	for _, m := range c.meetings[object] {
		if m.generation == generation {
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
		if m.parties != in.Parties {
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
	case s == nil || m.parties != in.Parties:
		c.refuse(in, CodeMismatch)
		return
	case in.Round <= m.over:
		c.refuse(in, CodeOK)
		return
	case m.broken:
		c.refuse(in, CodePartyDied)
		return
	case in.Round != m.over+1:
		c.refuse(in, CodeMismatch)
		return
	}
	if len(s.waits) == MaxWaits {
		c.answer(Answer{Kind: InBarrierWait, Code: CodeCanceled, Party: s.party, Request: s.waits[0]})
		s.waits = slices.Delete(s.waits, 0, 1)
	}
	s.waits = append(s.waits, in.Request)
	if s.arrived < in.Round {
		s.arrived = in.Round
		c.toHome(SyncArrive, CodeOK, Sync{Envelope: Envelope{Generation: m.generation}, Object: in.Object,
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
	c.leave(in.Object, m.generation, s, in.Request, CodeOK)
}

func (c barrierClient) leave(object, generation uint64, s *seat, request uint64, code SyncCode) {
	c.endWaits(s, CodePartyDied)
	s.leaving = true
	c.beginCall(call{SyncLeave, s.index, object, generation, s.party, request})
	c.toHome(SyncLeave, code, Sync{Envelope: Envelope{Generation: generation}, Object: object,
		Party: s.party, Request: request, Index: s.index})
}

func (c barrierClient) endWaits(s *seat, code SyncCode) {
	for _, r := range s.waits {
		c.answer(Answer{Kind: InBarrierWait, Code: code, Party: s.party, Request: r})
	}
	s.waits = s.waits[:0]
}

// abandonSeats leaves every seat of a dead party, in the order of objects and of
// indices.
func (c barrierClient) abandonSeats(id uint64) {
	objects := c.touches(id, SyncJoin, SyncLeave)
	for object, generations := range c.meetings {
		for _, m := range generations {
			if slices.ContainsFunc(m.seats, func(s seat) bool { return s.party == id }) {
				objects = append(objects, object)
			}
		}
	}
	for _, object := range sorted(objects) {
		var indices []uint32
		for _, m := range c.meetings[object] {
			for _, s := range m.seats {
				if s.party == id && !s.leaving {
					indices = append(indices, s.index)
				}
			}
		}
		slices.Sort(indices)
		for _, index := range indices {
			m, s := c.seat(object, index, id)
			c.leave(object, m.generation, s, 0, CodePartyDied)
		}
		c.observeDeath(id, object, true)
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
		if taken && m.seats[i].party != msg.Party || !taken && (m.broken || m.over != 0) ||
			m.parties != msg.Parties {
			return c.foreign(msg, "the seat cannot be had")
		}
	case SyncDone:
		if m == nil || m.broken || msg.Round != m.over+1 {
			return c.foreign(msg, "the round is not the one that goes on")
		}
		for i := range m.seats {
			if m.seats[i].arrived != msg.Round {
				return c.foreign(msg, "a party has not arrived")
			}
		}
	case SyncBroken:
		if m == nil || m.broken {
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
		m = &meeting{generation: msg.Generation, parties: msg.Parties}
		c.meetings[msg.Object] = append(c.meetings[msg.Object], m)
	}
	i, taken := m.at(msg.Index)
	if taken {
		return
	}
	p := c.enter(msg.Party)
	p.seats++
	m.seats = slices.Insert(m.seats, i, seat{index: msg.Index, party: msg.Party})
	if p.dead {
		c.leave(msg.Object, m.generation, &m.seats[i], 0, CodePartyDied)
	}
}

// RecvDone ends a round for all seats of the node in a generation, in the order of
// indices.
func (c barrierClient) RecvDone(msg *Sync) {
	m := c.meeting(msg.Object, msg.Generation)
	m.over = msg.Round
	for i := range m.seats {
		c.endWaits(&m.seats[i], CodeOK)
	}
}

// RecvBroken ends the use of a generation for all seats of the node.
func (c barrierClient) RecvBroken(msg *Sync) {
	m := c.meeting(msg.Object, msg.Generation)
	m.broken = true
	for i := range m.seats {
		c.endWaits(&m.seats[i], CodePartyDied)
	}
}

// RecvLeft is the end of a Leave.
func (c barrierClient) RecvLeft(msg *Sync) {
	c.endCall(barrierCall(SyncLeave, msg))
	m := c.meeting(msg.Object, msg.Generation)
	i, _ := m.at(msg.Index)
	m.seats = slices.Delete(m.seats, i, i+1)
	c.parties[msg.Party].seats--
	if len(m.seats) == 0 {
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

// barrier is one generation of a barrier's name at its home. It is made by a party
// that no older one has room for, and remembered while a seat is taken.
//
// A party that leaves before it has arrived in the round that goes on, or that
// dies, breaks the generation: no round of it will be over any more, and no seat of
// it can be had. One that has arrived and leaves breaks it when the round is over:
// the round does not need it, so that who is late may still come, to another seat.
// Who comes to a seat that was left, or to what is broken, is for the next
// generation.
type barrier struct {
	generation uint64
	parties    uint32
	arrived    uint32 // in the round that goes on, by parties that may have left since
	broken     bool
	over       uint64
	left       map[uint32]bool     // the seats whose parties have left behind their arrival; nil: none
	seats      map[uint32]homeSeat // by index
	nodes      []nodeSeats         // who is told, by node
}

type homeSeat struct {
	node    addr.NodeID
	party   uint64
	arrived uint64 // the last round
}

func (s homeSeat) is(m *Sync) bool { return s.node == m.From.Node && s.party == m.Party }

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
		if b.generation == number {
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
	if m.Kind == SyncArrive && (m.Round != b.over+1 || s.arrived == m.Round) {
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
	return !b.broken && !b.left[index]
}

// place is the generation that a Join is for: the one in which the party has the
// seat, or else the oldest that is open for it, since a round of that one needs it.
// If there is none it makes the next one.
func (h barrierHome) place(m *Sync) *barrier {
	all := h.barriers[m.Object]
	i := slices.IndexFunc(all, func(b *barrier) bool { return b.has(m) })
	if i < 0 {
		i = slices.IndexFunc(all, func(b *barrier) bool { return b.open(m.Index) })
	}
	if i >= 0 {
		return all[i]
	}
	h.generations++
	b := &barrier{generation: h.generations, parties: m.Parties, seats: make(map[uint32]homeSeat)}
	h.barriers[m.Object] = append(all, b)
	return b
}

// HomeRecvJoin gives a seat to a party.
func (h barrierHome) HomeRecvJoin(m *Sync) {
	b := h.place(m)
	code := CodeOK
	_, taken := b.seats[m.Index]
	switch {
	case b.parties != m.Parties:
		code = CodeMismatch
	case b.has(m):
	case taken:
		code = CodeMismatch
	default:
		b.seats[m.Index] = homeSeat{node: m.From.Node, party: m.Party}
		b.count(m.From.Node, 1)
	}
	joined := Sync{Object: m.Object, Party: m.Party, Request: m.Request, Index: m.Index, Parties: m.Parties}
	if code == CodeOK {
		joined.Generation = b.generation
	}
	h.toNode(m.From.Node, SyncJoined, code, joined)
	h.check(m.Object)
}

// HomeRecvArrive counts an arrival; the last one ends the round. What arrives
// at a broken barrier has crossed Broken.
func (h barrierHome) HomeRecvArrive(m *Sync) {
	b := h.generation(m.Object, m.Generation)
	s := b.seats[m.Index]
	s.arrived = m.Round
	b.seats[m.Index] = s
	if b.broken {
		return
	}
	b.arrived++
	if b.arrived < b.parties {
		return
	}
	b.arrived = 0
	b.over++
	for _, n := range b.nodes {
		h.toNode(n.node, SyncDone, CodeOK, Sync{Envelope: Envelope{Generation: b.generation}, Object: m.Object, Round: b.over})
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
	b.count(s.node, -1)
	h.toNode(m.From.Node, SyncLeft, CodeOK, Sync{Envelope: Envelope{Generation: m.Generation}, Object: m.Object,
		Party: m.Party, Request: m.Request, Index: m.Index})
	switch {
	case len(b.seats) == 0:
		forget(h.barriers, m.Object, b)
	case b.broken:
	case m.Code == CodeOK && s.arrived == b.over+1:
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
	b.broken = true
	for _, n := range b.nodes {
		h.toNode(n.node, SyncBroken, CodeOK, Sync{Envelope: Envelope{Generation: b.generation}, Object: object})
	}
}

// check runs what holds of a barrier at its home after each step.
func (h barrierHome) check(object uint64) {
	if !invariantsOn {
		return
	}
	all := h.barriers[object]
	for i, b := range all {
		if !b.counts() || slices.ContainsFunc(all[:i], func(older *barrier) bool { return older.generation >= b.generation }) {
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
		if s.arrived == b.over+1 {
			counted++
		}
	}
	held := len(b.seats) + len(b.left)
	return len(b.seats) > 0 && seats == len(b.seats) && held <= int(b.parties) && b.arrived < b.parties &&
		(b.broken || int(b.arrived) == counted && (b.over == 0 || held == int(b.parties)))
}

// behind is TurnInv for a generation and an older one.
func (b *barrier) behind(older *barrier) bool {
	if older.broken {
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
