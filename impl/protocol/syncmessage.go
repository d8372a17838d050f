package protocol

import (
	"github.com/mome-dsm/mome/impl/addr"
)

// Sync is one message of a lock or a barrier, a flat value. It goes from a node's
// own side (tag Leaf) to a home (Root), or back. Which fields mean something depends
// on Kind: sync.go has the list.
type Sync struct {
	Envelope // Generation: of a barrier; 0 in a Join, and where one is refused

	Kind    SyncKind `json:"kind"`
	Code    SyncCode `json:"code"`
	Try     bool     `json:"try"` // of an Acquire: do not wait
	Index   uint32   `json:"index"`
	Parties uint32   `json:"parties"`
	Object  uint64   `json:"object"`
	Party   uint64   `json:"party"`
	Request uint64   `json:"request"`
	Fence   uint64   `json:"fence"`
	Round   uint64   `json:"round"`
}

// SyncKind is the type of a Sync. Requests come before answers.
type SyncKind uint8

const (
	SyncInvalid SyncKind = iota
	SyncAcquire
	SyncCancel
	SyncRelease
	SyncJoin
	SyncArrive
	SyncLeave
	SyncGrant
	SyncRefuse
	SyncReleased
	SyncJoined
	SyncDone
	SyncBroken
	SyncLeft
)

var syncNames = [...]string{"invalid", "Acquire", "Cancel", "Release", "Join", "Arrive", "Leave",
	"Grant", "Refuse", "Released", "Joined", "Done", "Broken", "Left"}

func (k SyncKind) String() string { return name(syncNames[:], uint8(k)) }

// SyncCode says how a request ended.
type SyncCode uint8

const (
	CodeOK        SyncCode = iota
	CodeOwnerDied          // only between nodes; an Answer has a field for it
	CodeBusy               // a try: somebody has the lock
	CodeCanceled           // taken back; of a Wait: asked again too often
	CodeNotOwner           // the lock is not held under this fence
	CodeRecursive          // the party has the lock, or waits for it, already
	CodeInvalid            // an argument is out of its domain
	CodeLimit              // a bound of this file is reached
	CodePartyDied          // the party's generation of the barrier is broken
	CodeMismatch           // no such seat, or it is taken, or the numbers disagree
	numCodes
)

var codeNames = [...]string{"OK", "OwnerDied", "Busy", "Canceled", "NotOwner", "Recursive", "Invalid", "Limit",
	"PartyDied", "Mismatch"}

func (c SyncCode) String() string { return name(codeNames[:], uint8(c)) }

// Bounds of what the machine remembers.
const (
	MaxTurns   = 1 << 12 // locks that a party holds or waits for
	MaxCalls   = 1 << 12 // Releases, Joins and Leaves of a party without an answer
	MaxSeats   = 1 << 16 // of a party
	MaxParties = 1 << 20 // of a barrier
	MaxWaiters = 1 << 16 // in the queue of a lock
	MaxWaits   = 16      // requests of one seat that wait for the same round
)

// SyncInputKind is the type of an input. All but InSync come from a process of
// this node.
type SyncInputKind uint8

const (
	// InSync: Sync came over a link, from the node that it names as From.
	InSync SyncInputKind = iota
	// InLockAcquire asks for a lock. Try: not if somebody has it.
	InLockAcquire
	// InLockRelease gives a lock back that is held under Fence.
	InLockRelease
	// InLockCancel takes the InLockAcquire back whose request was Target. That
	// one is answered first: CodeCanceled, or whatever was on its way to it. A
	// Request of zero asks for no answer to the cancel itself (a timeout).
	InLockCancel
	// InBarrierJoin takes the seat Index of a barrier of Parties seats.
	InBarrierJoin
	// InBarrierWait arrives in Round and waits until all have.
	InBarrierWait
	// InBarrierLeave gives the seat Index up.
	InBarrierLeave
	// InProcessDied: Party is gone and gets no more answers. What it held, the
	// next one gets with OwnerDied; generations of barriers where it had a seat are
	// broken.
	InProcessDied
)

var syncInputNames = [...]string{"Sync", "LockAcquire", "LockRelease", "LockCancel", "BarrierJoin", "BarrierWait",
	"BarrierLeave", "ProcessDied"}

func (k SyncInputKind) String() string { return name(syncInputNames[:], uint8(k)) }

// SyncInput is one thing that has happened.
type SyncInput struct {
	Kind    SyncInputKind `json:"-"`
	Cut     uint64        `json:"-"`   // of this node, as in Input
	Try     bool          `json:"try"` // InLockAcquire
	Index   uint32        `json:"index"`
	Parties uint32        `json:"parties"` // InBarrierJoin, InBarrierWait
	Party   uint64        `json:"party"`   // all but InSync
	Request uint64        `json:"request"` // the shell's own name for the request, given back by Answer
	Object  uint64        `json:"-"`       // all but InSync, InLockCancel and InProcessDied
	Target  uint64        `json:"target"`  // InLockCancel
	Fence   uint64        `json:"fence"`   // InLockRelease
	Round   uint64        `json:"round"`   // InBarrierWait, from 1
	Sync    *Sync         `json:"-"`       // InSync
}

// Answer is the end of a request. Every request of a living party has one.
type Answer struct {
	Kind      SyncInputKind // of the request
	Code      SyncCode
	OwnerDied bool // InLockAcquire: it is held, and the holder before died
	Party     uint64
	Request   uint64
	Fence     uint64 // InLockAcquire: of this turn, higher than that of any before
}

// SyncBatch is the effects of one or more steps.
//
// Send is messages to other nodes. They must go out in this order, as far as two of
// them go to the same node.
// Answers must be given in this order, as far as two of them have the same
// Party. Send and Answers commute.
type SyncBatch struct {
	Send    []Sync
	Answers []Answer
}

// Reset empties the batch and keeps its memory.
func (b *SyncBatch) Reset() { b.Send, b.Answers = b.Send[:0], b.Answers[:0] }

// ofGeneration says whether a message names a generation of its barrier.
func (m *Sync) ofGeneration() bool {
	switch m.Kind {
	case SyncArrive, SyncLeave, SyncDone, SyncBroken, SyncLeft:
		return true
	case SyncJoined:
		return m.Code == CodeOK
	}
	return false
}

// wellFormed is false for what no node that follows the protocol would send.
func (m *Sync) wellFormed() bool {
	code, from, to := m.Code, addr.Leaf, addr.Root
	if m.Kind >= SyncGrant {
		from, to = to, from
	}
	if m.From.Tag != from || m.To.Tag != to || (m.Generation != 0) != m.ofGeneration() {
		return false
	}
	switch m.Kind {
	case SyncAcquire, SyncCancel:
		return code == CodeOK
	case SyncRelease, SyncGrant:
		return (code == CodeOK || code == CodeOwnerDied) && m.Fence != 0
	case SyncRefuse:
		return code == CodeBusy || code == CodeCanceled || code == CodeLimit
	case SyncReleased:
		return code == CodeOK || code == CodeNotOwner
	case SyncJoin:
		return code == CodeOK && m.Parties <= MaxParties && m.Index < m.Parties
	case SyncArrive, SyncDone:
		return code == CodeOK && m.Round != 0
	case SyncLeave:
		return code == CodeOK || code == CodePartyDied
	case SyncJoined:
		return (code == CodeOK || code == CodeMismatch) && m.Parties <= MaxParties && m.Index < m.Parties
	case SyncBroken, SyncLeft:
		return code == CodeOK
	}
	return false
}
