//go:build invariants || race

package node

import (
	"fmt"
	"maps"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// orders is what the effects that a shard has carried out have made of its pages.
type orders map[addr.PageNum]protocol.Order

// follow demands that an effect is carried out behind those that it must follow,
// in whatever passes the batch is.
// Preconditions: s.mu is held.
func (s *shard) follow(e *protocol.Effect) {
	o := s.orders[e.Page]
	if err := o.Apply(e); err != nil {
		panic(fmt.Sprintf("mome: OrderInv violated by the shell of node %d: %v", s.node.id, err))
	}
	if s.orders == nil {
		s.orders = make(orders)
	}
	if o == (protocol.Order{}) {
		delete(s.orders, e.Page)
	} else {
		s.orders[e.Page] = o
	}
}

func (o orders) forget(gone *segment) {
	maps.DeleteFunc(o, func(p addr.PageNum, _ protocol.Order) bool { return gone.core.Contains(p) })
}
