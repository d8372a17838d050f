package protocol

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
)

// leafManager is the leaf of a page during one handler.
type leafManager struct {
	*Shard
	at   addr.Place
	page addr.PageNum
	View
	*Asking
}

func (s *Shard) beginLeaf(p addr.PageNum) *leafManager {
	l := &s.handlingLeaf
	*l = leafManager{Shard: s, at: addr.Place{Node: s.self, Tag: addr.Leaf}, page: p, View: s.views.get(p), Asking: s.asks.get(p)}
	if l.Asking == nil {
		l.Asking = s.newAsking()
	}
	return l
}

// endLeaf puts the leaf back into the tables.
func (l *leafManager) endLeaf() {
	if invariantsOn {
		l.check()
	}
	if l.Asking.idle() {
		l.asks.set(l.page, nil)
		l.freeAsking(l.Asking)
	} else {
		l.asks.set(l.page, l.Asking)
	}
	l.storeView()
}

// storeView keeps nothing of a page without a right.
func (l *leafManager) storeView() {
	if l.Right == None {
		l.views.set(l.page, View{})
	} else {
		l.views.set(l.page, l.View)
	}
}

// show makes the leaf's state visible to an observer in the middle of a step.
func (l *leafManager) show() {
	if l.observer == nil {
		return
	}
	l.storeView()
	l.asks.set(l.page, l.Asking)
}

// What a node has of a page is three things: the right that the tree has granted
// (Right), a copy of the content, and the access that its processes may have. Under
// strong the right decides the other two.

// hasCopy is the spec's HasCopy(l): the frame has the page, under a right.
func (l *leafManager) hasCopy() bool { return l.Right != None }

// access is the spec's Access of the leaf's right: the most that a process may do.
func (l *leafManager) access() Right { return Access(l.Right) }

// grantAccess lets the processes that wait for the page use it.
func (l *leafManager) grantAccess() {
	if l.access() == Write {
		l.prepareStore()
	}
	l.batch.add(Effect{Kind: FrameGrant, Page: l.page, Access: l.access()})
}

// prepareStore is the spec's PrepareStore: it comes before every grant of stores,
// that of a write and that of a fault under the right to write. What must be kept of
// a page before it changes is kept here.
func (l *leafManager) prepareStore() { l.prepare(l.at, l.page, l.cut) }

// ask is the spec's Ask(l, op, have).
// Preconditions: no request is out.
func (l *leafManager) ask(op Op, have Right) {
	l.txns++
	l.Txn = Txn{Leaf: l.self, Incarnation: l.incarnation, Counter: l.txns}
	l.Op, l.Have = op, have
	l.lamport++
	parent, _ := l.tree(l.page).Parent(l.at)
	l.send(l.at, parent, l.page,
		Message{Kind: Req, Op: op, Leaf: l.self, Have: have, Version: l.Version, Txn: l.Txn})
}

// ReadFault is the spec's ReadFault(l).
func (l *leafManager) ReadFault() bool {
	if l.Right != None || l.Op != OpNone {
		return false
	}
	l.ask(OpRead, None)
	return true
}

// WriteFault is the spec's WriteFault(l).
func (l *leafManager) WriteFault() bool {
	if l.Right >= Write || l.Op != OpNone {
		return false
	}
	l.ask(OpWrite, l.Right)
	return true
}

// Writeback is the spec's Writeback(l): an owner asks to be cleaned.
func (l *leafManager) Writeback() bool {
	if l.Right < Owned || l.Op != OpNone {
		return false
	}
	l.ask(OpWriteback, l.Right)
	return true
}

// Evict is the spec's Evict(l): only a read copy leaves silently, and never
// under one's own request.
func (l *leafManager) Evict() bool {
	if l.Right != Read || l.Op != OpNone {
		return false
	}
	l.Right = None
	l.prepare(l.at, l.page, 0)
	l.lamport++
	l.batch.add(Effect{Kind: FrameDrop, Page: l.page})
	return true
}

