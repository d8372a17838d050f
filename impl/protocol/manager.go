package protocol

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
)

// manager is a root or an intermediate during one handler: the spec's s.
type manager struct {
	*Shard
	id   addr.ManagerID
	at   addr.Place
	page addr.PageNum
	tree Tree
	root bool
	dir  Directory
	*Transaction
}

// begin loads the manager of a page.
func (s *Shard) begin(p addr.PageNum, at addr.Place) *manager {
	m := &s.handling
	*m = manager{Shard: s, id: addr.ID(p, at), at: at, page: p, root: at.Tag == addr.Root}
	m.tree = s.tree(p)
	m.dir = s.directories.get(m.id)
	if m.root {
		m.dir.Right = Write
	}
	m.Transaction = s.transactions.get(m.id)
	if m.Transaction == nil {
		m.Transaction = s.newTransaction()
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
	if m.Idle() {
		m.transactions.set(m.id, nil)
		m.freeTransaction(m.Transaction)
	} else {
		m.transactions.set(m.id, m.Transaction)
	}
	d := m.dir
	if m.root {
		d.Right = None
	} else if d.Right == None {
		// Nothing is marked: the next Grant brings the version again.
		d.Version = 0
	}
	m.directories.set(m.id, d)
}

// down sends a message to a child, on behalf of a transaction.
func (m *manager) down(c int, msg Message, txn Txn) {
	msg.Version = m.dir.Version
	msg.Txn = txn
	m.send(m.at, m.tree.Child(m.at, c), m.page, msg)
}

// toParent sends a message to the parent.
func (m *manager) toParent(msg Message, txn Txn) {
	msg.Version = m.dir.Version
	msg.Txn = txn
	parent, _ := m.tree.Parent(m.at)
	m.send(m.at, parent, m.page, msg)
}

// decide is the one decision at the end of every handler; handlers only update
// state. It is the spec's Decide, as a loop.
func (m *manager) decide() {
	for {
		switch {
		case m.Recall.Active:
			if !m.Recall.collected() {
				return
			}
			m.collect()
		case m.mayTakeRecall():
			m.takeRecall()
		case m.Busy.Op != OpNone:
			if m.Busy.Climbing || !m.Busy.collected() {
				return
			}
			m.serve()
		case len(m.Queue) > 0:
			m.takeReq()
		default:
			return
		}
	}
}

// takeReq starts to serve the request that came first.
func (m *manager) takeReq() {
	r := m.Queue[0]
	m.Queue = append(m.Queue[:0], m.Queue[1:]...)
	m.Busy = Busy{Op: r.Op, Child: r.Child, Have: r.Have, Collection: Collection{Leaf: r.Leaf, Txn: r.Txn}}
	if r.Op.row().most == None {
		// Rule 1: who asks for a copy says that it has nothing.
		m.dir.record(int(r.Child), None)
	}
}

// RecvReq is the spec's RecvReq(m, c): a child asks.
func (m *manager) RecvReq(c int, r *Message) {
	m.Queue = append(m.Queue, Waiting{Op: r.Op, Child: int8(c), Have: r.Have, Leaf: r.Leaf, Txn: r.Txn})
	m.end()
}

// RecvGrant is the spec's RecvGrant(m): the parent answers the busy request.
// Preconditions: busy and climbing.
func (m *manager) RecvGrant(g *Message) {
	row := g.Op.row()
	m.dir.Right = max(m.dir.Right, row.grants)
	m.dir.Version = max(m.dir.Version, g.Version)
	m.Busy.Climbing = false
	m.Busy.Source = g.Source
	if row.supplies && g.Source == Have {
		// Rule 3: "have" means that this manager's children supply it.
		m.Busy.Source = SourceNone
	}
	m.end()
}

// RecvRecall is the spec's RecvRecall(m): the parent recalls.
func (m *manager) RecvRecall(r *Message) {
	m.Queue = append(m.Queue, Waiting{Keep: r.Keep, Dst: r.Dst, Leaf: r.Leaf, Txn: r.Txn})
	m.end()
}

// RecvAck is the spec's RecvAck(m, c): a child answers a recall.
// Preconditions: c is in the wait set of the recall, or else of the busy
// request.
func (m *manager) RecvAck(c int, a *Message) {
	m.dir.record(c, min(m.dir.Recorded(c), a.Keep))
	by := m.collection()
	by.Wait &^= 1 << c
	by.Hit = by.Hit || a.Hit
	m.end()
}

// collection is what an Ack is for: while a recall is being collected nothing is
// collected for a request.
func (m *manager) collection() *Collection {
	if m.Recall.Active {
		return &m.Recall.Collection
	}
	return &m.Busy.Collection
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
		for i := range m.Queue {
			if !m.Queue[i].IsRecall() && int(m.Queue[i].Child) == child {
				return m.foreign(msg, "the child has a request already")
			}
		}
		if m.Busy.Op != OpNone && int(m.Busy.Child) == child {
			return m.foreign(msg, "the child's request is being served")
		}
		recorded := m.dir.Recorded(child)
		if msg.Have > recorded {
			return m.foreign(msg, "the child has less than it claims")
		}
		if recorded >= Owned && msg.Have < Owned {
			// Owned never leaves silently, and who writes asks for no page.
			return m.foreign(msg, "the child has more than it claims")
		}
	case Grant:
		if m.Busy.Op == OpNone || !m.Busy.Climbing || m.Busy.Op != msg.Op || m.Busy.Leaf != msg.Leaf {
			return m.foreign(msg, "nothing of the kind was asked for")
		}
		if m.Recall.Active {
			// The parent grants nothing before the Recall is answered.
			return m.foreign(msg, "a recall is being collected")
		}
		if msg.Op.row().supplies && msg.Source == Have && m.supported() == None && m.dir.Owner == nobody {
			// Rule 5: the Req claimed no copy, or a recall took it since.
			return m.foreign(msg, "no child has a copy to keep")
		}
	case Recall:
		for i := range m.Queue {
			if m.Queue[i].IsRecall() {
				return m.foreign(msg, "a recall waits already")
			}
		}
		if m.Recall.Active {
			return m.foreign(msg, "a recall is being collected")
		}
		if msg.Dst == ToLeaf && m.tree.below(msg.Leaf, m.at) {
			return m.foreign(msg, "it wants the page for a leaf below this manager")
		}
	case Ack:
		by := m.collection()
		if by.Wait&(1<<child) == 0 {
			return m.foreign(msg, "nobody waits for it")
		}
		keep, dst := min(by.Keep, m.dir.Recorded(child)), m.sends(by, child)
		if msg.Keep > keep {
			return m.foreign(msg, "the child keeps more than it was left")
		}
		if msg.Hit && dst == ToNobody {
			return m.foreign(msg, "it was to send the page to nobody")
		}
		if !msg.Hit && dst != ToNobody && child == m.dir.Owner.Child() {
			// Rule 7: the owner always hits.
			return m.foreign(msg, "the owner has not sent the page")
		}
		if dst != ToNobody && keep != None && msg.Hit != (msg.Keep == keep) {
			return m.foreign(msg, "who has the page sends it and keeps what it was left")
		}
	case Data:
		if !m.root || m.Busy.HomeDue == 0 {
			return m.foreign(msg, "the home expects none")
		}
		if from.Tag != addr.Leaf {
			return m.foreign(msg, "its sender has no page to send")
		}
	}
	return nil
}

func (m *manager) foreign(msg *Message, why string) error {
	return fmt.Errorf("%w: %v of %v at %v: %s", ErrForeign, msg.Kind, m.page, m.at, why)
}

// state is the manager for the text of a panic.
func (m *manager) state() string {
	state := ManagerState{m.dir, *m.Transaction}
	return string(state.AppendJSON(nil))
}
