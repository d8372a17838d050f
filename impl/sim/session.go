package sim

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// packet is one message under way, with the word of its page.
type packet struct {
	msg   protocol.Message
	word  uint64
	early bool // it has been: its node keeps it
}

// frame is what one step of the core sends to one peer.
type frame struct {
	seq     uint64
	packets []*packet
}

// session is one direction of a link: a simulation of the session rules of
// impl/wire, not its code. Frames are numbered, and the sender keeps them until
// the cumulative acknowledgement. A connection carries them in order, and loses
// what it holds when it breaks. A new connection begins with all that is kept,
// and the receiver drops what it has.
type session struct {
	from, to addr.NodeID
	sent     uint64    // number of the last frame
	kept     []frame   // not yet acknowledged
	conns    [][]frame // in flight, oldest connection first; the last one is in use
	received uint64
	inbox    []*packet // received, not yet taken by the core
	active   int       // place in World.active, or -1
}

type pair struct{ from, to addr.NodeID }

func (w *World) session(from, to addr.NodeID) *session {
	s := w.sessions[pair{from, to}]
	if s == nil {
		s = &session{from: from, to: to, conns: make([][]frame, 1), active: -1}
		w.sessions[pair{from, to}] = s
	}
	return s
}

// inFlight are the connections that carry something.
func (s *session) inFlight() (conns []int) {
	for i, c := range s.conns {
		if len(c) > 0 {
			conns = append(conns, i)
		}
	}
	return conns
}

// idle says whether nothing is under way.
func (s *session) idle() bool {
	for _, c := range s.conns {
		if len(c) > 0 {
			return false
		}
	}
	return len(s.inbox) == 0
}

// note keeps World.active up to date.
func (w *World) note(s *session) {
	switch idle := s.idle(); {
	case !idle && s.active < 0:
		s.active = len(w.active)
		w.active = append(w.active, s)
	case idle && s.active >= 0:
		last := w.active[len(w.active)-1]
		w.active[s.active] = last
		last.active = s.active
		w.active = w.active[:len(w.active)-1]
		s.active = -1
	}
}

// send passes the packets of one step to the session.
func (w *World) send(from, to addr.NodeID, packets []*packet) {
	s := w.session(from, to)
	s.sent++
	f := frame{s.sent, packets}
	s.kept = append(s.kept, f)
	last := len(s.conns) - 1
	s.conns[last] = append(s.conns[last], f)
	w.note(s)
}

// transfer takes the first frame of a connection to the receiver.
func (w *World) transfer(s *session, conn int) {
	f := s.conns[conn][0]
	s.conns[conn] = s.conns[conn][1:]
	switch {
	case f.seq <= s.received:
		w.Duplicates++
	case f.seq == s.received+1:
		s.received++
		s.inbox = append(s.inbox, f.packets...)
	default:
		panic(fmt.Sprintf("sim: the simulated session lost frame %d of %d->%d", s.received+1, s.from, s.to))
	}
	if len(s.conns[conn]) == 0 && conn < len(s.conns)-1 {
		s.conns = append(s.conns[:conn:conn], s.conns[conn+1:]...)
	}
	if !w.cfg.Breaks {
		s.acknowledge()
	}
	w.note(s)
}

// acknowledge brings the cumulative acknowledgement to the sender.
func (s *session) acknowledge() {
	for len(s.kept) > 0 && s.kept[0].seq <= s.received {
		s.kept = s.kept[1:]
	}
}

// dial begins a new connection; the former ones go on, or break with what they
// hold.
func (w *World) dial(s *session, breaks bool) {
	if breaks {
		s.conns = nil
		w.Broken++
	}
	s.conns = append(s.conns, append([]frame(nil), s.kept...))
	w.note(s)
}
