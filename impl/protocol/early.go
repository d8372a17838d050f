package protocol

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
)

// Early is the messages that a node postpones because they are ahead of its
// configuration (ErrEarly), until it has a later one: PostponeEarly of
// spec/segment/Segment.tla. C is the content that came with a message. The zero
// value is empty.
//
// Nothing overtakes what is postponed: what follows from the same node about the same
// page is about the same generation or a later one, and so is early itself.
type Early[C any] struct {
	postponed []earlyMessage[C] // in the order in which they came
	// moot counts what went since its sender had left the segment, by sender.
	moot map[addr.NodeID]int
}

type earlyMessage[C any] struct {
	msg     Message
	content C
}

// Postpone puts a message off. What its sender has said about an older generation of the
// page goes: he has left that one, and waits for no answer. So of what a leaf or
// a manager of his asks about a page there is one request. ErrForeign: there are as
// many from that node already as most.
func (e *Early[C]) Postpone(m *Message, content C, most int) error {
	before := len(e.postponed)
	e.postponed = slices.DeleteFunc(e.postponed, func(k earlyMessage[C]) bool {
		return k.msg.From.Node == m.From.Node && k.msg.Page == m.Page && k.msg.Generation < m.Generation
	})
	if gone := before - len(e.postponed); gone > 0 {
		if e.moot == nil {
			e.moot = make(map[addr.NodeID]int)
		}
		e.moot[m.From.Node] += gone
	}
	from := 0
	for i := range e.postponed {
		if e.postponed[i].msg.From.Node == m.From.Node {
			from++
		}
	}
	if from >= most {
		return fmt.Errorf("%w: more than %d messages about segments that are not there", ErrForeign, most)
	}
	e.postponed = append(e.postponed, earlyMessage[C]{*m, content})
	return nil
}

// Replay gives take what is postponed, in its order, after Configure. What take says
// ErrEarly of stays postponed.
func (e *Early[C]) Replay(take func(*Message, C) error) {
	postponed := e.postponed
	e.postponed = nil
	for i := range postponed {
		if err := take(&postponed[i].msg, postponed[i].content); errors.Is(err, ErrEarly) {
			e.postponed = append(e.postponed, postponed[i])
		}
	}
}

// Len is how many messages are postponed.
func (e *Early[C]) Len() int { return len(e.postponed) }

// Untaken is how many messages of a node no core has taken: those that are postponed, and
// those that went since the node had left the segment.
func (e *Early[C]) Untaken(from addr.NodeID) (postponed, moot int) {
	for i := range e.postponed {
		if e.postponed[i].msg.From.Node == from {
			postponed++
		}
	}
	return postponed, e.moot[from]
}

// All calls yield for each message that is postponed and its content, in their order.
func (e *Early[C]) All(yield func(*Message, C) bool) {
	for i := range e.postponed {
		if !yield(&e.postponed[i].msg, e.postponed[i].content) {
			return
		}
	}
}
