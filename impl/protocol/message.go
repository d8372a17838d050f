package protocol

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
)

// Right is what a view, a child or a manager may do with a page. The order is
// the order of the constants: a higher right includes the lower ones.
type Right uint8

const (
	None  Right = iota // nothing
	Read               // read; may vanish silently
	Owned              // read, plus the duty to supply: the home may be stale
	Write              // the only copy, and it may change
)

var rightNames = [...]string{"none", "read", "owned", "write"}

func (r Right) String() string { return name(rightNames[:], uint8(r)) }

// Kind is the type of a message: five for pages.
type Kind uint8

const (
	KindInvalid Kind = iota
	Req              // up: a child asks its parent
	Grant            // down: the parent answers
	Recall           // down: invalidate, downgrade, fetch and clean are one message
	Ack              // up: the answer to a Recall
	Data             // lateral: the page, addr.PageSize bytes, between a leaf and a leaf or a home
)

var kindNames = [...]string{"invalid", "Req", "Grant", "Recall", "Ack", "Data"}

func (k Kind) String() string { return name(kindNames[:], uint8(k)) }

// Op is what a Req asks for and a Grant gives.
type Op uint8

const (
	OpNone Op = iota
	OpRead
	OpWrite
	OpWriteback
)

var opNames = [...]string{"none", "read", "write", "writeback"}

func (o Op) String() string { return name(opNames[:], uint8(o)) }

// Source says where the content behind a Grant comes from. There is no default:
// the absence of data never means "use your own".
type Source uint8

const (
	SourceNone Source = iota
	Sent              // a Data is on its way to the leaf
	Zero              // the page was never written: it is all zeros
	Have              // it is below you already; at a leaf, its own copy
)

var sourceNames = [...]string{"none", "sent", "zero", "have"}

func (s Source) String() string { return name(sourceNames[:], uint8(s)) }

// Dst says whom a Recall's receiver must send the page to.
type Dst uint8

const (
	ToNobody Dst = iota
	ToLeaf       // the leaf that the message names
	ToHome       // the page's root
)

var dstNames = [...]string{"nobody", "leaf", "home"}

func (d Dst) String() string { return name(dstNames[:], uint8(d)) }

func name(names []string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return fmt.Sprintf("invalid(%d)", i)
}

// Txn identifies a transaction: made at the fault, copied onto everything that
// the fault causes.
type Txn struct {
	Leaf        addr.NodeID      `json:"leaf"`
	Incarnation addr.Incarnation `json:"inc"`
	Counter     uint64           `json:"n"` // counts the leaf's transactions, from 1
}

// Message is one page message. It is a flat value without pointers, immutable
// once it is passed on. Page bytes never enter the core: a Data message stands for
// bytes that the shell carries beside it.
//
// Which fields mean something depends on Kind (the spec's field names):
//
//	Req     Op, Leaf, Have
//	Grant   Op, Source, Leaf
//	Recall  Keep, Dst, Leaf (where Dst is ToLeaf)
//	Ack     Keep, Hit
//	Data    Version, Prepared
type Message struct {
	Envelope // Generation: of the page's segment

	Kind   Kind        `json:"kind"`
	Op     Op          `json:"op"`
	Have   Right       `json:"have"`
	Keep   Right       `json:"keep"`
	Source Source      `json:"source"`
	Dst    Dst         `json:"dst"`
	Hit    bool        `json:"hit"`
	Leaf   addr.NodeID `json:"leaf"`

	Page addr.PageNum `json:"page"`

	// Prepared is the cut under which the content that Data carries was last
	// prepared for a store.
	Prepared uint64 `json:"prepared"`
	Version  uint64 `json:"ver"` // the page's master version, where data is carried or granted
	Txn      Txn    `json:"txn"`
}

// namesLeaf says whether Leaf means something.
func (m *Message) namesLeaf() bool {
	return m.Kind == Req || m.Kind == Grant || m.Kind == Recall && m.Dst == ToLeaf
}

// wellFormed says what no node that follows the protocol would send.
func (m *Message) wellFormed() error {
	ok := false
	switch m.Kind {
	case Req:
		ok = m.Op.known() && m.Have >= m.Op.row().least && m.Have <= m.Op.row().most
	case Grant:
		ok = m.Op.known() && m.Op.row().sources&(1<<m.Source) != 0
	case Recall:
		ok = m.Keep <= Owned && m.Dst <= ToHome && (m.Keep == None || m.Dst != ToNobody)
	case Ack:
		ok = m.Keep <= Owned
	case Data:
		ok = true
	}
	if !ok {
		return fmt.Errorf("%w: ill-formed %+v", ErrForeign, *m)
	}
	return nil
}
