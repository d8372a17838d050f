package protocol

import (
	"fmt"
	"math/bits"

	"github.com/mome-dsm/mome/impl/addr"
)

// noChild is the owner of a manager that has none.
const noChild = -1

// homeState is the state of the root's own copy.
type homeState uint8

const (
	virgin homeState = iota // never written: zeros
	valid
	stale // the owner has the content
)

var homeNames = [...]string{"virgin", "valid", "stale"}

func (h homeState) String() string { return name(homeNames[:], uint8(h)) }

// directory is all that a manager remembers of an idle page. The zero value is
// a page that was never asked for. It has no pointers: a table of them costs
// the garbage collector nothing.
type directory struct {
	marked     uint64 // children with a recorded right
	version    uint64 // the master version last granted through this manager
	owner      int8   // the child recorded owned or write, plus one; 0 is nobody
	ownerRight Right  // what the owner is recorded with
	right      Right  // what the parent granted; the root's is Write
	home       homeState
}

func (d *directory) recorded(c int) Right {
	switch {
	case int(d.owner)-1 == c:
		return d.ownerRight
	case d.marked&(1<<c) != 0:
		return Read
	}
	return None
}

func (d *directory) record(c int, r Right) {
	if int(d.owner)-1 == c {
		d.owner, d.ownerRight = 0, None
	}
	if r == None {
		d.marked &^= 1 << c
		return
	}
	d.marked |= 1 << c
	if r >= Owned {
		d.owner, d.ownerRight = int8(c+1), r
	}
}

func (d *directory) ownerChild() int { return int(d.owner) - 1 }

// busyState is the one request that a manager serves.
type busyState struct {
	op       Op // OpNone: not busy
	have     Right
	source   Source // SourceNone until the data is on its way, or known not to be needed
	climbing bool   // waits for the parent (phase "up"), else serving
	waitHome bool   // the home's Data is still expected
	child    int8
	leaf     addr.NodeID
	wait     uint64 // children that were recalled for it
	txn      Txn
}

// recallState is the parent's recall that a manager collects.
type recallState struct {
	active bool
	keep   Right
	dst    Dst
	hit    bool
	leaf   addr.NodeID
	wait   uint64
	txn    Txn
}

// waiting is a request or a recall that came and was not taken yet.
type waiting struct {
	recall bool
	child  int8 // of a request
	op     Op
	have   Right
	keep   Right // of a recall
	dst    Dst
	leaf   addr.NodeID
	txn    Txn
}

// transaction is what a manager remembers of a page while it is not idle.
type transaction struct {
	busy   busyState
	recall recallState
	queue  []waiting // at most one request per child, and one recall
}

func (t *transaction) idle() bool {
	return t.busy.op == OpNone && !t.recall.active && len(t.queue) == 0
}

func (t *transaction) phase() Phase {
	switch {
	case t.recall.active && t.busy.climbing:
		return RecalledClimbing
	case t.recall.active:
		return Recalled
	case t.busy.op == OpNone:
		return Idle
	case t.busy.climbing:
		return Climbing
	}
	return Serving
}

// manager is a root or an intermediate during one handler: the spec's s.
type manager struct {
	*Shard
	id   addr.ManagerID
	at   addr.Place
	page addr.PageNum
	tree Tree
	root bool
	dir  directory
	*transaction
}

// begin loads the manager of a page.
func (s *Shard) begin(p addr.PageNum, at addr.Place) *manager {
	m := &s.turn
	*m = manager{Shard: s, id: addr.ID(p, at), at: at, page: p, root: at.Tag == addr.Root}
	m.tree = s.tree(p)
	m.dir = s.directories.get(m.id)
	if m.root {
		m.dir.right = Write
	}
	m.transaction = s.transactions.get(m.id)
	if m.transaction == nil {
		m.transaction = s.newTransaction()
	}
	return m
}

// end runs the decision and stores the manager.
func (m *manager) end() {
	m.decide()
	m.store()
	if invariantsOn {
		m.check()
	}
}

// store puts the manager back into the tables. An idle page costs little there.
func (m *manager) store() {
	if m.transaction.idle() {
		m.transactions.set(m.id, nil)
		m.freeTransaction(m.transaction)
	} else {
		m.transactions.set(m.id, m.transaction)
	}
	d := m.dir
	if m.root {
		d.right = None
	} else if d.right == None {
		// Nothing is marked: the next Grant brings the version again.
		d.version = 0
	}
	m.directories.set(m.id, d)
}

// down sends a message to a child, on behalf of a transaction.
func (m *manager) down(c int, msg Message, txn Txn) {
	msg.Version = m.dir.version
	msg.Txn = txn
	m.send(m.at, m.tree.Child(m.at, c), m.page, msg)
}