// RecvData is the spec's RecvData(l): the page arrives, before or after its
// Grant.
func (l *leafManager) RecvData(d *Message, local bool) {
	l.Arrived = true
	l.prepare(l.at, l.page, d.Prepared)
	// A leaf may get a page that it did not need: it is the same page.
	if !local && !l.hasCopy() {
		l.batch.add(Effect{Kind: FrameFill, Page: l.page})
	}
}

// LeafRecvGrant is the spec's LeafRecvGrant(l).
// Preconditions: the Data of a Grant(sent) has arrived.
func (l *leafManager) LeafRecvGrant(g *Message) {
	if g.Source == Zero && !l.hasCopy() {
		l.batch.add(Effect{Kind: FrameZero, Page: l.page})
	}
	row := g.Op.row()
	l.Right = max(l.Right, row.grants)
	if g.Source == Sent {
		l.Arrived = false
	}
	l.Op, l.Have = OpNone, None
	l.Over = false // a residence begins
	if !row.supplies {
		l.batch.add(Effect{Kind: Written, Page: l.page})
	} else {
		l.Version = g.Version
		l.Stamp = l.now
		l.grantAccess()
	}
}

// LeafRecvRecall is the spec's LeafRecvRecall(l): the frame answers in the same
// step.
func (l *leafManager) LeafRecvRecall(r *Message) {
	keep := min(l.Right, r.Keep)
	hit := l.hasCopy() && r.Dst != ToNobody
	if l.access() == Write {
		l.batch.add(Effect{Kind: FrameProtect, Page: l.page})
	}
	if hit {
		to := addr.Place{Node: r.Leaf, Tag: addr.Leaf}
		if r.Dst == ToHome {
			to = l.tree(l.page).Root()
		}
		l.sendData(l.at, to, l.page, Message{Version: l.Version, Txn: r.Txn})
	}
	if l.hasCopy() && keep == None {
		l.prepare(l.at, l.page, 0)
		l.batch.add(Effect{Kind: FrameDrop, Page: l.page})
	}
	l.Right = keep
	parent, _ := l.tree(l.page).Parent(l.at)
	l.send(l.at, parent, l.page, Message{Kind: Ack, Keep: keep, Hit: hit, Version: l.Version, Txn: r.Txn})
}

// admitLeaf says what is wrong with a message before it changes anything.
func (l *leafManager) admitLeaf(from addr.Place, msg *Message) error {
	why := ""
	switch msg.Kind {
	case Grant, Recall:
		if parent, _ := l.tree(l.page).Parent(l.at); parent != from {
			why = "its sender is not the parent"
		} else if msg.Kind == Grant && (l.Op != msg.Op || l.self != msg.Leaf || l.Grant.Kind != KindInvalid) {
			why = "nothing of the kind was asked for"
		} else if msg.Kind == Grant && l.Recall.Kind != KindInvalid {
			// The parent grants nothing before the Recall is answered.
			why = "a recall waits"
		} else if msg.Kind == Recall && msg.Dst == ToLeaf && msg.Leaf == l.self {
			why = "the page would go where it is"
		} else if msg.Kind == Grant && msg.Source == Have && msg.Op.row().supplies && !l.hasCopy() {
			why = "the leaf has no copy to keep"
		} else if msg.Kind == Grant && msg.Source != Sent && l.Arrived {
			why = "its Data has come"
		} else if msg.Kind == Recall && l.Recall.Kind != KindInvalid {
			why = "a recall waits already"
		}
	case Data:
		if l.Arrived || !l.expects() || l.Grant.Kind != KindInvalid && l.Grant.Source != Sent {
			why = "the leaf expects none"
		} else if l.hasCopy() {
			// Who sends the page knows that the leaf has none (SurplusInv).
			why = "the leaf has the page"
		} else if from.Tag != addr.Leaf && from != l.tree(l.page).Root() {
			why = "its sender has no page to send"
		}
	default:
		why = "a leaf has no children"
	}
	if why == "" {
		return nil
	}
	return fmt.Errorf("%w: %v of %v at %v: %s", ErrForeign, msg.Kind, l.page, l.at, why)
}
