package explore

import (
	"fmt"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// page is the one page of a model.
const page = addr.PageNum(0)

// content is what a frame or the home holds: 0 is zeros, hole nothing at all.
type content int8

const hole content = -1

// message is a page message without its history: what the spec's messages have.
type message struct {
	kind   protocol.Kind
	op     protocol.Op
	have   protocol.Right
	keep   protocol.Right
	source protocol.Source
	dst    protocol.Dst
	hit    bool
	leaf   addr.NodeID
}

func withoutHistory(m *protocol.Message) message {
	return message{m.Kind, m.Op, m.Have, m.Keep, m.Source, m.Dst, m.Hit, m.Leaf}
}

// carried is a Data on its way; to is a leaf, or the root for the home.
type carried struct {
	to  int
	val content
}

// state is a concrete state of a model: of the cores, of what is under way
// between them, and of what shells hold for them. Everything is by the index of
// the topology.
type state struct {
	managers []protocol.ManagerState // leaves have none
	leaves   []protocol.LeafState    // without what waits there: see taken
	frames   []content
	home     content
	up, down [][]message // the channels between a manager and its parent
	data     []carried
	// taken is how many messages at the head of down a leaf has taken in, and
	// keeps for later. The spec's leaf leaves them in the channel.
	taken []uint8
}

func newState(l *layout) *state {
	n := len(l.Places)
	s := &state{managers: make([]protocol.ManagerState, n), leaves: make([]protocol.LeafState, l.Leaves),
		frames: make([]content, l.Leaves), up: make([][]message, n), down: make([][]message, n), taken: make([]uint8, l.Leaves)}
	for i := range s.frames {
		s.frames[i] = hole
	}
	for i := range s.managers {
		s.managers[i].Owner = -1
	}
	s.managers[l.Root].Right, s.managers[l.Root].Virgin = protocol.Write, true
	return s
}

// The encoding of a state is the spec's state (two states have the same bytes
// there if and only if the spec does not tell them apart) and, behind it, taken.
// Each value takes one byte: a model has few children, nodes and contents.

func flags(bits ...bool) (b byte) {
	for i, set := range bits {
		if set {
			b |= 1 << i
		}
	}
	return b
}

func (s *state) encode(b []byte) []byte {
	for i := len(s.leaves); i < len(s.managers); i++ {
		m := &s.managers[i]
		b = append(b, byte(m.Right), byte(m.Marked), byte(m.Owner+1), byte(m.OwnerRight), flags(m.Stale, m.Virgin, m.Recall), byte(m.Busy))
		if m.Busy != protocol.OpNone {
			b = append(b, byte(m.BusyChild), byte(m.BusyLeaf), byte(m.BusyHave), flags(m.Climbing, m.WaitHome), byte(m.Wait), byte(m.Source))
		}
		if m.Recall {
			b = append(b, byte(m.RecallKeep), byte(m.RecallDst), byte(m.RecallLeaf), flags(m.RecallHit), byte(m.RecallWait))
		}
		b = append(b, byte(len(m.Queue)))
		for _, w := range m.Queue {
			b = append(b, flags(w.Recall), byte(w.Child), byte(w.Op), byte(w.Have), byte(w.Keep), byte(w.Dst), byte(w.Leaf))
		}
	}
	for i := range s.leaves {
		l := &s.leaves[i]
		b = append(b, byte(l.Right), byte(l.Req), byte(l.Have), flags(l.Arrived), byte(s.frames[i]))
	}
	b = append(b, byte(s.home))
	for _, channels := range [...][][]message{s.up, s.down} {
		for _, ch := range channels {
			b = append(b, byte(len(ch)))
			for _, m := range ch {
				b = append(b, byte(m.kind)<<4|byte(m.op), byte(m.have)<<4|byte(m.keep), byte(m.source)<<4|byte(m.dst)<<1|flags(m.hit), byte(m.leaf))
			}
		}
	}
	// The spec's data is a set.
	slices.SortFunc(s.data, func(x, y carried) int { return (x.to-y.to)<<8 + int(x.val-y.val) })
	b = append(b, byte(len(s.data)))
	for _, d := range s.data {
		b = append(b, byte(d.to), byte(d.val))
	}
	return append(b, s.taken...)
}

// decode fills a state, whose memory it uses again, from its encoding.
func (s *state) decode(b []byte) {
	next := func() byte {
		v := b[0]
		b = b[1:]
		return v
	}
	for i := len(s.leaves); i < len(s.managers); i++ {
		m := &s.managers[i]
		*m = protocol.ManagerState{Right: protocol.Right(b[0]), Marked: uint64(b[1]), Owner: int(b[2]) - 1, OwnerRight: protocol.Right(b[3]),
			Stale: b[4]&1 != 0, Virgin: b[4]&2 != 0, Recall: b[4]&4 != 0, Busy: protocol.Op(b[5]), Queue: m.Queue[:0]}
		b = b[6:]
		if m.Busy != protocol.OpNone {
			m.BusyChild, m.BusyLeaf, m.BusyHave = int(b[0]), addr.NodeID(b[1]), protocol.Right(b[2])
			m.Climbing, m.WaitHome, m.Wait, m.Source = b[3]&1 != 0, b[3]&2 != 0, uint64(b[4]), protocol.Source(b[5])
			b = b[6:]
		}
		if m.Recall {
			m.RecallKeep, m.RecallDst, m.RecallLeaf = protocol.Right(b[0]), protocol.Dst(b[1]), addr.NodeID(b[2])
			m.RecallHit, m.RecallWait = b[3] != 0, uint64(b[4])
			b = b[5:]
		}
		for range next() {
			m.Queue = append(m.Queue, protocol.Waiting{Recall: b[0] != 0, Child: int(b[1]), Op: protocol.Op(b[2]), Have: protocol.Right(b[3]),
				Keep: protocol.Right(b[4]), Dst: protocol.Dst(b[5]), Leaf: addr.NodeID(b[6])})
			b = b[7:]
		}
	}
	for i := range s.leaves {
		s.leaves[i] = protocol.LeafState{Right: protocol.Right(b[0]), Req: protocol.Op(b[1]), Have: protocol.Right(b[2]), Arrived: b[3] != 0}
		s.frames[i] = content(b[4])
		b = b[5:]
	}
	s.home = content(next())
	for _, channels := range [...][][]message{s.up, s.down} {
		for i := range channels {
			channels[i] = channels[i][:0]
			for range next() {
				channels[i] = append(channels[i], message{kind: protocol.Kind(b[0] >> 4), op: protocol.Op(b[0] & 15),
					have: protocol.Right(b[1] >> 4), keep: protocol.Right(b[1] & 15), source: protocol.Source(b[2] >> 4),
					dst: protocol.Dst(b[2] >> 1 & 7), hit: b[2]&1 != 0, leaf: addr.NodeID(b[3])})
				b = b[4:]
			}
		}
	}
	s.data = s.data[:0]
	for range next() {
		s.data = append(s.data, carried{int(b[0]), content(b[1])})
		b = b[2:]
	}
	copy(s.taken, b)
	if len(b) != len(s.taken) {
		panic(fmt.Sprintf("explore: %d bytes behind an encoded state", len(b)-len(s.taken)))
	}
}
