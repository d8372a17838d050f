package protocol

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
)

// view is what a leaf remembers of an idle page. It has no pointers.
type view struct {
	version uint64
	stamp   uint32 // the shell's, of the last grant
	right   Right
}

// asking is what a leaf remembers of a page while a request is out or a message
// from its parent waits.
type asking struct {
	op      Op
	have    Right
	arrived bool    // Data is here, its Grant is not
	grant   Message // waits for its Data where Kind is Grant
	recall  Message // waits behind grant, or for the end of the residence
	over    bool    // the residence is over
	txn     Txn
}

func (a *asking) idle() bool {
	return a.op == OpNone && !a.arrived && a.grant.Kind == KindInvalid && a.recall.Kind == KindInvalid
}

// leafManager is the leaf of a page during one handler.
type leafManager struct {
	*Shard
	at   addr.Place
	page addr.PageNum
	view
	*asking
}

func (s *Shard) beginLeaf(p addr.PageNum) *leafManager {
	l := &s.leafTurn
	*l = leafManager{Shard: s, at: addr.Place{Node: s.self, Tag: addr.Leaf}, page: p, view: s.views.get(p), asking: s.asks.get(p)}
	if l.asking == nil {
		l.asking = s.newAsking()
	}
	return l
}

// endLeaf puts the leaf back into the tables.
func (l *leafManager) endLeaf() {
	if invariantsOn {
		l.check()
	}
	if l.asking.idle() && !broken(bugAskingKept) {
		l.asks.set(l.page, nil)
		l.freeAsking(l.asking)
	} else {
		l.asks.set(l.page, l.asking)
	}
	l.storeView()
}

// storeView keeps nothing of a page without a right.
func (l *leafManager) storeView() {
	if l.right == None {
		l.views.set(l.page, view{})
	} else {
		l.views.set(l.page, l.view)
	}
}

// show makes the leaf's state visible to an observer in the middle of a step.
func (l *leafManager) show() {
	if l.observer == nil {
		return
	}
	l.storeView()
	l.asks.set(l.page, l.asking)
}

func (a *asking) phase() Phase {
	switch {
	case a.recall.Kind != KindInvalid && a.op != OpNone:
		return RecalledClimbing
	case a.recall.Kind != KindInvalid:
		return Recalled
	case a.op != OpNone:
		return Climbing
	}
	return Idle
}

// ask is the spec's Ask(l, op, have).
// Preconditions: no request is out.
func (l *leafManager) ask(op Op, have Right) {
	l.txns++
	l.txn = Txn{Leaf: l.self, Incarnation: l.incarnation, Counter: l.txns}
	l.op, l.have = op, have
	l.lamport++
	parent, _ := l.tree(l.page).Parent(l.at)
	l.send(l.at, parent, l.page,
		Message{Kind: Req, Op: op, Leaf: l.self, Have: have, Version: l.version, Txn: l.txn})
}

// ReadFault is the spec's ReadFault(l).
func (l *leafManager) ReadFault() bool {
	if l.right != None || l.op != OpNone {
		return false
	}
	l.ask(OpRead, None)
	return true
}

// WriteFault is the spec's WriteFault(l).
func (l *leafManager) WriteFault() bool {
	if l.right >= Write || l.op != OpNone || l.recall.Kind != KindInvalid && broken(bugUpgradeWhileHeld) {
		return false
	}
	l.ask(OpWrite, l.right)
	return true
}

// Writeback is the spec's Writeback(l): an owner asks to be cleaned.
func (l *leafManager) Writeback() bool {
	if l.right < Owned || l.op != OpNone {
		return false
	}
	l.ask(OpWriteback, l.right)
	return true
}

// Evict is the spec's Evict(l): only a read copy leaves silently, and never
// under one's own request.
func (l *leafManager) Evict() bool {
	if l.right != Read && !(l.right == Owned && broken(bugEvictOwned)) || l.op != OpNone && !broken(bugEvictUnderUpgrade) {
		return false
	}
	l.right = None
	l.prepare(l.at, l.page, 0)
	l.lamport++
	l.batch.add(Effect{Kind: FrameDrop, Page: l.page})
	return true
}

