package protocol

import "math/bits"

// waitingRecall is the place of the parent's recall in the queue, or -1.
func (m *manager) waitingRecall() int {
	for i := range m.queue {
		if m.queue[i].recall {
			return i
		}
	}
	return -1
}

// mayTakeRecall is rule 4: a recall is taken when idle, in its turn, or while
// waiting for the parent.
func (m *manager) mayTakeRecall() bool {
	i := m.waitingRecall()
	if i < 0 {
		return false
	}
	if m.busy.op == OpNone {
		return i == 0 && (len(m.queue) == 1 || !broken(bugRequestsFirst))
	}
	if broken(bugRecallWhileServing) {
		return true
	}
	return m.busy.climbing && !broken(bugRecallNotWhileUp)
}

func (m *manager) takeRecall() {
	i := m.waitingRecall()
	r := m.queue[i]
	m.queue = append(m.queue[:i], m.queue[i+1:]...)
	if broken(bugNoTxn) {
		r.txn = Txn{}
	}
	m.recall = recallState{active: true, keep: r.keep, dst: r.dst, leaf: r.leaf, txn: r.txn}
	owner := m.dir.ownerChild()
	switch {
	case r.keep == None:
		m.recall.wait = m.dir.marked
		m.recallAll(m.dir.marked, r.dst, r.leaf, r.txn)
	case owner != noChild:
		m.recall.wait = 1 << owner
		m.down(owner, Message{Kind: Recall, Keep: r.keep, Dst: r.dst, Leaf: r.leaf}, r.txn)
	}
}

func (m *manager) acknowledge(keep Right) {
	r := m.recall
	m.dir.right = min(m.dir.right, keep)
	m.recall = recallState{}
	m.toParent(Message{Kind: Ack, Keep: m.dir.right, Hit: r.hit}, r.txn)
}

// collect goes on when all that were asked have answered (rule 9).
func (m *manager) collect() {
	r := &m.recall
	switch {
	case r.keep == None || r.hit:
		m.acknowledge(r.keep)
	case m.dir.marked == 0:
		r.hit = broken(bugMissAsHit)
		m.acknowledge(None)
	default:
		c := bits.TrailingZeros64(m.dir.marked)
		r.wait = 1 << c
		m.down(c, Message{Kind: Recall, Keep: r.keep, Dst: r.dst, Leaf: r.leaf}, r.txn)
	}
}
