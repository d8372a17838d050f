package protocol

// waitingRecall is the place of the parent's recall in the queue, or -1.
func (m *manager) waitingRecall() int {
	for i := range m.Queue {
		if m.Queue[i].IsRecall() {
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
	if m.Busy.Op == OpNone {
		return i == 0
	}
	return m.Busy.Climbing
}

func (m *manager) takeRecall() {
	i := m.waitingRecall()
	r := m.Queue[i]
	m.Queue = append(m.Queue[:i], m.Queue[i+1:]...)
	m.Recall = Collecting{Active: true, Collection: Collection{Keep: r.Keep, Dst: r.Dst, Leaf: r.Leaf, Txn: r.Txn}}
	c, owner := &m.Recall.Collection, m.dir.Owner.Child()
	switch {
	case r.Keep == None:
		m.ask(c, m.dir.Marked, r.Keep, r.Dst)
	case owner != noChild:
		m.ask(c, 1<<owner, r.Keep, r.Dst)
	}
}

func (m *manager) acknowledge(keep Right) {
	r := m.Recall
	m.dir.Right = min(m.dir.Right, keep)
	m.Recall = Collecting{}
	m.toParent(Message{Kind: Ack, Keep: m.dir.Right, Hit: r.Hit}, r.Txn)
}

// collect goes on when all that were asked have answered (rule 9).
func (m *manager) collect() {
	r := &m.Recall
	switch {
	case r.Keep == None || r.Hit:
		m.acknowledge(r.Keep)
	case m.dir.Marked == 0:
		m.acknowledge(None)
	default:
		m.ask(&r.Collection, m.dir.Marked&-m.dir.Marked, r.Keep, r.Dst)
	}
}
