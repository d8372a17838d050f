package node

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/btree"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/internal/limits"
)

// segment is what this node has of one life of a segment.
type segment struct {
	info coord.Segment
	core protocol.Segment

	// file is the node's frames, which the processes map. The first one that
	// asks for it has it opened: hearing of a segment costs nothing that the node
	// may be short of.
	file *memory.Segment
	// frame is what effects change of it: file.
	frame frames
	// masters are the copies of pages whose home is this node; each entry is
	// guarded by the lock of its shard, and lies in that shard's pool.
	masters [shardCount]memory.Masters

	removed atomic.Bool  // changes under the locks of all shards
	charged atomic.Int64 // pages of it, of the node's room
	stats   segmentStats

	mu       sync.Mutex // guards what follows
	mappings map[*mapping]*application
	// A removed segment whose pages are taken away is emptied. Until then
	// accesses that no page is granted for wait among the doomed.
	emptied bool
	doomed  []waitingAccess
	// users are the node's table, until the segment is removed, every
	// application that was given the memfd, until it unmaps, and whoever uses
	// the memfd under no lock of a shard. The last one closes it.
	users int
}

// frames is the contents of pages, and what all processes may do with them:
// what memory.Segment says of each of these.
type frames interface {
	Page(p addr.PageNum) []byte
	Fill(p addr.PageNum, src []byte) error
	Protect(p addr.PageNum, n int64) error
	Punch(p addr.PageNum, n int64) error
}

// waitingAccess is one that a process waits for.
type waitingAccess struct {
	mapping *mapping
	page    addr.PageNum
}

// segmentStats counts since the node began; see SegmentStatus.
type segmentStats struct {
	readFaults, writeFaults, upgrades atomic.Uint64
	recalls, downgrades               atomic.Uint64
	pagesIn, pagesOut                 atomic.Uint64
	prefetched                        atomic.Uint64
}

// segmentTable is the segments by their first page. It is immutable, but for apply,
// which makes the next one: that shares what has not changed.
type segmentTable struct {
	pages btree.Map[addr.PageNum, *segment]
}

// at is the segment that has the page, or nil.
func (t *segmentTable) at(p addr.PageNum) *segment {
	var found *segment
	t.pages.Descend(p, func(_ addr.PageNum, s *segment) bool {
		found = s
		return false
	})
	if found == nil || !found.core.Contains(p) {
		return nil
	}
	return found
}

// all is the segments in the order of their pages.
func (t *segmentTable) all() iter.Seq[*segment] {
	return func(yield func(*segment) bool) {
		t.pages.Scan(func(_ addr.PageNum, s *segment) bool { return yield(s) })
	}
}

// segment is the one that has the page now, or nil.
func (n *Node) segment(p addr.PageNum) *segment {
	return n.segments.Load().at(p)
}

// segmentOf is this node's part of a segment that the configuration has.
func (n *Node) segmentOf(s coord.Segment) *segment {
	seg := n.segment(s.First)
	if seg == nil || seg.info.Generation != s.Generation {
		return nil
	}
	return seg
}

func newSegment(base addr.Base, info coord.Segment) (*segment, error) {
	s := &segment{info: info, users: 1, mappings: make(map[*mapping]*application),
		core: protocol.Segment{First: info.First, Pages: int64(info.Pages), Generation: info.Generation}}
	if info.Home == "block" {
		s.core.Policy = protocol.Block
	}
	var err error
	if s.file, err = memory.NewSegment(base, info.First, int64(info.Pages)); err != nil {
		return nil, err
	}
	s.frame = s.file
	return s, nil
}

// hold keeps the memfd, if it is open, until release; false if nobody had it.
func (s *segment) hold() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users == 0 {
		return false
	}
	s.users++
	return true
}

// openFrame holds a segment for a process that is to map its memfd, and a thread
// to serve the mapping, until closeFrame.
func (n *Node) openFrame(s *segment) error {
	if !s.hold() {
		return fmt.Errorf("%w: %q", client.ErrRemoved, s.info.Name)
	}
	err := n.servants.take()
	if err == nil {
		if err = s.file.Open(); err != nil {
			n.servants.give()
		}
	}
	if err != nil {
		s.release()
		return n.noRoom(fmt.Errorf("segment %q: %w", s.info.Name, err))
	}
	return nil
}

func (n *Node) closeFrame(s *segment) {
	n.servants.give()
	s.release()
}

func (s *segment) release() {
	s.mu.Lock()
	s.users--
	last := s.users == 0
	s.mu.Unlock()
	if last {
		_ = s.file.Close()
	}
}

// followConfiguration applies each new view until the node ends, which it does
// when there is another cluster in the place of its own.
func (n *Node) followConfiguration() {
	defer n.tasks.Done()
	for v := range n.config.Watch(n.ctx, n.configurationTrouble) {
		if err := n.apply(v); err != nil {
			n.fail(fmt.Errorf("node %d cannot follow the configuration: %w", n.id, err))
			return
		}
	}
	if err := n.config.Err(); err != nil && n.ctx.Err() == nil {
		n.fail(fmt.Errorf("node %d cannot follow the configuration: %w", n.id, err))
	}
}

// configurationTrouble is told why the store cannot be followed, and nil when it
// can be again. The views so far stay in force.
func (n *Node) configurationTrouble(err error) {
	if err == nil {
		n.log.Info("the configuration is followed again")
		return
	}
	n.log.Error("the configuration cannot be followed: memory goes on, and no segment can be created or removed until its store is mended", "error", err)
}

