package protocol

import "math/bits"

// sends is whom a child must send the page to: where they keep nothing only the
// owner sends it, since another may have lost its copy.
func (m *manager) sends(c *Collection, child int) Dst {
	if c.Keep == None && child != m.dir.Owner.Child() {
		return ToNobody
	}
	return c.Dst
}

// ask recalls the page from a set of children.
func (m *manager) ask(c *Collection, set Children, keep Right, dst Dst) {
	c.Wait, c.Keep, c.Dst = set, keep, dst
	if m.root && dst == ToHome {
		c.HomeDue = 1
	}
	for rest := set; rest != 0; rest &= rest - 1 {
		child := bits.TrailingZeros64(uint64(rest))
		m.down(child, Message{Kind: Recall, Keep: keep, Dst: m.sends(c, child), Leaf: c.Leaf}, c.Txn)
	}
}

// supported is what the request claims to have, as far as it is still true
// (rule 5).
func (m *manager) supported() Right {
	if m.dir.Recorded(int(m.Busy.Child)) >= m.Busy.Have {
		return m.Busy.Have
	}
	return None
}

// lacks says whether who asks has to be sent the page, and nobody has done so.
func (m *manager) lacks() bool {
	return m.Busy.Op.row().supplies && m.Busy.Source == SourceNone && m.supported() == None
}

// moot says whether nothing is left to do: who asks has lost what it takes.
func (m *manager) moot() bool {
	return m.dir.Recorded(int(m.Busy.Child)) < m.Busy.Op.row().least
}

// covered is rule 2: the request can be served here, by the right of this subtree,
// because the parent has served it, or because nothing is left to do.
func (m *manager) covered() bool {
	return m.dir.Right >= m.Busy.Op.row().needs || m.root || m.Busy.Source != SourceNone || m.moot()
}

// whom is which children to recall next. The home supplies what no child owns.
func (m *manager) whom() Children {
	switch m.Busy.Op.row().recalls {
	case supplier:
		owner := m.dir.Owner.Child()
		switch {
		case !m.lacks():
		case owner != noChild:
			return 1 << owner
		case !m.root && m.dir.Marked != 0:
			return m.dir.Marked & -m.dir.Marked
		}
	case others:
		set := m.dir.Marked &^ (1 << m.Busy.Child)
		return set
	case asker:
		if m.Busy.Source == SourceNone && !m.moot() {
			return 1 << m.Busy.Child
		}
	}
	return 0
}

// settle ends a collection: what a child has sent to who asks is on its way.
func (m *manager) settle() {
	b := &m.Busy
	if b.Hit && b.Dst == ToLeaf {
		b.Source = Sent
	}
	b.Keep, b.Dst, b.Hit = None, ToNobody, false
}

// serve takes one step of the decision for the busy request.
func (m *manager) serve() {
	m.settle()
	set := m.whom()
	switch {
	case !m.covered():
		m.climb()
	case set != 0:
		m.askFor(set)
	case !m.lacks():
		m.finish()
	case m.root || m.dir.Right >= Owned:
		m.fromHome()
	default:
		// No duty to supply, and no copy below: the parent supplies.
		m.dir.Right = None
		m.climb()
	}
}

// askFor recalls the page from children for the busy request.
func (m *manager) askFor(set Children) {
	s, dst := m.Busy.Op.row(), ToHome
	if s.supplies {
		dst = ToNobody
		if m.lacks() {
			dst = ToLeaf
		}
	}
	first := bits.TrailingZeros64(uint64(set))
	m.ask(&m.Busy.Collection, set, min(m.dir.Recorded(first), s.keep), dst)
	if s.recalls != others {
		return
	}
}

// climb asks the parent. What the subtree has is claimed if it can supply the page
// or who asks has a copy.
func (m *manager) climb() {
	have := m.dir.Right
	if have < Owned {
		have = m.supported()
	}
	m.Busy.Climbing = true
	m.toParent(Message{Kind: Req, Op: m.Busy.Op, Leaf: m.Busy.Leaf, Have: have}, m.Busy.Txn)
}

// finish grants what was asked for.
func (m *manager) finish() {
	b, grants := m.Busy, m.Busy.Op.row().grants
	if m.root && grants == Write {
		m.homeStale()
	}
	if b.Source == SourceNone {
		b.Source = Have
	}
	m.dir.record(int(b.Child), max(m.dir.Recorded(int(b.Child)), grants))
	m.Busy = Busy{}
	m.down(int(b.Child), Message{Kind: Grant, Op: b.Op, Source: b.Source, Leaf: b.Leaf}, b.Txn)
}
