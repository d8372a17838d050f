package protocol

import (
	"fmt"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
)

// Locks and barriers of the whole cluster, beside the pages: the same kind of
// pure core, with a machine of its own.
//
//	SyncNode        the machine of one node: Step, receive rule, sends  sync.go
//	Sync            its messages, inputs and batches                    syncmessage.go
//	  lockClient    what the node's processes wait for and hold         lock.go
//	  lockHome      who holds a lock, and its queue                     lock.go
//	  barrierClient the node's seats at barriers                        barrier.go
//	  barrierHome   seats, arrivals and rounds                          barrier.go
//
// An object is a lock or a barrier. It is known by a hash of its name, and two
// names with one hash are one object. Its home is the home of the slot
// Object % len(Slots). A party is one process of a node, by a number that the
// node never gives out twice.
//
// The messages, between the node of a party (tag Leaf) and the home (Root):
//
//	Acquire   to home  Party, Request, Try
//	Cancel    to home  Party, Request (of the Acquire)
//	Release   to home  Party, Request, Fence, Code (OK, or OwnerDied)
//	Grant     to node  Party, Request, Fence, Code (OK, or OwnerDied)
//	Refuse    to node  Party, Request, Code (Busy, Canceled, Limit)
//	Released  to node  Party, Request, Code (OK, or NotOwner)
//
//	Join      to home  Party, Request, Index, Parties
//	Arrive    to home  Party, Generation, Index, Round
//	Leave     to home  Party, Generation, Request, Index, Code (OK, or PartyDied)
//	Joined    to node  Party, Generation, Request, Index, Parties, Code (OK, or Mismatch)
//	Left      to node  Party, Generation, Request, Index
//	Done      to node  Generation, Round: one for all seats of the node
//	Broken    to node  Generation: one for all seats of the node
//
// A barrier's name lives in generations, each a barrier of its own. The home numbers
// them, those of all its barriers together, from 1 on: no number is given twice.
//
// Acquire, Release, Join and Leave have exactly one answer each. Cancel has
// none of its own: it makes the home answer the Acquire, unless it has done so.
// Arrive is answered by Done or Broken. Links are FIFO and lose nothing, so
// what arrives at either end is always explained by what that end remembers;
// anything else is ErrForeign.
//
// A process that dies leaves its entries behind, marked dead, until every
// answer that is under way to it has come: a lock that is granted to a dead
// process goes straight back.
//
// The death of a whole node is not handled here: the cluster fails then.
// Release already carries the fence that a late one is to be refused by.

// SyncNode is the locks and barriers of one node: those that its processes use,
// and those that it is the home of. It is not safe for concurrent use: its
// owner locks it.
type SyncNode struct {
	endpoint
	observer SyncObserver
	fence    uint64 // of the last grant that this node made as a home

	parties  map[uint64]*party
	calls    map[call]int
	turns    map[turnKey]Turn
	awaited  map[awaitedKey]uint64 // the object of each turn that waits
	meetings map[uint64][]*Meeting // by object, in no order

	locks       map[uint64]*LockState
	barriers    map[uint64][]*barrier // by object, the oldest generation first
	generations uint64                // the last that this node made as a home, of any barrier

	local []Sync     // sent within this node in this step, in order
	batch *SyncBatch // of this step
	work  Work
}

// party counts what the machine remembers of a process. It is kept while there
// is anything.
type party struct {
	dead                bool
	turns, calls, seats int
}

// call is a request to a home that has no answer yet. An Acquire is a turn
// instead.
type call struct {
	kind               SyncKind
	index              uint32
	object, generation uint64 // generation: of a Leave
	party, request     uint64
}

// NewSyncNode makes the machine of a node.
func NewSyncNode(self addr.NodeID, incarnation addr.Incarnation, conf *Configuration) *SyncNode {
	return &SyncNode{
		endpoint: endpoint{self: self, incarnation: incarnation, conf: conf},
		parties:  make(map[uint64]*party),
		calls:    make(map[call]int),
		turns:    make(map[turnKey]Turn),
		awaited:  make(map[awaitedKey]uint64),
		meetings: make(map[uint64][]*Meeting),
		locks:    make(map[uint64]*LockState),
		barriers: make(map[uint64][]*barrier),
	}
}

// Observe has an observer told of every action from here on.
func (s *SyncNode) Observe(o SyncObserver) { s.observer = o }

// Dropped counts the messages that the receive rule dropped.
func (s *SyncNode) Dropped() uint64 { return s.dropped }

