package protocol

import (
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
)

// ManagerState is the spec's mgr[m] as a value, with what the code adds to it:
// the version and the transactions. Children are bits, and indices of
// Tree.Child.
type ManagerState struct {
	Right      Right
	Marked     uint64 // recorded Read or more
	Owner      int    // the child recorded Owned or Write, or -1
	OwnerRight Right
	Stale      bool // the home's copy is
	Virgin     bool
	Version    uint64

	Busy      Op // OpNone: not busy
	BusyChild int
	BusyLeaf  addr.NodeID
	BusyHave  Right
	Climbing  bool // phase "up"
	Wait      uint64
	WaitHome  bool
	Source    Source
	BusyTxn   Txn

	Recall     bool
	RecallKeep Right
	RecallDst  Dst
	RecallLeaf addr.NodeID
	RecallHit  bool
	RecallWait uint64
	RecallTxn  Txn

	Queue []Waiting // in the order of arrival
}

// Waiting is a request or a recall that came to a manager and was not taken yet.
type Waiting struct {
	Recall bool
	Child  int // of a request
	Op     Op
	Have   Right
	Keep   Right // of a recall
	Dst    Dst
	Leaf   addr.NodeID
	Txn    Txn
}

// Recorded is the right that is recorded for a child.
func (m *ManagerState) Recorded(c int) Right {
	switch {
	case m.Owner == c:
		return m.OwnerRight
	case m.Marked&(1<<c) != 0:
		return Read
	}
	return None
}

// Idle says whether the manager has nothing to do.
func (m *ManagerState) Idle() bool { return m.Busy == OpNone && !m.Recall && len(m.Queue) == 0 }

// Manager is the state of the root or an intermediate of a page at this node.
func (s *Shard) Manager(p addr.PageNum, at addr.Place) ManagerState {
	id := addr.ID(p, at)
	d := s.directories.get(id)
	if at.Tag == addr.Root {
		d.right = Write
	}
	m := ManagerState{Right: d.right, Marked: d.marked, Owner: d.ownerChild(), OwnerRight: d.ownerRight,
		Stale: d.home == stale, Virgin: d.home == virgin, Version: d.version}
	t := s.transactions.get(id)
	if t == nil {
		return m
	}
	b, r := &t.busy, &t.recall
	m.Busy, m.BusyChild, m.BusyLeaf, m.BusyHave, m.BusyTxn = b.op, int(b.child), b.leaf, b.have, b.txn
	m.Climbing, m.Wait, m.WaitHome, m.Source = b.climbing, b.wait, b.waitHome, b.source
	m.Recall, m.RecallKeep, m.RecallDst, m.RecallLeaf = r.active, r.keep, r.dst, r.leaf
	m.RecallHit, m.RecallWait, m.RecallTxn = r.hit, r.wait, r.txn
	for _, w := range t.queue {
		m.Queue = append(m.Queue, Waiting{w.recall, int(w.child), w.op, w.have, w.keep, w.dst, w.leaf, w.txn})
	}
	return m
}

// Unanswered are the children whose requests the manager has and has not
// granted, as bits: what Busy and Queue of Manager say.
func (s *Shard) Unanswered(p addr.PageNum, at addr.Place) uint64 {
	t := s.transactions.get(addr.ID(p, at))
	if t == nil {
		return 0
	}
	var children uint64
	if t.busy.op != OpNone {
		children |= 1 << t.busy.child
	}
	for _, w := range t.queue {
		if !w.recall {
			children |= 1 << w.child
		}
	}
	return children
}

// RecallWaits says whether a Recall of the parent waits at the manager and was
// not taken yet.
func (s *Shard) RecallWaits(p addr.PageNum, at addr.Place) bool {
	t := s.transactions.get(addr.ID(p, at))
	return t != nil && slices.ContainsFunc(t.queue, func(w waiting) bool { return w.recall })
}

// SetManager puts a manager into a state that Manager gave.
func (s *Shard) SetManager(p addr.PageNum, at addr.Place, m *ManagerState) {
	home := valid
	switch {
	case m.Stale:
		home = stale
	case m.Virgin:
		home = virgin
	}
	to := s.begin(p, at)
	to.dir = directory{marked: m.Marked, version: m.Version, owner: int8(m.Owner + 1), ownerRight: m.OwnerRight,
		right: m.Right, home: home}
	to.busy = busyState{op: m.Busy, have: m.BusyHave, source: m.Source, climbing: m.Climbing, waitHome: m.WaitHome,
		child: int8(m.BusyChild), leaf: m.BusyLeaf, wait: m.Wait, txn: m.BusyTxn}
	to.recall = recallState{active: m.Recall, keep: m.RecallKeep, dst: m.RecallDst, hit: m.RecallHit,
		leaf: m.RecallLeaf, wait: m.RecallWait, txn: m.RecallTxn}
	to.queue = to.queue[:0]
	for _, w := range m.Queue {
		to.queue = append(to.queue, waiting{w.Recall, int8(w.Child), w.Op, w.Have, w.Keep, w.Dst, w.Leaf, w.Txn})
	}
	to.store()
	s.placed(p)
}

// LeafState is the spec's leaf[l] as a value, without the content. Grant and
// Recall are the head of the channel from the parent, as far as it has come.
type LeafState struct {
	Right         Right
	Version       uint64
	Stamp         uint32 // the shell's, of the last grant
	Req           Op
	Have          Right // what Req claims to have
	Txn           Txn   // of Req
	Arrived       bool
	Grant, Recall *Message // nil where none waits
}

// Leaf is the state of the leaf of a page.
func (s *Shard) Leaf(p addr.PageNum) LeafState {
	v := s.views.get(p)
	l := LeafState{Right: v.right, Version: v.version, Stamp: v.stamp}
	a := s.asks.get(p)
	if a == nil {
		return l
	}
	l.Arrived = a.arrived
	if a.op != OpNone {
		l.Req, l.Have, l.Txn = a.op, a.have, a.txn
	}
	if a.grant.Kind != KindInvalid {
		g := a.grant
		l.Grant = &g
	}
	if a.recall.Kind != KindInvalid {
		r := a.recall
		l.Recall = &r
	}
	return l
}

// SetLeaf puts the leaf of a page into a state that Leaf gave.
func (s *Shard) SetLeaf(p addr.PageNum, l *LeafState) {
	to := s.beginLeaf(p)
	to.view = view{version: l.Version, stamp: l.Stamp, right: l.Right}
	*to.asking = asking{op: l.Req, have: l.Have, arrived: l.Arrived, txn: l.Txn}
	if l.Grant != nil {
		to.grant = *l.Grant
	}
	if l.Recall != nil {
		to.asking.recall = *l.Recall
	}
	to.endLeaf()
	s.placed(p)
}

// Tree is the tree of the page's slot.
// Preconditions: the page is in a segment.
func (s *Shard) Tree(p addr.PageNum) Tree { return s.tree(p) }
