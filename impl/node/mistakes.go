//go:build mutants

package node

import (
	"slices"
	"sync"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// What mutants.txt puts into the shell has its memory here.
var mistakes struct {
	sync.Mutex
	unsent map[*shard][]func()
	late   map[*shard]map[addr.PageNum]omission
}

// appendLater keeps a message for appendNow.
func (s *shard) appendLater(l sender, m *protocol.Message, page []byte) {
	msg, content := *m, slices.Clone(page)
	mistakes.Lock()
	defer mistakes.Unlock()
	if mistakes.unsent == nil {
		mistakes.unsent = make(map[*shard][]func())
	}
	mistakes.unsent[s] = append(mistakes.unsent[s], func() { l.Append(&msg, content) })
}

func (s *shard) appendNow() {
	mistakes.Lock()
	list := mistakes.unsent[s]
	delete(mistakes.unsent, s)
	mistakes.Unlock()
	for _, f := range list {
		f()
	}
}

// overtake has effects go before those on the same page that they must follow.
func overtake(effects []protocol.Effect, overtakes, overtaken func(*protocol.Effect) bool) {
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

// overtaken says whether the acknowledgement on the same page is before the effect.
func (s *shard) overtaken(e *protocol.Effect) bool {
	for i := range s.batch.Effects {
		if &s.batch.Effects[i] == e {
			return i > 0 && s.batch.Effects[i-1].Page == e.Page && acknowledges(&s.batch.Effects[i-1])
		}
	}
	return false
}

// omission is a step on a page that is still to be done: a punch, or a fill. What
// comes too late comes right before the node needs the page again, not a moment after
// its time: so whoever is let in before it, or not thrown out, sees the mistake,
// however slowly he runs.
type omission struct {
	fill   []byte // nil: a punch
	mapped bool   // a process sees zeros in place of fill
}

func (s *shard) omitted(p addr.PageNum) (omission, bool) {
	mistakes.Lock()
	defer mistakes.Unlock()
	o, ok := mistakes.late[s][p]
	return o, ok
}

func (s *shard) putOff(p addr.PageNum, o omission) {
	o.fill = slices.Clone(o.fill)
	mistakes.Lock()
	defer mistakes.Unlock()
	if mistakes.late == nil {
		mistakes.late = make(map[*shard]map[addr.PageNum]omission)
	}
	if mistakes.late[s] == nil {
		mistakes.late[s] = make(map[addr.PageNum]omission)
	}
	mistakes.late[s][p] = o
}

// catchUp does what was put off, before the next effect on the page; a fill,
// before the next one that is not for the processes that were let in.
func (s *shard) catchUp(e *protocol.Effect) {
	o, ok := s.omitted(e.Page)
	if !ok || o.fill != nil && (e.Kind == protocol.FrameGrant || e.Kind == protocol.FrameFill || e.Kind == protocol.Held) {
		return
	}
	mistakes.Lock()
	if delete(mistakes.late[s], e.Page); len(mistakes.late[s]) == 0 {
		delete(mistakes.late, s)
	}
	mistakes.Unlock()
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

// letInEarly maps zeros where content should be, and puts that off.
func (s *shard) letInEarly(r *run) {
	for i := range r.n {
		p := r.first + addr.PageNum(i)
		o, _ := s.omitted(p)
		if r.from == inContent {
			o.fill = r.content[i<<addr.PageShift:][:addr.PageSize]
		} else if o.fill == nil || o.mapped {
			return // what a run has in its frames is in all of them
		}
		s.putOff(p, omission{fill: o.fill, mapped: true})
	}
	r.from = inZeros
}
