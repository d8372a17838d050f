package protocol

import (
	"errors"
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
)

// Envelope is what every message carries, whatever it is about: a page, a lock or
// a barrier. The transaction is the message's own: Txn of a page message, Party and
// Request of a Sync. A message has one JSON, in which what is zero may be left out.
type Envelope struct {
	From            addr.Place       `json:"from"`
	To              addr.Place       `json:"to"`
	FromIncarnation addr.Incarnation `json:"fi"`
	ToIncarnation   addr.Incarnation `json:"ti"`

	// Generation of what the message is about, since pages and names are used
	// again: of the page's segment, or of the barrier. Zero: it has none.
	Generation uint64 `json:"gen"`
	Term       uint64 `json:"term"`  // of the slot
	Epoch      uint64 `json:"epoch"` // of the configuration that the sender knew
	Cut        uint64 `json:"cut"`   // of the sender's node
	Lamport    uint64 `json:"lc"`
}

// Errors of Step. The message has changed nothing.
var (
	// ErrForeign: no node that follows the protocol sends this message now. The
	// link that it came on must be closed.
	ErrForeign = errors.New("mome: message out of protocol")
	// ErrEarly: the message is about a segment, a member or a term that this
	// configuration does not have yet. It must be given again, in its order, when
	// it has. What waits comes after it: the next messages of the same sender.
	ErrEarly = errors.New("mome: message ahead of the configuration")
)

var errDropped = errors.New("mome: message dropped by the receive rule")

// endpoint is who a machine is to the others, and what their messages have taught
// it. A Shard is one, and so is a SyncNode.
type endpoint struct {
	self        addr.NodeID
	incarnation addr.Incarnation
	conf        *Configuration

	epoch   uint64 // the newest that any message carried
	lamport uint64
	cut     uint64
	dropped uint64 // messages, by the receive rule
}

// Behind says whether some message carried a newer epoch than the configuration.
// No shell asks: members are fixed, and views come by themselves. It is what shows
// that the receive rule learns a newer epoch first, also from a message that it
// then drops.
func (e *endpoint) Behind() bool { return e.epoch > e.conf.Epoch }

// receive is the receive rule of every message that came over a link, in this
// order: learn a newer epoch; drop what is for another incarnation or generation,
// from a stranger or an old incarnation, or of another term. The cut is adopted by
// learn, before the message is looked at. An epoch alone never decides; but where a
// newer one may be why the message does not fit, it waits for that configuration.
//
// The slot is that of the message's subject, unless generation says why there is
// none: ErrEarly or errDropped.
func (e *endpoint) receive(m *Envelope, kind fmt.Stringer, slot *Slot, generation error) error {
	if m.To.Node != e.self {
		return fmt.Errorf("%w: %v for node %d, this is node %d", ErrForeign, kind, m.To.Node, e.self)
	}
	if m.From.Node == e.self {
		return fmt.Errorf("%w: %v over a link, and it says that it is from this node", ErrForeign, kind)
	}
	e.epoch = max(e.epoch, m.Epoch)
	if m.ToIncarnation != e.incarnation {
		return errDropped
	}
	if generation != nil {
		return generation
	}
	if member := e.conf.Member(m.From.Node); member == 0 || m.FromIncarnation != member {
		return e.unfit(m, m.FromIncarnation > member)
	}
	if m.Term != slot.Term {
		return e.unfit(m, m.Term > slot.Term)
	}
	return nil
}

// unfit says of a message that does not fit the configuration whether it is early:
// its sender knew a newer one, in which it may fit.
func (e *endpoint) unfit(m *Envelope, may bool) error {
	if e.ahead(m) && may {
		return ErrEarly
	}
	return errDropped
}

// ahead says whether the sender of a message knew a newer configuration.
func (e *endpoint) ahead(m *Envelope) bool { return m.Epoch > e.conf.Epoch }

// learn adopts what every message carries.
func (e *endpoint) learn(m *Envelope) {
	e.lamport = max(e.lamport, m.Lamport) + 1
	e.adopt(m.Cut)
}

// adopt raises the cut.
func (e *endpoint) adopt(cut uint64) { e.cut = max(e.cut, cut) }

// Cut is the highest cut that an input or a message has brought. A node has one: who
// owns several machines gives what one of them has learnt to all, as Input.Cut and
// SyncInput.Cut, before anything is done that this machine has put out.
func (e *endpoint) Cut() uint64 { return e.cut }

// seal fills the envelope of a message about something in this slot.
func (e *endpoint) seal(m *Envelope, from, to addr.Place, slot *Slot) {
	m.From, m.To = from, to
	m.FromIncarnation, m.ToIncarnation = e.incarnation, e.conf.Member(to.Node)
	m.Epoch, m.Term, m.Cut, m.Lamport = e.conf.Epoch, slot.Term, e.cut, e.lamport
}
