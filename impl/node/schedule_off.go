//go:build !invariants && !race && !mutants

package node

import (
	"sync"

	"github.com/mome-dsm/mome/impl/protocol"
)

// shardLock is the lock of a shard. Who gets it is up to the Go runtime: without
// the tags there is no scheduler, and the compiler removes what asks for one.
type shardLock struct{ sync.Mutex }

func (s *shard) stepped(*protocol.Input, []byte, int, error) {}
func (n *Node) replaceFrames(*segment)                       {}

// spawn begins what is to wait for the lock of a shard, which may be held now.
func (n *Node) spawn(f func()) { n.goroutine(f) }