// Work is what the machine has done so far.
func (s *SyncNode) Work() Work { return s.work }

// SyncTables is how much a SyncNode remembers.
type SyncTables struct {
	Turns int // locks that processes of this node hold or wait for
	Seats int // of processes of this node at barriers
	// As a home: locks that are held, or whose last holder died, and generations of
	// barriers.
	Locks, Barriers int
}

// Tables is how much the node remembers now.
func (s *SyncNode) Tables() SyncTables {
	t := SyncTables{Turns: len(s.turns), Locks: len(s.locks)}
	for _, generations := range s.meetings {
		for _, m := range generations {
			t.Seats += len(m.Seats)
		}
	}
	for _, generations := range s.barriers {
		t.Barriers += len(generations)
	}
	return t
}

// Home is the node that serves an object.
//
// Preconditions: the configuration has slots.
func (s *SyncNode) Home(object uint64) addr.NodeID { return s.slot(object).Home }

func (s *SyncNode) slot(object uint64) *Slot { return &s.conf.Slots[object%uint64(len(s.conf.Slots))] }

// Step handles one input and all that it causes within this node, and appends
// the effects to the batch. After an error nothing has changed but what Behind
// says.
//
// The errors are ErrForeign and ErrEarly, of InSync only: a request that cannot
// be is answered. A request of a party that has died is ignored.
func (s *SyncNode) Step(in SyncInput, b *SyncBatch) error {
	s.batch = b
	s.adopt(in.Cut)
	s.work.Inputs++
	if in.Kind == InSync {
		switch err := s.receive(in.Sync); err {
		case nil:
		case errDropped:
			s.dropped++
			return nil
		default:
			return err
		}
		if err := s.dispatch(in.Sync); err != nil {
			return err
		}
	} else {
		s.request(&in)
	}
	for i := 0; i < len(s.local); i++ {
		m := s.local[i]
		if err := s.dispatch(&m); err != nil {
			panic(fmt.Sprintf("mome: a message within node %d: %v", s.self, err))
		}
	}
	s.local = s.local[:0]
	return nil
}

// request hands a process's own step to its role.
func (s *SyncNode) request(in *SyncInput) {
	if p := s.parties[in.Party]; p != nil && p.dead {
		return
	}
	s.lamport++
	switch in.Kind {
	case InLockAcquire:
		lockClient{s}.AcquireLock(in)
	case InLockRelease:
		lockClient{s}.ReleaseLock(in)
	case InLockCancel:
		lockClient{s}.CancelLock(in)
	case InBarrierJoin:
		barrierClient{s}.JoinBarrier(in)
	case InBarrierWait:
		barrierClient{s}.AwaitBarrier(in)
	case InBarrierLeave:
		barrierClient{s}.LeaveBarrier(in)
	case InProcessDied:
		s.ProcessDied(in.Party)
		return
	default:
		panic(fmt.Sprintf("mome: no input of the kind %v", in.Kind))
	}
	s.observeInput(in)
}

// ProcessDied gives up what a party has, in the order of objects: locks, then
// seats.
func (s *SyncNode) ProcessDied(id uint64) {
	p := s.parties[id]
	if p == nil {
		return
	}
	p.dead = true
	lockClient{s}.abandonLocks(id)
	barrierClient{s}.abandonSeats(id)
	s.settle(id)
}

// dispatch hands a message that the receive rule has passed to its role, once the
// guards have passed it too.
func (s *SyncNode) dispatch(m *Sync) error {
	var err error
	switch m.Kind {
	case SyncAcquire, SyncCancel, SyncRelease:
		err = lockHome{s}.admit(m)
	case SyncJoin, SyncArrive, SyncLeave:
		err = barrierHome{s}.admit(m)
	case SyncGrant, SyncRefuse, SyncReleased:
		err = lockClient{s}.admit(m)
	default:
		err = barrierClient{s}.admit(m)
	}
	if err != nil {
		return err
	}
	s.learn(&m.Envelope)
	switch m.Kind {
	case SyncAcquire:
		lockHome{s}.HomeRecvAcquire(m)
	case SyncCancel:
		lockHome{s}.HomeRecvCancel(m)
	case SyncRelease:
		lockHome{s}.HomeRecvRelease(m)
	case SyncJoin:
		barrierHome{s}.HomeRecvJoin(m)
	case SyncArrive:
		barrierHome{s}.HomeRecvArrive(m)
	case SyncLeave:
		barrierHome{s}.HomeRecvLeave(m)
	case SyncGrant:
		lockClient{s}.RecvGrant(m)
	case SyncRefuse:
		lockClient{s}.RecvRefuse(m)
	case SyncReleased:
		lockClient{s}.RecvReleased(m)
	case SyncJoined:
		barrierClient{s}.RecvJoined(m)
	case SyncDone:
		barrierClient{s}.RecvDone(m)
	case SyncBroken:
		barrierClient{s}.RecvBroken(m)
	case SyncLeft:
		barrierClient{s}.RecvLeft(m)
	}
	s.observeMessage(m)
	return nil
}

