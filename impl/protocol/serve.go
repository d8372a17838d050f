package protocol

import "math/bits"

// serve takes one step of the decision for the busy request.
func (m *manager) serve() {
	switch m.busy.op {
	case OpRead:
		m.serveRead()
	case OpWrite:
		m.serveWrite()
	case OpWriteback:
		m.serveWriteback()
	}
}

// supported is what the request claims to have, as far as it is still true
// (rule 5).
func (m *manager) supported() Right {
	if m.dir.recorded(int(m.busy.child)) >= m.busy.have || broken(bugHaveUnchecked) {
		return m.busy.have
	}
	return None
}

func (m *manager) climb(have Right) {
	m.busy.climbing = true
	m.toParent(Message{Kind: Req, Op: m.busy.op, Leaf: m.busy.leaf, Have: have}, m.busy.txn)
}

func (m *manager) finish(right Right, source Source) {
	b := m.busy
	m.dir.record(int(b.child), right)
	m.busy = busyState{}
	m.down(int(b.child), Message{Kind: Grant, Op: b.op, Source: source, Leaf: b.leaf}, b.txn)
}

func (m *manager) serveRead() {
	b := &m.busy
	owner := m.dir.ownerChild()
	switch {
	case b.source != SourceNone:
		m.finish(Read, b.source)
	case m.dir.right < Read:
		m.climb(None)
	case owner != noChild && !(m.root && broken(bugHomeSendsWhileStale)):
		b.wait = 1 << owner
		m.down(owner, Message{Kind: Recall, Keep: Owned, Dst: ToLeaf, Leaf: b.leaf}, b.txn)
	case m.root:
		m.fromHome()
	case m.dir.marked != 0:
		c := bits.TrailingZeros64(m.dir.marked)
		b.wait = 1 << c
		m.down(c, Message{Kind: Recall, Keep: Read, Dst: ToLeaf, Leaf: b.leaf}, b.txn)
	default:
		m.dir.right = None
		m.climb(None)
	}
}

func (m *manager) serveWrite() {
	b := &m.busy
	have := m.supported()
	others := m.dir.marked &^ (1 << b.child)
	if broken(bugForgetChild) {
		others &= others - 1
	}
	lacks := b.source == SourceNone && have == None
	switch {
	case m.dir.right < Write && !(m.dir.right == Owned && broken(bugOwnedCoversWrite)):
		if m.dir.right >= Owned {
			have = m.dir.right
		}
		m.climb(have)
	case others != 0:
		b.wait = others
		dst := ToNobody
		if lacks {
			dst = ToLeaf
		}
		m.recallAll(others, dst, b.leaf, b.txn)
		if broken(bugSkipAckWait) && others&(others-1) != 0 {
			b.wait &= b.wait - 1
		}
		if broken(bugGrantEarly) && !lacks {
			b.wait = 0
			m.dir.marked, m.dir.owner = m.dir.marked&(1<<b.child), 0
		}
	case lacks:
		m.fromHome()
	default:
		if m.root {
			m.homeStale()
		}
		source := b.source
		if source == SourceNone {
			source = Have
		}
		m.finish(Write, source)
	}
}

func (m *manager) serveWriteback() {
	b := &m.busy
	right := m.dir.recorded(int(b.child))
	switch {
	case b.source != SourceNone || right < Owned && !broken(bugWritebackMootMissing):
		m.finish(right, Have)
	case m.root:
		b.wait, b.waitHome = 1<<b.child, !broken(bugWritebackIgnoresData)
		m.down(int(b.child), Message{Kind: Recall, Keep: Read, Dst: ToHome, Leaf: b.leaf}, b.txn)
	default:
		m.climb(m.dir.right)
	}
}