// RecvData is the spec's RecvData(l): the page arrives, before or after its
// Grant.
func (l *leafManager) RecvData(d *Message, local bool) {
	l.arrived = true
	l.prepare(l.at, l.page, d.Prepared)
	// A leaf may get a page that it did not need: it is the same page.
	if !local && l.right == None {
		l.batch.add(Effect{Kind: FrameFill, Page: l.page})
	}
}

// LeafRecvGrant is the spec's LeafRecvGrant(l).
// Preconditions: the Data of a Grant(sent) has arrived.
func (l *leafManager) LeafRecvGrant(g *Message) {
	if g.Source == Zero && l.right == None && !broken(bugGrantBeforeZero) {
		l.batch.add(Effect{Kind: FrameZero, Page: l.page})
	}
	had := l.right
	switch g.Op {
	case OpRead:
		l.right = Read
	case OpWrite:
		l.right = Write
		l.prepare(l.at, l.page, l.cut)
	}
	if g.Source == Sent {
		l.arrived = false
	}
	l.op = OpNone
	l.over = false // a residence begins
	if g.Op == OpWriteback {
		l.batch.add(Effect{Kind: Written, Page: l.page})
	} else {
		l.version = g.Version
		if !broken(bugNoStamp) && (had == None || !broken(bugStampOfFirstGrant)) {
			l.stamp = l.now
		}
		l.batch.add(Effect{Kind: FrameGrant, Page: l.page, Right: l.right})
	}
	if g.Source == Zero && had == None && broken(bugGrantBeforeZero) {
		l.batch.add(Effect{Kind: FrameZero, Page: l.page})
	}
}

// LeafRecvRecall is the spec's LeafRecvRecall(l): the frame answers in the same
// step.
func (l *leafManager) LeafRecvRecall(r *Message) {
	keep := min(l.right, r.Keep)
	hit := l.right != None && r.Dst != ToNobody
	late := hit && broken(bugProtectBehindSend)
	if l.right == Write && !late && !(keep == None && broken(bugDropUnprotected)) {
		l.batch.add(Effect{Kind: FrameProtect, Page: l.page})
	}
	if hit && !broken(bugHitWithoutData) {
		to := addr.Place{Node: r.Leaf, Tag: addr.Leaf}
		if r.Dst == ToHome {
			to = l.tree(l.page).Root()
		}
		l.sendData(l.at, to, l.page, Message{Version: l.version, Txn: r.Txn})
	}
	if l.right == Write && late {
		l.batch.add(Effect{Kind: FrameProtect, Page: l.page})
	}
	if l.right != None && keep == None {
		l.prepare(l.at, l.page, 0)
		l.batch.add(Effect{Kind: FrameDrop, Page: l.page})
	}
	if !broken(bugKeepsWriteOnDowngrade) || keep != Owned {
		l.right = keep
	}
	parent, _ := l.tree(l.page).Parent(l.at)
	l.send(l.at, parent, l.page, Message{Kind: Ack, Keep: keep, Hit: hit, Version: l.version, Txn: r.Txn})
}

// admitLeaf says what is wrong with a message before it changes anything.
func (l *leafManager) admitLeaf(from addr.Place, msg *Message) error {
	why := ""
	switch msg.Kind {
	case Grant, Recall:
		if parent, _ := l.tree(l.page).Parent(l.at); parent != from {
			why = "its sender is not the parent"
		} else if msg.Kind == Grant && (l.op != msg.Op || l.self != msg.Leaf || l.grant.Kind != KindInvalid) {
			why = "nothing of the kind was asked for"
		} else if msg.Kind == Grant && l.recall.Kind != KindInvalid {
			// The parent grants nothing before the Recall is answered.
			why = "a recall waits"
		} else if msg.Kind == Recall && msg.Dst == ToLeaf && msg.Leaf == l.self {
			why = "the page would go where it is"
		} else if msg.Kind == Grant && msg.Source == Have && msg.Op == OpWrite && l.right == None {
			why = "the leaf has no copy to keep"
		} else if msg.Kind == Grant && msg.Source != Sent && l.arrived {
			why = "its Data has come"
		} else if msg.Kind == Recall && l.recall.Kind != KindInvalid {
			why = "a recall waits already"
		}
	case Data:
		if l.arrived || (l.op != OpRead && l.op != OpWrite) || l.grant.Kind != KindInvalid && l.grant.Source != Sent {
			why = "the leaf expects none"
		} else if l.right != None {
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
