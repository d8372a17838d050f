package node

import (
	"slices"

	"github.com/mome-dsm/mome/impl/protocol"
)

// sender is the sending end of a link: what wire.Link says of each of these.
type sender interface {
	Append(m *protocol.Message, page []byte)
	AppendSync(s *protocol.Sync)
	Flush()
}

// outbox is links to be flushed, each once. Its zero value is empty, and few
// links need no memory.
type outbox struct {
	n     int
	links [4]sender
	more  []sender
}

func (o *outbox) add(l sender) {
	for _, k := range o.links[:o.n] {
		if k == l {
			return
		}
	}
	if o.n < len(o.links) {
		o.links[o.n] = l
		o.n++
		return
	}
	if !slices.Contains(o.more, l) {
		o.more = append(o.more, l)
	}
}

// join takes over what another outbox has.
func (o *outbox) join(from *outbox) {
	for _, l := range from.links[:from.n] {
		o.add(l)
	}
	for _, l := range from.more {
		o.add(l)
	}
	*from = outbox{}
}

// flush sends what was queued. No lock is held: it may spend a system call.
func (o *outbox) flush() {
	for _, l := range o.links[:o.n] {
		l.Flush()
	}
	for _, l := range o.more {
		l.Flush()
	}
	*o = outbox{}
}
