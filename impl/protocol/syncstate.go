package protocol

import (
	"maps"
	"slices"
	"strconv"

	"github.com/mome-dsm/mome/impl/addr"
)

// AppendState appends the state of the event's object at the place of the
// event, as JSON. Of a lock, an object: at a home the spec's lock, at a node the
// party's turn, calls and death. Of a barrier, a list: the generations that the
// home or the node remembers.
func (s *SyncNode) AppendState(b []byte, e *SyncEvent) []byte {
	home := e.At.Tag == addr.Root
	switch {
	case e.Barrier && home:
		return appendBarriers(b, s.barriers[e.Object])
	case e.Barrier:
		return appendMeetings(b, s.meetings[e.Object])
	case home:
		return appendLock(b, s.locks[e.Object])
	}
	return s.appendTurn(b, e.Party, e.Object)
}

func appendLock(b []byte, l *lock) []byte {
	if l == nil {
		l = &lock{}
	}
	b = append(b, `{"fence":`...)
	b = strconv.AppendUint(b, l.fence, 10)
	if l.fence != 0 {
		b = appendWaiter(append(b, `,"holder":`...), l.holder)
	}
	b = append(b, `,"died":`...)
	b = strconv.AppendBool(b, l.died)
	b = append(b, `,"overtaken":`...)
	b = strconv.AppendInt(b, int64(l.overtaken), 10)
	b = append(b, `,"queue":[`...)
	for i, w := range l.queue {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendWaiter(b, w)
	}
	return append(b, "]}"...)
}

func appendWaiter(b []byte, w waiter) []byte {
	b = append(b, `{"node":`...)
	b = strconv.AppendUint(b, uint64(w.node), 10)
	b = append(b, `,"party":`...)
	b = strconv.AppendUint(b, w.party, 10)
	b = append(b, `,"request":`...)
	b = strconv.AppendUint(b, w.request, 10)
	return append(b, '}')
}

func (s *SyncNode) appendTurn(b []byte, id, object uint64) []byte {
	b = append(b, `{"dead":`...)
	p := s.parties[id]
	b = strconv.AppendBool(b, p != nil && p.dead)
	if t, ok := s.turns[turnKey{id, object}]; ok {
		b = append(b, `,"turn":{"request":`...)
		b = strconv.AppendUint(b, t.request, 10)
		b = append(b, `,"fence":`...)
		b = strconv.AppendUint(b, t.fence, 10)
		b = append(b, `,"cancel":`...)
		b = strconv.AppendUint(b, t.cancel, 10)
		b = append(b, `,"canceling":`...)
		b = strconv.AppendBool(b, t.canceling)
		b = append(b, `,"try":`...)
		b = strconv.AppendBool(b, t.try)
		b = append(b, '}')
	}
	var calls []uint64
	for c := range s.calls {
		if c.kind == SyncRelease && c.party == id && c.object == object {
			calls = append(calls, c.request)
		}
	}
	slices.Sort(calls)
	return append(appendNumbers(append(b, `,"calls":`...), calls), '}')
}

func appendNumbers(b []byte, numbers []uint64) []byte {
	b = append(b, '[')
	for i, n := range numbers {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, n, 10)
	}
	return append(b, ']')
}

// appendGenerations appends a list, each element by one.
func appendGenerations[T any](b []byte, all []*T, one func([]byte, *T) []byte) []byte {
	b = append(b, '[')
	for i, x := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = one(b, x)
	}
	return append(b, ']')
}

// appendMeetings appends the generations that a node knows, in the order in which
// it got to know them.
func appendMeetings(b []byte, all []*meeting) []byte {
	return appendGenerations(b, all, appendMeeting)
}

func appendMeeting(b []byte, m *meeting) []byte {
	b = append(b, `{"generation":`...)
	b = strconv.AppendUint(b, m.generation, 10)
	b = append(b, `,"parties":`...)
	b = strconv.AppendUint(b, uint64(m.parties), 10)
	b = append(b, `,"over":`...)
	b = strconv.AppendUint(b, m.over, 10)
	b = append(b, `,"broken":`...)
	b = strconv.AppendBool(b, m.broken)
	b = append(b, `,"seats":[`...)
	for i, s := range m.seats {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"index":`...)
		b = strconv.AppendUint(b, uint64(s.index), 10)
		b = append(b, `,"party":`...)
		b = strconv.AppendUint(b, s.party, 10)
		b = append(b, `,"arrived":`...)
		b = strconv.AppendUint(b, s.arrived, 10)
		b = append(b, `,"leaving":`...)
		b = strconv.AppendBool(b, s.leaving)
		b = appendNumbers(append(b, `,"waits":`...), s.waits)
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

// appendBarriers appends the generations that a home knows, the oldest first.
func appendBarriers(b []byte, all []*barrier) []byte {
	return appendGenerations(b, all, appendBarrier)
}

func appendBarrier(b []byte, x *barrier) []byte {
	b = append(b, `{"generation":`...)
	b = strconv.AppendUint(b, x.generation, 10)
	b = append(b, `,"parties":`...)
	b = strconv.AppendUint(b, uint64(x.parties), 10)
	b = append(b, `,"arrived":`...)
	b = strconv.AppendUint(b, uint64(x.arrived), 10)
	b = append(b, `,"over":`...)
	b = strconv.AppendUint(b, x.over, 10)
	b = append(b, `,"broken":`...)
	b = strconv.AppendBool(b, x.broken)
	b = append(b, `,"left":[`...)
	for i, index := range slices.Sorted(maps.Keys(x.left)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(index), 10)
	}
	b = append(b, `],"seats":[`...)
	for i, index := range slices.Sorted(maps.Keys(x.seats)) {
		if i > 0 {
			b = append(b, ',')
		}
		s := x.seats[index]
		b = append(b, `{"index":`...)
		b = strconv.AppendUint(b, uint64(index), 10)
		b = append(b, `,"node":`...)
		b = strconv.AppendUint(b, uint64(s.node), 10)
		b = append(b, `,"party":`...)
		b = strconv.AppendUint(b, s.party, 10)
		b = append(b, `,"arrived":`...)
		b = strconv.AppendUint(b, s.arrived, 10)
		b = append(b, '}')
	}
	return append(b, "]}"...)
}
