package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// The limit of a node's memory. What counts is the pages in the memfds of all
// segments, as the kernel says, and the master copies, as their pools do. Beyond the limit the node gives up frames,
// in this order:
//
//  1. copies that may vanish silently;
//  2. pages that it owns and whose home is another node: they are written back
//     and dropped.
//
// What is left then has its home here: the master copies, or the frames that
// stand for them. Only another node could take those. Which of many frames goes
// is left to chance: who loads or stores through a mapping is not seen.

const (
	// limitInterval is how often the memory is measured: by how many pages the
	// limit may be passed meanwhile is a matter of the network's speed.
	limitInterval = 20 * time.Millisecond
	// limitSlack is which part of the limit is freed beyond it, at least.
	limitSlack = 32
	// shedAtOnce is how many frames of a shard are given up under its lock.
	shedAtOnce = 256
	// limitPatience is the longest interval between two looks while nothing can
	// be given up: to look costs time in proportion to the pages held.
	limitPatience = 2 * time.Second
)

// keepLimit gives frames up whenever the node has more than its limit.
func (n *Node) keepLimit() {
	defer n.tasks.Done()
	slots := n.conf.Slots // fixed, as the members are
	interval, told := limitInterval, false
	tick := time.NewTimer(interval)
	defer tick.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-tick.C:
		}
		tick.Reset(interval)
		used, err := n.resident()
		if err != nil {
			n.fail(fmt.Errorf("node %d cannot measure its memory: %w", n.id, err))
			return
		}
		if used <= n.cfg.Memory {
			interval, told = limitInterval, false
			continue
		}
		want := (used-n.cfg.Memory+n.cfg.Memory/limitSlack)>>addr.PageShift + 1
		pages := want
		for i := range n.shards {
			pages -= n.shards[i].dropCopies(pages)
		}
		for i := range n.shards {
			pages -= n.shards[i].pushHome(n.ctx, slots, pages)
		}
		if pages < want {
			interval = limitInterval
			continue
		}
		interval = min(2*interval, limitPatience)
		if !told {
			n.log.Warn("memory is beyond its limit, and what is left has its home here", "bytes", used, "limit", n.cfg.Memory)
			told = true
		}
	}
}

// resident is the bytes of pages in this node's memory.
func (n *Node) resident() (int64, error) {
	var sum int64
	for _, s := range *n.segments.Load() {
		if !s.hold() {
			continue // it was removed meanwhile
		}
		frames, err := s.frame.Resident()
		s.release()
		if err != nil {
			return 0, err
		}
		sum += frames
	}
	for i := range n.shards {
		sum += n.shards[i].pool.Pages() << addr.PageShift
	}
	return sum, nil
}

// victims are pages of the shard that nobody asks for at the moment and that
// fit, at most so many.
// Preconditions: s.mu is held.
func (s *shard) victims(most int64, fits func(addr.PageNum, *segment) bool) []addr.PageNum {
	var pages []addr.PageNum
	if most <= 0 || s.core == nil {
		return nil
	}
	for p := range s.core.Holds {
		seg := s.node.segment(p)
		if seg == nil || seg.removed.Load() || s.core.Asking(p) || !fits(p, seg) {
			continue
		}
		if pages = append(pages, p); int64(len(pages)) == most {
			break
		}
	}
	slices.Sort(pages)
	return pages
}

// dropCopies evicts up to so many read copies, and says how many.
func (s *shard) dropCopies(most int64) int64 {
	dropped := int64(0)
	for {
		s.mu.Lock()
		pages := s.victims(min(most-dropped, shedAtOnce), func(p addr.PageNum, _ *segment) bool { return s.core.Right(p) == protocol.Read })
		for _, p := range pages {
			if err := s.input(protocol.Input{Kind: protocol.InEvict, Page: p}, nil); err != nil {
				panic(fmt.Sprintf("mome: eviction of %v: %v", p, err))
			}
		}
		s.carryOut()
		s.unlock()
		dropped += int64(len(pages))
		if len(pages) < shedAtOnce {
			return dropped
		}
	}
}

// pushHome writes up to so many pages back to their homes on other nodes and
// drops them, and says how many it tried.
func (s *shard) pushHome(ctx context.Context, slots []protocol.Slot, most int64) int64 {
	s.mu.Lock()
	pages := s.victims(most, func(p addr.PageNum, seg *segment) bool {
		return s.core.Right(p) >= protocol.Owned && slots[seg.core.Slot(p, len(slots))].Home != s.node.id
	})
	s.unlock()
	credit := make(chan struct{}, maxCleaning)
	for _, p := range pages {
		seg := s.node.segment(p)
		if seg == nil {
			continue
		}
		select {
		case credit <- struct{}{}:
		case <-ctx.Done():
			return 0
		}
		s.clean(seg, p, true, func() { <-credit })
	}
	// All credits back: all are done.
	for range cap(credit) {
		select {
		case credit <- struct{}{}:
		case <-ctx.Done():
			return 0
		}
	}
	return int64(len(pages))
}
