package explore

import (
	"bytes"
	"encoding/json"
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

	managerTexts texts[protocol.ManagerState]
	leafTexts    texts[protocol.LeafState]
}

// texts is what encoded managers or leaves say. A model has few of either, in many
// states: each is read once.
type texts[T any] map[string]T

func (t texts[T]) read(text []byte) T {
	v, ok := t[string(text)]
	if !ok {
		if err := json.Unmarshal(text, &v); err != nil {
			panic(fmt.Sprintf("explore: %s: %v", text, err))
		}
		t[string(text)] = v
	}
	return v
}

func newState(l *layout) *state {
	n := len(l.Places)
	s := &state{managers: make([]protocol.ManagerState, n), leaves: make([]protocol.LeafState, l.Leaves),
		frames: make([]content, l.Leaves), up: make([][]message, n), down: make([][]message, n), taken: make([]uint8, l.Leaves)}
	s.managerTexts, s.leafTexts = make(texts[protocol.ManagerState]), make(texts[protocol.LeafState])
	for i := range s.frames {
		s.frames[i] = hole
	}
	s.managers[l.Root].Right = protocol.Write
	return s
}

// copy makes s the same state as t, in its own memory. What a step puts in the
// place of a manager or a leaf is new.
func (s *state) copy(t *state) {
	copy(s.managers, t.managers)
	copy(s.leaves, t.leaves)
	copy(s.frames, t.frames)
	copy(s.taken, t.taken)
	s.home, s.data = t.home, append(s.data[:0], t.data...)
	for i := range t.up {
		s.up[i], s.down[i] = append(s.up[i][:0], t.up[i]...), append(s.down[i][:0], t.down[i]...)
	}
}

// The encoding of a state is the spec's state (two states have the same bytes
// there if and only if the spec does not tell them apart) and, behind it, taken.
// Managers and leaves are as a trace has them, without their history, each a line;
// of what the core has no states for each value takes one byte: a model has few
// nodes and contents.

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
		m := s.managers[i]
		m.Version = 0
		b = append(m.AppendJSON(b), '\n')
	}
	for i := range s.leaves {
		l := s.leaves[i]
		l.Version = 0
		b = append(l.AppendJSON(b), '\n', byte(s.frames[i]))
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
	line := func() []byte {
		text, rest, _ := bytes.Cut(b, []byte("\n"))
		b = rest
		return text
	}
	for i := len(s.leaves); i < len(s.managers); i++ {
		s.managers[i] = s.managerTexts.read(line())
	}
	for i := range s.leaves {
		s.leaves[i] = s.leafTexts.read(line())
		s.frames[i] = content(next())
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
