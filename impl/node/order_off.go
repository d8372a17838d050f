//go:build !invariants && !race

package node

import "github.com/mome-dsm/mome/impl/protocol"

// orders is empty: the order of effects is looked at under -tags invariants.
type orders struct{}

func (s *shard) follow(*protocol.Effect) {}
func (orders) forget(*segment)           {}
