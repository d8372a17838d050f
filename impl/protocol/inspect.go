package protocol

import "github.com/mome-dsm/mome/impl/addr"

// ManagerState is a copy of the spec's mgr[m], for invariants and tests.
// Children are bits, and indices of Tree.Child.
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
	Climbing  bool // phase "up"
	Wait      uint64
	WaitHome  bool
	Source    Source

	Recall     bool
	RecallKeep Right
	RecallWait uint64

	QueuedRecalls  int
	QueuedRequests uint64 // of these children
	Queued         int
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
func (m *ManagerState) Idle() bool { return m.Busy == OpNone && !m.Recall && m.Queued == 0 }

// Manager is the state of the root or an intermediate of a page at this node.
func (s *Shard) Manager(p addr.PageNum, at addr.Place) ManagerState {
	id := addr.ID(p, at)
	d := s.directories[id]
	if at.Tag == addr.Root {
		d.right = Write
	}
	m := ManagerState{Right: d.right, Marked: d.marked, Owner: d.ownerChild(), OwnerRight: d.ownerRight,
		Stale: d.home == stale, Virgin: d.home == virgin, Version: d.version}
	t := s.transactions[id]
	if t == nil {
		return m
	}
	m.Busy, m.BusyChild, m.BusyLeaf = t.busy.op, int(t.busy.child), t.busy.leaf
	m.Climbing, m.Wait, m.WaitHome, m.Source = t.busy.climbing, t.busy.wait, t.busy.waitHome, t.busy.source
	m.Recall, m.RecallKeep, m.RecallWait = t.recall.active, t.recall.keep, t.recall.wait
	m.Queued = len(t.queue)
	for i := range t.queue {
		if t.queue[i].recall {
			m.QueuedRecalls++
		} else {
			m.QueuedRequests |= 1 << t.queue[i].child
		}
	}
	return m
}

// LeafState is a copy of the spec's leaf[l], without the content. Grant and
// Recall are the head of the channel from the parent, as far as it has come.
type LeafState struct {
	Right         Right
	Version       uint64
	Req           Op
	Arrived       bool
	Grant, Recall *Message // nil where none waits
}

// Leaf is the state of the leaf of a page.
func (s *Shard) Leaf(p addr.PageNum) LeafState {
	v := s.views[p]
	l := LeafState{Right: v.right, Version: v.version}
	a := s.asks[p]
	if a == nil {
		return l
	}
	l.Req, l.Arrived = a.op, a.arrived
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

// Tree is the tree of the page's slot.
// Preconditions: the page is in a segment.
func (s *Shard) Tree(p addr.PageNum) Tree { return s.tree(p) }
