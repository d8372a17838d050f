package node

import (
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/internal/limits"
)

// memoryPause is how long a page that has no room waits before it tries again.
const memoryPause = 100 * time.Millisecond

// fillMaster makes content the master copy of a page whose home is this node. It
// returns when the copy is there. Without memory for it the shard waits, and who
// asks for its pages with it: the core has taken the step already, and a page is
// not given up. It is false where the node ends first, which does nothing more.
// Preconditions: s.mu is held; the segment is there.
func (s *shard) fillMaster(p addr.PageNum, content []byte) bool {
	masters := &s.node.segment(p).masters[s.index]
	return s.persist(p, func() error { return masters.Fill(&s.pool, p, content) }) == nil
}

// persist does to a page what must be done, as often as there is no memory or
// descriptor for it. It returns another error, or the last one where the node ends.
// Preconditions: s.mu is held; the segment is there.
func (s *shard) persist(p addr.PageNum, do func() error) error {
	for told := false; ; {
		err := do()
		if !limits.Short(err) {
			if told && err == nil {
				s.node.log.Info("there is memory for pages again", "segment", s.node.segment(p).info.Name)
			}
			return err
		}
		if s.node.halted.Load() {
			return err
		}
		if !told {
			s.node.log.Error("there is no memory for a page, and its segment waits: end other programs on this machine, or raise its limits (ulimit -v, ulimit -n, vm.max_map_count, vm.overcommit_memory)",
				"segment", s.node.segment(p).info.Name, "error", err)
			told = true
		}
		select {
		case <-s.node.ctx.Done():
			s.node.halted.Store(true)
			return err
		case <-time.After(memoryPause):
		}
	}
}

// master is the master copy of a page, valid until it is filled or dropped.
// Preconditions: s.mu is held; the core says that there is one.
func (s *shard) master(p addr.PageNum) []byte {
	return s.node.segment(p).masters[s.index].Page(&s.pool, p)
}

// dropMaster gives up the master copy of a page.
// Preconditions: s.mu is held.
func (s *shard) dropMaster(p addr.PageNum) {
	seg := s.node.segment(p)
	if err := seg.masters[s.index].Drop(&s.pool, p); err != nil {
		// Its memory is not given back; the copy is not used any more.
		s.node.log.Error("the memory of a master copy cannot be freed", "segment", seg.info.Name, "error", err)
	}
}

// dropAtOnce is how many master copies are dropped under one lock.
const dropAtOnce = 256

// dropMasters gives up all master copies of a segment that was removed.
func (s *shard) dropMasters(gone *segment) {
	for {
		s.mu.Lock()
		masters := &gone.masters[s.index]
		err := masters.DropSome(&s.pool, dropAtOnce)
		left := masters.Len()
		s.unlock()
		if err != nil {
			s.node.log.Error("the memory of master copies cannot be freed", "segment", gone.info.Name, "error", err)
			return
		}
		if left == 0 {
			return
		}
	}
}
