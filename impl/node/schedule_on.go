//go:build invariants || race || mutants

package node

import (
	"sync"

	"github.com/mome-dsm/mome/impl/protocol"
)

// scheduler decides in which order the threads of a node go on, and is told what
// they do. Only tests of the shell have one.
type scheduler interface {
	// yield lets other threads go on before this one.
	yield()
	// await returns when nobody has the lock of the shard.
	await(s *shard)
	// locked and unlocking are told who gets the lock and gives it back.
	locked(s *shard)
	unlocking(s *shard)
	// stepped is told an input that the core was given, with the page that came
	// with it, and what the core has said. The lock is held.
	stepped(s *shard, in *protocol.Input, page []byte, effects []protocol.Effect, err error)
	// spawn begins a thread.
	spawn(n *Node, f func())
	// frames are those of a new segment.
	frames(n *Node, seg *segment) frames
}

// schedule gives the node a scheduler.
func (n *Node) schedule(c scheduler) {
	for i := range n.shards {
		s := &n.shards[i]
		s.mu.shard, s.mu.scheduler = s, c
	}
}

// scheduler is the node's, or nil.
func (n *Node) scheduler() scheduler { return n.shards[0].mu.scheduler }

// shardLock is the lock of a shard. Where there is a scheduler, it decides who gets
// it.
type shardLock struct {
	mutex     sync.Mutex
	shard     *shard
	scheduler scheduler
}

// Lock implements sync.Locker.
func (l *shardLock) Lock() {
	if l.scheduler == nil {
		l.mutex.Lock()
		return
	}
	l.scheduler.yield()
	l.scheduler.await(l.shard)
	l.mutex.Lock()
	l.scheduler.locked(l.shard)
}

// TryLock takes the lock if nobody has it.
func (l *shardLock) TryLock() bool {
	if l.scheduler == nil {
		return l.mutex.TryLock()
	}
	l.scheduler.yield()
	got := l.mutex.TryLock()
	if got {
		l.scheduler.locked(l.shard)
	}
	return got
}

// Unlock implements sync.Locker.
func (l *shardLock) Unlock() {
	if l.scheduler == nil {
		l.mutex.Unlock()
		return
	}
	l.scheduler.yield()
	l.scheduler.unlocking(l.shard)
	l.mutex.Unlock()
	l.scheduler.yield()
}

// stepped tells of an input, and of the effects from here on.
func (s *shard) stepped(in *protocol.Input, page []byte, from int, err error) {
	if c := s.mu.scheduler; c != nil {
		c.stepped(s, in, page, s.batch.Effects[from:], err)
	}
}

// replaceFrames gives a new segment the frames of a model.
func (n *Node) replaceFrames(seg *segment) {
	if c := n.scheduler(); c != nil {
		seg.frame = c.frames(n, seg)
	}
}

// spawn begins what is to wait for the lock of a shard, which may be held now.
func (n *Node) spawn(f func()) {
	if c := n.scheduler(); c != nil {
		c.spawn(n, f)
		return
	}
	n.goroutine(f)
}
