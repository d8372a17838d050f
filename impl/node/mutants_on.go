//go:build mutants

package node

import (
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/protocol"
)

var theBug bug

func broken(b bug) bool { return b == theBug }

// breakShell puts one mistake into every shard. 0 mends it.
func breakShell(b bug) { theBug = b }

// bugs are all mistakes.
func bugs() (all []bug) {
	for b := bug(1); b < numBugs; b++ {
		all = append(all, b)
	}
	return all
}

// unsent is what a broken shard appends behind its unlock.
var unsent = make(map[*shard][]func())

// send appends a message to a link.
func (s *shard) send(l sender, m *protocol.Message, page []byte) {
	if !broken(bugAppendBehindUnlock) {
		l.Append(m, page)
		return
	}
	msg, content := *m, slices.Clone(page)
	unsent[s] = append(unsent[s], func() { l.Append(&msg, content) })
}

func (s *shard) sendBehind() {
	if broken(bugAppendBehindUnlock) {
		list := unsent[s]
		delete(unsent, s)
		for _, f := range list {
			f()
		}
	}
}

// late is what a broken shard has put off, by page. What comes too late comes
// right before the node needs the page again, not a moment after its time: so
// whoever is let in before it, or not thrown out, sees the mistake, however
// slowly he runs.
type late map[addr.PageNum]omission

// omission is a step on a page that is still to be done: a punch, or a fill.
type omission struct {
	fill   []byte // nil: a punch
	mapped bool   // a process sees zeros in place of fill
}

// misorder carries out effects on one page in the wrong order, if this process
// is to be broken in that way (memory.BugVariable): each overtaking is an effect
// that comes before one that it must follow.
func (s *shard) misorder(effects []protocol.Effect) {
	var overtakes, overtaken func(*protocol.Effect) bool
	switch {
	case memory.Broken(memory.BugSendBeforeProtect):
		overtakes, overtaken = sendsFrame, is(protocol.FrameProtect)
	case memory.Broken(memory.BugPunchBeforeSend):
		overtakes, overtaken = is(protocol.FrameDrop), sendsFrame
	case memory.Broken(memory.BugAckBeforePunch):
		overtakes, overtaken = acknowledges, is(protocol.FrameDrop)
	default:
		return
	}
	for i := range effects {
		for j := i; j > 0 && effects[j-1].Page == effects[i].Page; j-- {
			if overtakes(&effects[i]) && overtaken(&effects[j-1]) {
				e := effects[i]
				copy(effects[j:], effects[j-1:i])
				effects[j-1] = e
				break
			}
		}
	}
}

// putOff says whether the effect is a punch that an acknowledgement has
// overtaken, which is put off.
func (s *shard) putOff(e *protocol.Effect) bool {
	if !memory.Broken(memory.BugAckBeforePunch) || e.Kind != protocol.FrameDrop || !s.overtaken(e) {
		return false
	}
	s.omit(e.Page, omission{})
	return true
}

// overtaken says whether the acknowledgement on the same page is before the effect.
func (s *shard) overtaken(e *protocol.Effect) bool {
	for i := range s.batch.Effects {
		if &s.batch.Effects[i] == e {
			return i > 0 && s.batch.Effects[i-1].Page == e.Page && acknowledges(&s.batch.Effects[i-1])
		}
	}
	return false
}

// withhold puts off the content of a page that was not granted yet.
func (s *shard) withhold(a arrival) bool {
	if !memory.Broken(memory.BugGrantBeforeFill) || a.content == nil {
		return false
	}
	s.omit(a.page, omission{fill: slices.Clone(a.content)})
	return true
}

// letInEarly maps zeros where content should be, and puts that off.
func (s *shard) letInEarly(r *run) {
	if !memory.Broken(memory.BugGrantBeforeFill) {
		return
	}
	for i := range r.n {
		p := r.first + addr.PageNum(i)
		o := s.late[p]
		if r.from == inContent {
			o.fill = slices.Clone(r.content[i<<addr.PageShift:][:addr.PageSize])
		} else if o.fill == nil || o.mapped {
			return // what a run has in its frames is in all of them
		}
		s.omit(p, omission{fill: o.fill, mapped: true})
	}
	r.from = inZeros
}

func (s *shard) omit(p addr.PageNum, o omission) {
	if s.late == nil {
		s.late = make(late)
	}
	s.late[p] = o
}

// catchUp does what was put off, before the next effect on the page; a fill,
// before the next one that is not for the processes that were let in.
func (s *shard) catchUp(e *protocol.Effect) {
	o, ok := s.late[e.Page]
	if !ok || o.fill != nil && (e.Kind == protocol.FrameGrant || e.Kind == protocol.FrameFill || e.Kind == protocol.Held) {
		return
	}
	delete(s.late, e.Page)
	frame, err := s.node.segment(e.Page).frame, error(nil)
	if o.fill == nil {
		err = frame.Punch(e.Page, 1)
	} else {
		err = frame.Fill(e.Page, o.fill)
	}
	if err != nil {
		s.node.failMemory(err)
	}
}

func is(k protocol.EffectKind) func(*protocol.Effect) bool {
	return func(e *protocol.Effect) bool { return e.Kind == k }
}

func sendsFrame(e *protocol.Effect) bool {
	return e.Kind == protocol.FrameToHome ||
		e.Kind == protocol.Send && e.Msg.Kind == protocol.Data && e.Msg.From.Tag == addr.Leaf
}

func acknowledges(e *protocol.Effect) bool {
	return e.Kind == protocol.Send && e.Msg.Kind == protocol.Ack && e.Msg.From.Tag == addr.Leaf
}
