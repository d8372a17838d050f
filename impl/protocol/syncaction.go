package protocol

import "github.com/mome-dsm/mome/impl/addr"

// SyncAction is an action of the machine of locks and barriers. Those of locks
// are the actions of spec/heaplock/HeapLock.tla, those of barriers of
// spec/barrier/Barrier.tla, and ProcessDied is one of both: the operator there,
// the method here and the event of a trace carry the same name.
type SyncAction uint8

const (
	ActAcquireLock SyncAction = iota
	ActCancelLock
	ActReleaseLock
	ActProcessDied
	ActLockRecvGrant
	ActRecvRefuse
	ActRecvReleased
	ActHomeRecvAcquire
	ActHomeRecvCancel
	ActHomeRecvRelease
	numLockActions

	ActJoinBarrier SyncAction = iota - 1
	ActAwaitBarrier
	ActLeaveBarrier
	ActRecvJoined
	ActRecvDone
	ActRecvBroken
	ActRecvLeft
	ActHomeRecvJoin
	ActHomeRecvArrive
	ActHomeRecvLeave
	numSyncActions
)

var syncActionNames = [...]string{"AcquireLock", "CancelLock", "ReleaseLock", "ProcessDied", "RecvGrant", "RecvRefuse",
	"RecvReleased", "HomeRecvAcquire", "HomeRecvCancel", "HomeRecvRelease", "JoinBarrier", "AwaitBarrier", "LeaveBarrier",
	"RecvJoined", "RecvDone", "RecvBroken", "RecvLeft", "HomeRecvJoin", "HomeRecvArrive", "HomeRecvLeave"}

func (a SyncAction) String() string { return name(syncActionNames[:], uint8(a)) }

// LockActions are the actions of locks, in the order of their constants.
func LockActions() []SyncAction { return syncActions(0, numLockActions) }

// BarrierActions are the actions of barriers, in the order of their constants.
func BarrierActions() []SyncAction {
	return append([]SyncAction{ActProcessDied}, syncActions(numLockActions, numSyncActions)...)
}

func syncActions(from, to SyncAction) (all []SyncAction) {
	for a := from; a < to; a++ {
		all = append(all, a)
	}
	return all
}

// protocol is the one that an action is of, but for ProcessDied.
func (a SyncAction) protocol() *Protocol {
	if a < numLockActions {
		return Locks
	}
	return Barriers
}

// What each input and each message begins.
var (
	inputActions = [...]SyncAction{InLockAcquire: ActAcquireLock, InLockRelease: ActReleaseLock, InLockCancel: ActCancelLock,
		InBarrierJoin: ActJoinBarrier, InBarrierWait: ActAwaitBarrier, InBarrierLeave: ActLeaveBarrier}
	messageActions = [...]SyncAction{SyncAcquire: ActHomeRecvAcquire, SyncCancel: ActHomeRecvCancel, SyncRelease: ActHomeRecvRelease,
		SyncJoin: ActHomeRecvJoin, SyncArrive: ActHomeRecvArrive, SyncLeave: ActHomeRecvLeave,
		SyncGrant: ActLockRecvGrant, SyncRefuse: ActRecvRefuse, SyncReleased: ActRecvReleased,
		SyncJoined: ActRecvJoined, SyncDone: ActRecvDone, SyncBroken: ActRecvBroken, SyncLeft: ActRecvLeft}
)

// SyncEvent is one action that this node has taken, for one lock or barrier. A
// death is one event for each of those that the party had to do with.
type SyncEvent struct {
	Action   SyncAction
	Protocol *Protocol  // what the object is
	At       addr.Place // Leaf for the node's own side, Root for a home
	Object   uint64
	Party    uint64     // zero where it is about all seats of the node
	Input    *SyncInput // what a process did; nil if Message is not
	Message  *Sync      // what was received
	Lamport  uint64
}

// SyncObserver is told every action, after the state has changed and before
// anything is sent. It may call AppendState.
type SyncObserver interface {
	ObserveSync(*SyncEvent)
}

// observeInput tells the observer what a process did. Who takes back what nobody
// waits for does nothing to any lock.
func (s *SyncNode) observeInput(in *SyncInput) {
	object := in.Object
	if in.Kind == InLockCancel {
		var ok bool
		if object, ok = s.awaited[awaitedKey{in.Party, in.Target}]; !ok {
			return
		}
	}
	if s.work.Actions++; s.observer == nil {
		return
	}
	a, call := inputActions[in.Kind], *in // a copy: the input itself stays off the heap
	s.observer.ObserveSync(&SyncEvent{Action: a, Protocol: a.protocol(), At: addr.Place{Node: s.self, Tag: addr.Leaf}, Object: object,
		Party: in.Party, Input: &call, Lamport: s.lamport})
}

// observeDeath tells it what the death of a party did to one object.
func (s *SyncNode) observeDeath(id, object uint64, of *Protocol) {
	if s.work.Actions++; s.observer == nil {
		return
	}
	s.observer.ObserveSync(&SyncEvent{Action: ActProcessDied, Protocol: of, At: addr.Place{Node: s.self, Tag: addr.Leaf}, Object: object,
		Party: id, Input: &SyncInput{Kind: InProcessDied, Party: id}, Lamport: s.lamport})
}

func (s *SyncNode) observeMessage(m *Sync) {
	if s.work.Actions++; s.observer == nil {
		return
	}
	at := addr.Place{Node: s.self, Tag: addr.Root}
	if m.From.Tag == addr.Root {
		at.Tag = addr.Leaf
	}
	a, message := messageActions[m.Kind], *m
	s.observer.ObserveSync(&SyncEvent{Action: a, Protocol: a.protocol(), At: at, Object: m.Object,
		Party: m.Party, Message: &message, Lamport: s.lamport})
}