// toParent sends a message to the parent.
func (m *manager) toParent(msg Message, txn Txn) {
	msg.Version = m.dir.version
	msg.Txn = txn
	parent, _ := m.tree.Parent(m.at)
	m.send(m.at, parent, m.page, msg)
}

// recallAll recalls the page from every child of the set; only the owner sends
// it to dst.
func (m *manager) recallAll(set uint64, dst Dst, leaf addr.NodeID, txn Txn) {
	owner := m.dir.ownerChild()
	if broken(bugRecallsNarrow) {
		set &= 1<<32 - 1
	}
	for rest := set; rest != 0; rest &= rest - 1 {
		c := bits.TrailingZeros64(rest)
		to := ToNobody
		if c == owner {
			to = dst
		}
		m.down(c, Message{Kind: Recall, Keep: None, Dst: to, Leaf: leaf}, txn)
	}
}

// decide is the one decision at the end of every handler; handlers only update
// state. It is the spec's Decide, as a loop.
func (m *manager) decide() {
	for {
		switch {
		case m.recall.active:
			if broken(bugServeWhileRecalled) && m.busy.op == OpNone && len(m.queue) > 0 {
				m.takeReq()
			}
			if broken(bugServeWhileRecalled) && m.busy.op != OpNone && !m.busy.climbing && m.busy.wait == 0 {
				m.serve()
				continue
			}
			if m.recall.wait != 0 && !(broken(bugAckBeforeCollect) && m.recall.keep == None) {
				return
			}
			m.collect()
		case m.mayTakeRecall():
			m.takeRecall()
		case m.busy.op != OpNone:
			if m.busy.climbing || m.busy.wait != 0 || m.busy.waitHome {
				return
			}
			m.serve()
		case len(m.queue) > 0:
			m.takeReq()
		default:
			return
		}
	}
}

// takeReq starts to serve the request that came first.
func (m *manager) takeReq() {
	i := 0
	switch { // of the requests, never the recall
	case broken(bugNewestFirst):
		for i = len(m.queue) - 1; m.queue[i].recall; i-- {
		}
	case broken(bugRequestsFirst):
		for m.queue[i].recall {
			i++
		}
	}
	r := m.queue[i]
	m.queue = append(m.queue[:i], m.queue[i+1:]...)
	m.busy = busyState{op: r.op, child: r.child, leaf: r.leaf, have: r.have, txn: r.txn}
	if r.op == OpRead && !broken(bugUnmarkMissing) {
		// Rule 1: who asks to read says that it has nothing.
		m.dir.record(int(r.child), None)
	}
}

// RecvReq is the spec's RecvReq(m, c): a child asks.
func (m *manager) RecvReq(c int, r *Message) {
	m.queue = append(m.queue, waiting{child: int8(c), op: r.Op, leaf: r.Leaf, have: r.Have, txn: r.Txn})
	m.end()
}

// RecvGrant is the spec's RecvGrant(m): the parent answers the busy request.
// Preconditions: busy and climbing.
func (m *manager) RecvGrant(g *Message) {
	switch g.Op {
	case OpRead:
		m.dir.right = max(m.dir.right, Read)
	case OpWrite:
		m.dir.right = Write
	}
	m.dir.version = max(m.dir.version, g.Version)
	m.busy.climbing = false
	m.busy.source = g.Source
	if g.Op != OpWriteback && g.Source == Have && !broken(bugHavePassedDown) {
		// Rule 3: "have" means that this manager's children supply it.
		m.busy.source = SourceNone
	}
	m.end()
}

// RecvRecall is the spec's RecvRecall(m): the parent recalls.
func (m *manager) RecvRecall(r *Message) {
	m.queue = append(m.queue, waiting{recall: true, keep: r.Keep, dst: r.Dst, leaf: r.Leaf, txn: r.Txn})
	m.end()
}

// RecvAck is the spec's RecvAck(m, c): a child answers a recall.
// Preconditions: c is in the wait set of the recall, or else of the busy
// request.
func (m *manager) RecvAck(c int, a *Message) {
	m.dir.record(c, min(m.dir.recorded(c), a.Keep))
	if m.recall.active {
		m.recall.wait &^= 1 << c
		m.recall.hit = m.recall.hit || a.Hit
	} else {
		m.busy.wait &^= 1 << c
		if a.Hit && m.busy.op != OpWriteback {
			m.busy.source = Sent
		}
	}
	m.end()
}

