package protocol

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
)

// Early is the messages that a node keeps because they are ahead of its
// configuration (ErrEarly), until it has a later one: KeepEarly of
// spec/segment/Segment.tla. C is the content that came with a message. The zero
// value is empty.
//
// Nothing overtakes what is kept: what follows from the same node about the same
// page is about the same generation or a later one, and so is early itself.
type Early[C any] struct {
	kept []earlyMessage[C] // in the order in which they came
	// moot counts what went since its sender had left the segment, by sender.
	moot map[addr.NodeID]int
}

type earlyMessage[C any] struct {
	msg     Message
	content C
}

// Keep keeps a message. What its sender has said about an older generation of the
// page goes: he has left that one, and waits for no answer. So of what a leaf or
// a manager of his asks about a page there is one request. ErrForeign: there are as
// many from that node already as most.
func (e *Early[C]) Keep(m *Message, content C, most int) error {
	before := len(e.kept)
	e.kept = slices.DeleteFunc(e.kept, func(k earlyMessage[C]) bool {
		return k.msg.From.Node == m.From.Node && k.msg.Page == m.Page && k.msg.Generation < m.Generation
	})
	if gone := before - len(e.kept); gone > 0 {
		if e.moot == nil {
			e.moot = make(map[addr.NodeID]int)
		}
		e.moot[m.From.Node] += gone
	}
	from := 0
	for i := range e.kept {
		if e.kept[i].msg.From.Node == m.From.Node {
			from++
		}
	}
	if from >= most {
		return fmt.Errorf("%w: more than %d messages about segments that are not there", ErrForeign, most)
	}
	e.kept = append(e.kept, earlyMessage[C]{*m, content})
	return nil
}

// Replay gives take what is kept, in its order, after Configure. What take says
// ErrEarly of is kept on.
func (e *Early[C]) Replay(take func(*Message, C) error) {
	kept := e.kept
	e.kept = nil
	for i := range kept {
		if err := take(&kept[i].msg, kept[i].content); errors.Is(err, ErrEarly) {
			e.kept = append(e.kept, kept[i])
		}
	}
}

// Len is how many messages are kept.
func (e *Early[C]) Len() int { return len(e.kept) }

// Untaken is how many messages of a node no core has taken: those that are kept, and
// those that went since the node had left the segment.
func (e *Early[C]) Untaken(from addr.NodeID) (kept, moot int) {
	for i := range e.kept {
		if e.kept[i].msg.From.Node == from {
			kept++
		}
	}
	return kept, e.moot[from]
}

// All calls yield for each message that is kept and its content, in their order.
func (e *Early[C]) All(yield func(*Message, C) bool) {
	for i := range e.kept {
		if !yield(&e.kept[i].msg, e.kept[i].content) {
			return
		}
	}
}
