package wire

import (
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// Limits of one frame. A sender keeps them and a receiver enforces them.
const (
	// maxItems bounds the messages and syncs of one frame together.
	maxItems = 256
	// maxHeader bounds an encoded header: maxItems of the longest message fit.
	maxHeader = 48 << 10
	// maxPayload bounds the pages: one for each message.
	maxPayload = maxItems * addr.PageSize
	// prefixSize is the two lengths before the header.
	prefixSize = 8
)

// Frame is what a link delivers at once: page messages and syncs in the order
// in which the peer appended them.
//
// Invariants: len(Pages) == len(Messages); len(After) == len(Syncs); After is
// ascending and at most len(Messages).
type Frame struct {
	Messages []protocol.Message
	// Pages[i] is the page of Messages[i], addr.PageSize bytes. It is nil where no
	// page travels.
	Pages [][]byte
	Syncs []protocol.Sync
	// After[j] is how many of Messages come before Syncs[j].
	After []uint32
}

// Each calls page and sync for the messages of the frame, in order.
func (f *Frame) Each(page func(m *protocol.Message, page []byte), sync func(s *protocol.Sync)) {
	j := 0
	for i := range f.Messages {
		for ; j < len(f.Syncs) && int(f.After[j]) <= i; j++ {
			sync(&f.Syncs[j])
		}
		page(&f.Messages[i], f.Pages[i])
	}
	for ; j < len(f.Syncs); j++ {
		sync(&f.Syncs[j])
	}
}

// carriesPage says whether addr.PageSize bytes travel beside the message.
func carriesPage(m *protocol.Message) bool { return m.Kind == protocol.Data }

// valid says whether every enumeration of the message is in its range.
func valid(m *protocol.Message) bool {
	return m.Kind > protocol.KindInvalid && m.Kind <= protocol.Data &&
		m.Op <= protocol.OpWriteback &&
		m.Have <= protocol.Write && m.Keep <= protocol.Write &&
		m.Source <= protocol.Have && m.Dst <= protocol.ToHome
}
