//go:build !invariants && !race

package protocol

import "github.com/mome-dsm/mome/impl/addr"

const invariantsOn = false

func (m *manager) check() {}

func (l *leafManager) check() {}

type orders struct{}

func (orders) forget(func(addr.PageNum) bool) {}

func (s *Shard) checkOrder([]Effect) {}
func (s *Shard) placed(addr.PageNum) {}
