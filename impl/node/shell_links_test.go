//go:build invariants || race || mutants

package node

import (
	"bytes"
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/wire"
)

// modelLink is a link from one node to another, as the contract of impl/wire has
// it: what was appended arrives in its order, once it was flushed, in frames of any
// length. What comes first of two links is left to the choices.
type modelLink struct {
	from, to *member
	open     []modelMessage // appended
	sent     []modelMessage // flushed
	syncs    []modelMessage // that have arrived, and that nobody was given
	arrived  int            // how many have
	given    int            // the place of the last that the core was given
}

// modelMessage is a message of a link: a sync, or about a page.
type modelMessage struct {
	msg   protocol.Message
	page  []byte // nil: none
	value uint64 // of the page
	sync  *protocol.Sync
	place int // among those of the link
}

// origin is where a message about a page comes from.
type origin struct {
	peer addr.NodeID
	page addr.PageNum
}

// Append implements sender.
func (l *modelLink) Append(m *protocol.Message, page []byte) {
	s := l.from
	s.w.yield()
	s.w.note("append %v %v of %v to %v", m.Kind, m.Op, m.Page, m.To)
	if m.To.Node != l.to.id {
		s.w.violate("order", "node %d appends a %v to node %d to the link with node %d", s.id, m.Kind, m.To.Node, l.to.id)
	}
	s.under(fmt.Sprintf("a %v is appended", m.Kind), s.frames[s.segment(m.Page).info.Generation], m.Page).send(m, page)
	one := modelMessage{msg: *m}
	if page != nil {
		one.page, one.value = bytes.Clone(page), s.w.signature(m.Page, page)
	}
	l.open = append(l.open, one)
}

// AppendSync implements sender. Nobody else goes on meanwhile: the lock over locks
// and barriers is held, which is none of the scheduler's.
func (l *modelLink) AppendSync(m *protocol.Sync) {
	l.from.tagged(m.Kind, &m.Envelope)
	one := *m
	l.open = append(l.open, modelMessage{sync: &one})
}

// Flush implements sender.
func (l *modelLink) Flush() {
	w := l.from.w
	w.yield()
	for sh, a := range w.owners {
		if a == w.running {
			w.violate("lock", "node %d sends while it has the lock of shard %d", l.from.id, sh.index)
		}
	}
	l.sent = append(l.sent, l.open...)
	l.open = nil
}

// maxFrame bounds the messages of a frame.
const maxFrame = 8

// read is the thread that reads the link at its far end. The memory of a frame is
// used again for the next one.
func (l *modelLink) read() {
	s, w := l.to, l.to.w
	w.thread(s, fmt.Sprintf("from %d", l.from.id), func(a *task) {
		buffer := make([]byte, maxFrame*addr.PageSize)
		var f wire.Frame
		for {
			a.rest(func() bool { return len(l.sent) > 0 })
			for more := true; more; more = len(l.sent) > 0 && w.choices.pick(3) != 1 {
				most := min(len(l.sent), maxFrame)
				l.deliver(&f, buffer, most-w.choices.pick(most))
				w.yield()
			}
			receiver{s.Node}.Idle(l.from.id)
		}
	})
}

func (l *modelLink) deliver(f *wire.Frame, buffer []byte, n int) {
	s := l.to
	*f = wire.Frame{Messages: f.Messages[:0], Pages: f.Pages[:0], Syncs: f.Syncs[:0], After: f.After[:0]}
	rest := buffer
	for _, one := range l.sent[:n] {
		l.arrived++
		one.place = l.arrived
		if one.sync != nil {
			f.Syncs, f.After = append(f.Syncs, *one.sync), append(f.After, uint32(len(f.Messages)))
			l.syncs = append(l.syncs, one)
			continue
		}
		var page []byte
		if one.page != nil {
			page, rest = rest[:addr.PageSize:addr.PageSize], rest[addr.PageSize:]
			copy(page, one.page)
		}
		f.Messages, f.Pages = append(f.Messages, one.msg), append(f.Pages, page)
		from := origin{l.from.id, one.msg.Page}
		s.arrived[from] = append(s.arrived[from], one)
	}
	l.sent = l.sent[n:]
	s.w.note("a frame of %d messages and %d syncs from node %d", len(f.Messages), len(f.Syncs), l.from.id)
	receiver{s.Node}.Deliver(l.from.id, f)
	clear(f.Messages) // and the pages: their memory is the next frame's
	for used := buffer[:len(buffer)-len(rest)]; len(used) > 0; used = used[addr.PageSize:] {
		sign(used, 1<<63)
	}
}
