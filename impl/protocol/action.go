package protocol

import "github.com/mome-dsm/mome/impl/addr"

// Action is an action of spec/strong/Strong.tla. The operator there, the method
// here and the event of a trace carry the same name.
type Action uint8

const (
	ActReadFault Action = iota
	ActWriteFault
	ActWriteback
	ActEvict
	ActRecvData
	ActLeafRecvGrant
	ActLeafRecvRecall
	ActRecvReq
	ActRecvGrant
	ActRecvRecall
	ActRecvAck
	ActHomeRecvData
	numActions
)

var actionNames = [...]string{"ReadFault", "WriteFault", "Writeback", "Evict", "RecvData", "LeafRecvGrant",
	"LeafRecvRecall", "RecvReq", "RecvGrant", "RecvRecall", "RecvAck", "HomeRecvData"}

func (a Action) String() string { return name(actionNames[:], uint8(a)) }

// Actions are all actions, in the order of their constants.
func Actions() []Action {
	all := make([]Action, numActions)
	for i := range all {
		all[i] = Action(i)
	}
	return all
}

// Event is one action that a manager of this node has taken.
type Event struct {
	Action  Action
	At      addr.Place
	Page    addr.PageNum
	Level   int // of the manager: 0 is a leaf, Depth the root
	Depth   int
	Before  Phase    // the manager's phase when the action began
	Message *Message // what was received, or the Req that a local step sent; nil for Evict
	Lamport uint64
}

// Phase is what a manager is doing for a page.
type Phase uint8

const (
	Idle     Phase = iota
	Serving        // busy, asking children
	Climbing       // busy, waiting for the parent (at a leaf: a request is out)
	Recalled       // collecting a recall (at a leaf: holding one back)
	RecalledClimbing
	numPhases
)

var phaseNames = [...]string{"idle", "serving", "climbing", "recalled", "recalled+climbing"}

func (p Phase) String() string { return name(phaseNames[:], uint8(p)) }

// Observer is told every action, after the state has changed and before
// anything is sent. It may call AppendState.
type Observer interface {
	Observe(*Event)
}