// admit says what is wrong with a message before it changes anything. The
// guards are the spec's, and what the channel's discipline implies.
func (m *manager) admit(from addr.Place, msg *Message) error {
	child := noChild
	if msg.Kind == Req || msg.Kind == Ack {
		if from.Tag == addr.Root || !m.tree.Has(from) {
			return m.foreign(msg, "its sender is not in this page's tree")
		}
		parent, c := m.tree.Parent(from)
		if parent != m.at {
			return m.foreign(msg, "its sender is not a child")
		}
		child = c
		if msg.Kind == Req && !m.tree.below(msg.Leaf, from) {
			return m.foreign(msg, "it asks for a leaf that is not below its sender")
		}
	}
	if msg.Kind == Grant || msg.Kind == Recall {
		if m.root {
			return m.foreign(msg, "a root has no parent")
		}
		if parent, _ := m.tree.Parent(m.at); parent != from {
			return m.foreign(msg, "its sender is not the parent")
		}
	}
	switch msg.Kind {
	case Req:
		for i := range m.queue {
			if !m.queue[i].recall && int(m.queue[i].child) == child {
				return m.foreign(msg, "the child has a request already")
			}
		}
		if m.busy.op != OpNone && int(m.busy.child) == child {
			return m.foreign(msg, "the child's request is being served")
		}
		recorded := m.dir.recorded(child)
		if msg.Have > recorded {
			return m.foreign(msg, "the child has less than it claims")
		}
		if recorded >= Owned && msg.Have < Owned {
			// Owned never leaves silently, and who writes asks for no page.
			return m.foreign(msg, "the child has more than it claims")
		}
	case Grant:
		if m.busy.op == OpNone || !m.busy.climbing || m.busy.op != msg.Op || m.busy.leaf != msg.Leaf {
			return m.foreign(msg, "nothing of the kind was asked for")
		}
		if m.recall.active {
			// The parent grants nothing before the Recall is answered.
			return m.foreign(msg, "a recall is being collected")
		}
		if msg.Op == OpWrite && msg.Source == Have && m.supported() == None && m.dir.owner == 0 {
			// Rule 5: the Req claimed no copy, or a recall took it since.
			return m.foreign(msg, "no child has a copy to keep")
		}
	case Recall:
		for i := range m.queue {
			if m.queue[i].recall {
				return m.foreign(msg, "a recall waits already")
			}
		}
		if m.recall.active {
			return m.foreign(msg, "a recall is being collected")
		}
		if msg.Dst == ToLeaf && m.tree.below(msg.Leaf, m.at) {
			return m.foreign(msg, "it wants the page for a leaf below this manager")
		}
	case Ack:
		wait := m.busy.wait
		if m.recall.active {
			wait = m.recall.wait
		}
		if wait&(1<<child) == 0 {
			return m.foreign(msg, "nobody waits for it")
		}
		keep, dst := m.recalled(child)
		keep = min(keep, m.dir.recorded(child))
		if msg.Keep > keep {
			return m.foreign(msg, "the child keeps more than it was left")
		}
		if msg.Hit && dst == ToNobody {
			return m.foreign(msg, "it was to send the page to nobody")
		}
		if !msg.Hit && dst != ToNobody && child == m.dir.ownerChild() {
			// Rule 7: the owner always hits.
			return m.foreign(msg, "the owner has not sent the page")
		}
		if dst != ToNobody && keep != None && msg.Hit != (msg.Keep == keep) {
			return m.foreign(msg, "who has the page sends it and keeps what it was left")
		}
	case Data:
		if !m.root || !m.busy.waitHome {
			return m.foreign(msg, "the home expects none")
		}
		if from.Tag != addr.Leaf {
			return m.foreign(msg, "its sender has no page to send")
		}
	}
	return nil
}

// recalled is what the Recall said that a child of the wait set has not answered
// yet: it is still what takeRecall, collect or serve would send it.
func (m *manager) recalled(child int) (keep Right, dst Dst) {
	owner := m.dir.ownerChild()
	switch {
	case m.recall.active:
		keep, dst = m.recall.keep, m.recall.dst
	case m.busy.op == OpRead:
		keep, dst = Read, ToLeaf
		if child == owner {
			keep = Owned
		}
	case m.busy.op == OpWriteback:
		keep, dst = Read, ToHome
	case m.busy.source == SourceNone && m.supported() == None:
		dst = ToLeaf
	}
	if keep == None && child != owner {
		dst = ToNobody
	}
	return keep, dst
}

func (m *manager) foreign(msg *Message, why string) error {
	return fmt.Errorf("%w: %v of %v at %v: %s", ErrForeign, msg.Kind, m.page, m.at, why)
}
