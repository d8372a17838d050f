//go:build invariants || race

package protocol

import (
	"fmt"
	"maps"
	"math/bits"

	"github.com/mome-dsm/mome/impl/addr"
)

const invariantsOn = true

// check runs the spec's node-local invariants on a manager after a step. They
// carry the names of spec/strong/StrongInvs.tla.
func (m *manager) check() {
	m.TypeInv()
	m.MarkedOnlyInv()
	m.SupplierInv()
	m.LocalGrantInv()
	m.AskerInv()
}

// check does so for a leaf.
func (l *leafManager) check() {
	l.SurplusInv()
}

func (m *manager) violated(inv, why string) {
	panic(fmt.Sprintf("mome: %s violated at %v for %v: %s\n%s", inv, m.at, m.page, why, m.state()))
}

// TypeInv: every variable has its shape, and every queue its bound.
func (m *manager) TypeInv() {
	if len(m.Queue) > m.tree.Children(m.at)+1 {
		m.violated("TypeInv", "the queue is too long")
	}
	if m.dir.Marked>>m.tree.Children(m.at) != 0 {
		m.violated("TypeInv", "a child is marked that does not exist")
	}
	if m.Busy.Climbing && (!m.Busy.collected() || m.root) {
		m.violated("TypeInv", "climbing, and waiting for children or without a parent")
	}
	if m.Recall.Active && m.Recall.Wait == 0 {
		m.violated("TypeInv", "a recall waits for nobody")
	}
}

// MarkedOnlyInv: a manager never records more for its children than it has
// itself; a writer is the only one marked.
func (m *manager) MarkedOnlyInv() {
	for rest := m.dir.Marked; rest != 0; rest &= rest - 1 {
		c := bits.TrailingZeros64(uint64(rest))
		if m.dir.Recorded(c) > m.dir.Right {
			m.violated("MarkedOnlyInv", fmt.Sprintf("child %d has more than the manager", c))
		}
		if m.dir.Recorded(c) == Write && m.dir.Marked != 1<<c {
			m.violated("MarkedOnlyInv", fmt.Sprintf("child %d writes, and others are marked", c))
		}
	}
}

// SupplierInv: an idle manager with the duty to supply has a child with it.
func (m *manager) SupplierInv() {
	if m.Busy.Op != OpNone || m.Recall.Active {
		return
	}
	owned := m.dir.Owner != nobody
	if m.root && owned != (m.dir.Home == Stale) || !m.root && owned != (m.dir.Right >= Owned) {
		m.violated("SupplierInv", "the duty to supply is with nobody, or with two")
	}
}

// LocalGrantInv: a request climbs only where the subtree's right does not cover
// it. While a recall is being collected the child may have given up more than
// the manager.
func (m *manager) LocalGrantInv() {
	if !m.Busy.Climbing {
		return
	}
	covered := false // said once more: a wrong row must not be right by itself
	switch m.Busy.Op {
	case OpRead:
		covered = m.dir.Right >= Read
	case OpWrite:
		covered = m.dir.Right >= Write
	case OpWriteback:
		covered = !m.Recall.Active && m.dir.Right >= Owned && m.dir.Recorded(int(m.Busy.Child)) < Owned
	}
	if covered {
		m.violated("LocalGrantInv", "the right of the subtree covers the request")
	}
}

// AskerInv: who asks to read is not asked for the page itself (rule 1).
func (m *manager) AskerInv() {
	if m.Busy.Op == OpRead && m.Busy.Wait&(1<<m.Busy.Child) != 0 {
		m.violated("AskerInv", "the child that wants the page is asked for it")
	}
}

// SurplusInv: a leaf is never sent a page that it has. What is under way to it
// is not the leaf's to know.
func (l *leafManager) SurplusInv() {
	if l.Right >= Read && l.Arrived {
		panic(fmt.Sprintf("mome: SurplusInv violated at %v for %v: Data has arrived, and the leaf has the page\n%+v %+v",
			l.at, l.page, l.View, *l.Asking))
	}
}

// orders is what the effects have made of each page that has something.
type orders map[addr.PageNum]Order

func (o *orders) forget(gone func(addr.PageNum) bool) {
	maps.DeleteFunc(*o, func(p addr.PageNum, _ Order) bool { return gone(p) })
}

// settled is what Order.Fits asks of a page.
func (s *Shard) settled(p addr.PageNum) (right Right, arrived, home bool) {
	root := s.tree(p).Root()
	a := s.asks.get(p)
	return s.views.get(p).Right, a != nil && a.Arrived,
		root.Node == s.self && s.directories.get(addr.ID(p, root)).Home == Valid
}

// placed says that the state of a page was put where it is.
func (s *Shard) placed(p addr.PageNum) {
	right, arrived, home := s.settled(p)
	s.keepOrder(p, Order{Access: Access(right), Frame: right != None || arrived, Home: home})
}

func (s *Shard) keepOrder(p addr.PageNum, o Order) {
	if s.orders == nil {
		s.orders = make(orders)
	}
	if o == (Order{}) {
		delete(s.orders, p)
	} else {
		s.orders[p] = o
	}
}

// checkOrder runs Order over the effects of a step, which are about one page.
func (s *Shard) checkOrder(effects []Effect) {
	if len(effects) == 0 {
		return
	}
	p := effects[0].Page
	o := s.orders[p]
	fail := func(err error) {
		if err != nil {
			panic(fmt.Sprintf("mome: OrderInv violated at node %d: %v of %v", s.self, err, effects))
		}
	}
	for i := range effects {
		fail(o.Apply(&effects[i]))
	}
	fail(o.Fits(s.settled(p)))
	s.keepOrder(p, o)
}
