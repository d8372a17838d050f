package protocol

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
)

// meeting is a barrier as a node knows it. It is remembered while the node has
// a seat there.
type meeting struct {
	parties uint32
	over    uint64 // rounds that are over, as far as the home has said
	broken  bool
	seats   []seat // of this node, by index
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

// seat is the seat that a party has and is not leaving, or nil.
func (c barrierClient) seat(object uint64, index uint32, id uint64) (*meeting, *seat) {
	m := c.meetings[object]
	if m == nil {
		return nil, nil
	}
	i, ok := m.at(index)
	if !ok || m.seats[i].party != id || m.seats[i].leaving {
		return m, nil
	}
	return m, &m.seats[i]
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
	c.beginCall(call{SyncJoin, in.Index, in.Object, in.Party, in.Request})
	c.toHome(SyncJoin, CodeOK, Sync{Object: in.Object, Party: in.Party, Request: in.Request,
		Count: in.Index, Fence: uint64(in.Parties)})
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
	if s.arrived < in.Round || broken(bugArriveAgain) {
		s.arrived = in.Round
		c.toHome(SyncArrive, CodeOK, Sync{Object: in.Object, Party: in.Party, Count: in.Index, Fence: in.Round})
	}
}

// LeaveBarrier gives a seat up. Who still waits in it waits in vain.
func (c barrierClient) LeaveBarrier(in *SyncInput) {
	_, s := c.seat(in.Object, in.Index, in.Party)
	if s == nil {
		c.refuse(in, CodeMismatch)
		return
	}
	if !c.mayCall(in.Party) {
		c.refuse(in, CodeLimit)
		return
	}
	c.leave(in.Object, s, in.Request, CodeOK)
}

func (c barrierClient) leave(object uint64, s *seat, request uint64, code SyncCode) {
	c.endWaits(s, CodePartyDied)
	s.leaving = true
	c.beginCall(call{SyncLeave, s.index, object, s.party, request})
	c.toHome(SyncLeave, code, Sync{Object: object, Party: s.party, Request: request, Count: s.index})
}

func (c barrierClient) endWaits(s *seat, code SyncCode) {
	for _, r := range s.waits {
		c.answer(Answer{Kind: InBarrierWait, Code: code, Party: s.party, Request: r})
	}
	s.waits = s.waits[:0]
}

// abandonSeats leaves every seat of a dead party.
func (c barrierClient) abandonSeats(id uint64) {
	objects := c.touches(id, SyncJoin, SyncLeave)
	for object, m := range c.meetings {
		if slices.ContainsFunc(m.seats, func(s seat) bool { return s.party == id }) {
			objects = append(objects, object)
		}
	}
	for _, object := range sorted(objects) {
		if m := c.meetings[object]; m != nil {
			for i := range m.seats {
				if s := &m.seats[i]; s.party == id && !s.leaving {
					c.leave(object, s, 0, CodePartyDied)
				}
			}
		}
		c.observeDeath(id, object, true)
	}
}

// admit says what is wrong with an answer of a home before it changes anything.
func (c barrierClient) admit(msg *Sync) error {
	m := c.meetings[msg.Object]
	switch SyncKind(msg.Kind) {
	case SyncJoined:
		if c.calls[barrierCall(SyncJoin, msg)] == 0 {
			return c.foreign(msg, "nobody asked to join")
		}
		if SyncCode(msg.Code) != CodeOK || m == nil {
			return nil
		}
		i, taken := m.at(msg.Count)
		if taken && m.seats[i].party != msg.Party || !taken && (m.broken || m.over != 0) ||
			uint64(m.parties) != msg.Fence {
			return c.foreign(msg, "the seat cannot be had")
		}
	case SyncDone:
		if m == nil || m.broken || msg.Fence != m.over+1 {
			return c.foreign(msg, "the round is not the one that goes on")
		}
		for i := range m.seats {
			if m.seats[i].arrived != msg.Fence {
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
	return call{kind, m.Count, m.Object, m.Party, m.Request}
}

// RecvJoined is the end of a Join. The seat of a party that has died meanwhile
// is left at once.
func (c barrierClient) RecvJoined(msg *Sync) {
	c.endCall(barrierCall(SyncJoin, msg))
	if SyncCode(msg.Code) == CodeOK {
		c.sit(msg)
	}
	c.answer(Answer{Kind: InBarrierJoin, Code: SyncCode(msg.Code), Party: msg.Party, Request: msg.Request})
	c.settle(msg.Party)
}

func (c barrierClient) sit(msg *Sync) {
	m := c.meetings[msg.Object]
	if m == nil {
		m = &meeting{parties: uint32(msg.Fence)}
		c.meetings[msg.Object] = m
	}
	i, taken := m.at(msg.Count)
	if taken {
		return
	}
	p := c.enter(msg.Party)
	p.seats++
	m.seats = slices.Insert(m.seats, i, seat{index: msg.Count, party: msg.Party})
	if p.dead && !broken(bugDeadSits) {
		c.leave(msg.Object, &m.seats[i], 0, CodePartyDied)
	}
}

// RecvDone ends a round for all seats of the node, in the order of indices.
func (c barrierClient) RecvDone(msg *Sync) {
	m := c.meetings[msg.Object]
	m.over = msg.Fence
	for i := range m.seats {
		c.endWaits(&m.seats[i], CodeOK)
	}
}

// RecvBroken ends the barrier's use for all seats of the node.
func (c barrierClient) RecvBroken(msg *Sync) {
	m := c.meetings[msg.Object]
	m.broken = true
	for i := range m.seats {
		c.endWaits(&m.seats[i], CodePartyDied)
	}
}

// RecvLeft is the end of a Leave.
func (c barrierClient) RecvLeft(msg *Sync) {
	c.endCall(barrierCall(SyncLeave, msg))
	m := c.meetings[msg.Object]
	i, _ := m.at(msg.Count)
	m.seats = slices.Delete(m.seats, i, i+1)
	c.parties[msg.Party].seats--
	if len(m.seats) == 0 {
		delete(c.meetings, msg.Object)
	}
	c.answer(Answer{Kind: InBarrierLeave, Party: msg.Party, Request: msg.Request})
	c.settle(msg.Party)
}

// barrier is a barrier at its home. It is remembered while a seat is taken.
//
// A party that leaves before it has arrived in the round that goes on, or that
// dies, breaks the barrier: no round will be over any more, and no seat can be
// had until all have left. One that has arrived and leaves breaks it when the
// round is over: the round does not need it, so that who is late may still come,
// to another seat.
type barrier struct {
	parties uint32
	arrived uint32 // in the round that goes on, by parties that may have left since
	broken  bool
	over    uint64
	left    map[uint32]bool     // the seats whose parties have left behind their arrival; nil: none
	seats   map[uint32]homeSeat // by index
	nodes   []nodeSeats         // who is told, by node
}

type homeSeat struct {
	node    addr.NodeID
	party   uint64
	arrived uint64 // the last round
}

func (s homeSeat) is(m *Sync) bool { return s.node == m.From && s.party == m.Party }

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

// admit says what is wrong with a request before it changes anything. A node
// checks a seat and a round itself before it asks.
func (h barrierHome) admit(m *Sync) error {
	if SyncKind(m.Kind) == SyncJoin {
		return nil
	}
	b := h.barriers[m.Object]
	if b == nil {
		return h.foreign(m, "there is no such barrier")
	}
	s, ok := b.seats[m.Count]
	if !ok || !s.is(m) {
		return h.foreign(m, "the party has no such seat")
	}
	if SyncKind(m.Kind) == SyncArrive && (m.Fence != b.over+1 || s.arrived == m.Fence) {
		return h.foreign(m, "the party has arrived, or another round goes on")
	}
	return nil
}

// HomeRecvJoin gives a seat to a party.
func (h barrierHome) HomeRecvJoin(m *Sync) {
	b := h.barriers[m.Object]
	if b == nil {
		b = &barrier{parties: uint32(m.Fence), seats: make(map[uint32]homeSeat)}
		h.barriers[m.Object] = b
	}
	code := CodeOK
	s, taken := b.seats[m.Count]
	switch {
	case uint64(b.parties) != m.Fence:
		code = CodeMismatch
	case taken && s.is(m):
	case b.broken || b.left[m.Count] && !broken(bugLeftSeatGiven) || len(b.left) > 0 && broken(bugClosedToLate):
		code = CodePartyDied
	case taken && !broken(bugSeatTwice):
		code = CodeMismatch
	default:
		b.seats[m.Count] = homeSeat{node: m.From, party: m.Party}
		b.count(m.From, 1)
	}
	h.send(m.From, addr.Root, SyncJoined, code, Sync{Object: m.Object, Party: m.Party, Request: m.Request,
		Count: m.Count, Fence: m.Fence})
	h.check(m.Object)
}

// HomeRecvArrive counts an arrival; the last one ends the round. What arrives
// at a broken barrier has crossed Broken.
func (h barrierHome) HomeRecvArrive(m *Sync) {
	b := h.barriers[m.Object]
	s := b.seats[m.Count]
	s.arrived = m.Fence
	b.seats[m.Count] = s
	if b.broken && !broken(bugRoundAfterBroken) {
		return
	}
	b.arrived++
	if b.arrived < b.parties && !(b.arrived+1 == b.parties && broken(bugOneTooFew)) {
		return
	}
	if !broken(bugArrivalsStay) {
		b.arrived = 0
	}
	b.over++
	for i, n := range b.nodes {
		if i > 0 && broken(bugDoneToOne) {
			break
		}
		h.send(n.node, addr.Root, SyncDone, CodeOK, Sync{Object: m.Object, Fence: b.over})
	}
	if len(b.left) > 0 && !broken(bugLeftForgotten) {
		h.breakUp(m.Object, b)
	}
	h.check(m.Object)
}

// HomeRecvLeave takes a seat back, from a party that leaves or has died.
func (h barrierHome) HomeRecvLeave(m *Sync) {
	b := h.barriers[m.Object]
	s := b.seats[m.Count]
	delete(b.seats, m.Count)
	b.count(s.node, -1)
	h.send(m.From, addr.Root, SyncLeft, CodeOK, Sync{Object: m.Object, Party: m.Party, Request: m.Request, Count: m.Count})
	switch {
	case len(b.seats) == 0:
		delete(h.barriers, m.Object)
	case b.broken:
	case (SyncCode(m.Code) == CodeOK || broken(bugDeathLeaves)) && s.arrived == b.over+1 && !broken(bugLeaveBreaks):
		if b.left == nil {
			b.left = make(map[uint32]bool)
		}
		b.left[m.Count] = true
	default:
		h.breakUp(m.Object, b)
	}
	h.check(m.Object)
}

func (h barrierHome) breakUp(object uint64, b *barrier) {
	b.broken = true
	if broken(bugBrokenUntold) {
		return
	}
	for _, n := range b.nodes {
		h.send(n.node, addr.Root, SyncBroken, CodeOK, Sync{Object: object})
	}
}

// check runs what holds of a barrier at its home after each step.
func (h barrierHome) check(object uint64) {
	b := h.barriers[object]
	if !invariantsOn || b == nil {
		return
	}
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
	if len(b.seats) == 0 || seats != len(b.seats) || held > int(b.parties) || b.arrived >= b.parties ||
		!b.broken && (int(b.arrived) != counted || b.over > 0 && held != int(b.parties)) {
		panic(fmt.Sprintf("mome: BarrierInv violated at node %d for %#x: %+v", h.self, object, *b))
	}
}