// apply makes a view the one in force. Nothing of it waits for other nodes, and it
// costs what has changed since the view before, however many segments there are.
func (n *Node) apply(v *coord.View) error {
	n.applying.Lock()
	defer n.applying.Unlock()
	if v.Rev <= n.applied {
		return nil
	}
	removed, created := v.Since(n.appliedView)
	table := &segmentTable{*n.segments.Load().pages.Copy()}
	var gone []*segment
	var goneCores, cores []protocol.Segment
	for _, info := range removed {
		s := n.segmentOf(info)
		table.pages.Delete(info.First)
		gone, goneCores = append(gone, s), append(goneCores, s.core)
	}
	for _, info := range created {
		s, err := newSegment(v.Cluster.Base, info)
		if err != nil {
			return fmt.Errorf("segment %q: %w", info.Name, err)
		}
		n.traceFrames(s)
		n.replaceFrames(s)
		table.pages.Set(info.First, s)
		cores = append(cores, s.core)
	}
	conf := n.conf.Follow(goneCores, cores, v.Epoch, v.Generation)

	for i := range n.shards {
		n.shards[i].mu.Lock()
	}
	n.segments.Store(table)
	for _, s := range gone {
		s.removed.Store(true)
	}
	for i := range n.shards {
		n.shards[i].traceConfiguration(conf)
		n.shards[i].core.Configure(conf, goneCores)
		for _, s := range gone {
			n.shards[i].forget(s)
		}
	}
	for i := range n.shards {
		n.shards[i].replayEarly()
	}
	n.unlockAll()
	n.conf, n.applied, n.appliedView = conf, v.Rev, v
	n.appliedChanged.Broadcast()
	for _, s := range gone {
		n.removeSegment(s)
	}
	return nil
}

// forget answers those who wait for pages of a segment that is gone, in the order
// of the pages.
// Preconditions: s.mu is held.
func (s *shard) forget(gone *segment) {
	for _, p := range slices.Sorted(maps.Keys(s.waiters)) {
		if !gone.core.Contains(p) {
			continue
		}
		for _, w := range s.waiters[p] {
			if w.mapping != nil {
				s.node.doom(waitingAccess{w.mapping, p})
			}
			if w.fetched != nil {
				w.fetched()
			}
		}
		delete(s.waiters, p)
	}
	for _, p := range slices.Sorted(maps.Keys(s.written)) {
		if !gone.core.Contains(p) {
			continue
		}
		for _, f := range s.written[p] {
			f()
		}
		delete(s.written, p)
	}
	for p := range s.homeward {
		if gone.core.Contains(p) {
			s.stayed(p) // the home's promise holds for another page
		}
	}
	s.hot.forget(gone)
	s.orders.forget(gone)
}

// doom has an access end in SIGBUS, now or as soon as the pages are taken away: a
// page that is still there cannot be poisoned.
func (n *Node) doom(a waitingAccess) {
	s := a.mapping.seg
	s.mu.Lock()
	emptied := s.emptied
	if !emptied {
		s.doomed = append(s.doomed, a)
	}
	s.mu.Unlock()
	if emptied {
		n.poison(a)
	}
}

// empty says that the pages are taken away, and returns who waits for them.
func (s *segment) empty() []waitingAccess {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emptied = true
	doomed := s.doomed
	s.doomed = nil
	return doomed
}

// takeAway punches all pages of a segment, as often as there is no memory for it:
// the pages of a removed segment may not stay with a process. What else the view in
// force has changed is in force.
func (n *Node) takeAway(s *segment) error {
	for told := false; ; {
		err := s.frame.Punch(s.core.First, s.core.Pages)
		if !limits.Short(err) {
			if told && err == nil {
				n.log.Info("there is memory again", "segment", s.info.Name)
			}
			return err
		}
		if !told {
			n.log.Error("there is no memory to take the pages of a removed segment away: what is created and removed from now on waits for it on this node; end other programs on this machine, or raise its limits",
				"segment", s.info.Name, "error", err)
			told = true
		}
		select {
		case <-n.ctx.Done():
			return nil // and with the node its pages
		case <-time.After(memoryPause):
		}
	}
}

// removeSegment takes the pages away from every process: what faults from here
// on is poisoned.
func (n *Node) removeSegment(s *segment) {
	if err := n.takeAway(s); err != nil {
		n.fail(fmt.Errorf("segment %q cannot be taken away: %w", s.info.Name, err))
	}
	for i := range n.shards {
		n.shards[i].dropMasters(s)
	}
	n.room.release(s.charged.Swap(0))
	for _, a := range s.empty() {
		n.poison(a)
	}
	s.mu.Lock()
	apps := make(map[*application]bool)
	for _, a := range s.mappings {
		apps[a] = true
	}
	s.mu.Unlock()
	for a := range apps {
		a.segmentRemoved(s)
	}
	s.release()
}

// awaitApplied returns when this node has applied the revision at which the
// segment exists, or no longer does.
func (n *Node) awaitSegment(info coord.Segment) *segment {
	n.applying.Lock()
	defer n.applying.Unlock()
	for {
		if seg := n.segmentOf(info); seg != nil {
			return seg
		}
		if now, ok := n.config.View().Segment(info.Name); (!ok || now.Generation != info.Generation) && n.config.View().Rev <= n.applied {
			return nil
		}
		if n.ctx.Err() != nil {
			return nil
		}
		n.appliedChanged.Wait()
	}
}
