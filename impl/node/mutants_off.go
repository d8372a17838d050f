//go:build !mutants

package node

import "github.com/mome-dsm/mome/impl/protocol"

// broken is false: the compiler removes what depends on it.
func broken(bug) bool { return false }

// late is empty: nothing is put off. The compiler removes all of this.
type late struct{}

func (s *shard) misorder([]protocol.Effect)   { s.late = late{} }
func (s *shard) catchUp(*protocol.Effect)     {}
func (s *shard) putOff(*protocol.Effect) bool { return false }
func (s *shard) withhold(arrival) bool        { return false }
func (s *shard) letInEarly(*run)              {}

func (s *shard) send(l sender, m *protocol.Message, page []byte) { l.Append(m, page) }
func (s *shard) sendBehind()                                     {}