// receive is the receive rule, and that requests go to the home of what they are
// about, and answers come from it.
func (s *SyncNode) receive(m *Sync) error {
	if !m.wellFormed() {
		return fmt.Errorf("%w: ill-formed %+v", ErrForeign, *m)
	}
	if err := s.endpoint.receive(&m.Envelope, m.Kind, s.slot(m.Object), nil); err != nil {
		return err
	}
	home := m.To.Node
	if m.From.Tag == addr.Root {
		home = m.From.Node
	}
	if s.Home(m.Object) != home {
		if s.ahead(&m.Envelope) {
			return ErrEarly
		}
		return s.foreign(m, fmt.Sprintf("node %d is not its home", home))
	}
	return nil
}

func (s *SyncNode) foreign(m *Sync, why string) error {
	return fmt.Errorf("%w: %v of object %#x from node %d, party %d, request %d: %s",
		ErrForeign, m.Kind, m.Object, m.From.Node, m.Party, m.Request, why)
}

// send fills what every message carries and passes it on: to this node within
// this step, to another as an effect.
func (s *SyncNode) send(from, to addr.Place, m Sync) {
	s.seal(&m.Envelope, from, to, s.slot(m.Object))
	if to.Node == s.self {
		s.local = append(s.local, m)
		return
	}
	s.batch.Send = append(s.batch.Send, m)
}

// toHome sends a request to the home of its object.
func (s *SyncNode) toHome(kind SyncKind, code SyncCode, m Sync) {
	m.Kind, m.Code = kind, code
	s.send(addr.Place{Node: s.self, Tag: addr.Leaf}, addr.Place{Node: s.Home(m.Object), Tag: addr.Root}, m)
}

// toNode sends what the home of its object says to a node.
func (s *SyncNode) toNode(to addr.NodeID, kind SyncKind, code SyncCode, m Sync) {
	m.Kind, m.Code = kind, code
	s.send(addr.Place{Node: s.self, Tag: addr.Root}, addr.Place{Node: to, Tag: addr.Leaf}, m)
}

// answer ends a request, unless nobody is left to hear it.
func (s *SyncNode) answer(a Answer) {
	if p := s.parties[a.Party]; p != nil && p.dead {
		return
	}
	s.batch.Answers = append(s.batch.Answers, a)
}

// refuse ends a request that changed nothing.
func (s *SyncNode) refuse(in *SyncInput, code SyncCode) {
	s.answer(Answer{Kind: in.Kind, Code: code, Party: in.Party, Request: in.Request})
}

// enter is the record of a party, a new one if there is none.
func (s *SyncNode) enter(id uint64) *party {
	p := s.parties[id]
	if p == nil {
		p = &party{}
		s.parties[id] = p
	}
	return p
}

// settle forgets a party of which nothing is remembered.
func (s *SyncNode) settle(id uint64) {
	if p := s.parties[id]; p != nil && p.turns == 0 && p.calls == 0 && p.seats == 0 {
		delete(s.parties, id)
	}
}

// mayCall says whether a party may have one more request without an answer.
func (s *SyncNode) mayCall(id uint64) bool {
	p := s.parties[id]
	return p == nil || p.calls < MaxCalls
}

// beginCall remembers that a request waits for its answer.
func (s *SyncNode) beginCall(c call) {
	s.calls[c]++
	s.enter(c.party).calls++
}

// touches are the objects of a party's calls of these kinds.
func (s *SyncNode) touches(id uint64, kinds ...SyncKind) (objects []uint64) {
	for c := range s.calls {
		if c.party == id && slices.Contains(kinds, c.kind) {
			objects = append(objects, c.object)
		}
	}
	return objects
}

// sorted puts objects into their order, each once.
func sorted(objects []uint64) []uint64 {
	slices.Sort(objects)
	return slices.Compact(objects)
}

// endCall is called when the answer has come.
func (s *SyncNode) endCall(c call) {
	if s.calls[c]--; s.calls[c] == 0 {
		delete(s.calls, c)
	}
	s.parties[c.party].calls--
}
