package node

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// The keeper of a node with a limit makes room: always a little ahead of the
// demand, and as much as accesses wait for. In this order it gives up
//
//  1. copies that may vanish silently;
//  2. pages that only this node has, frames and master copies: they are offered
//     to the nodes that have room (offers.go).
//
// Which of many goes is left to chance: who loads or stores through a mapping is
// not seen. Where no node has room the accesses wait, the log says so, and status
// how many they are. They go on when a segment is removed, or when somebody else
// gives pages up.

const (
	// shedAtOnce is how many pages of a shard are given up under its lock.
	shedAtOnce = 256
	// leastPause and mostPause bound the time between two looks while accesses
	// wait and nothing can be given up: to look costs time in proportion to the
	// pages held.
	leastPause = time.Millisecond
	mostPause  = time.Second
	// shortage is how long an access waits for room before the log says so.
	shortage = time.Second
)

// keeper makes room.
type keeper struct {
	*Node
	pause  time.Duration // until the next look
	look   time.Time     // not before
	told   bool          // the log has said that accesses wait
	givers []giver       // by NodeID
}

func (n *Node) keepLimit() {
	defer n.tasks.Done()
	k := &keeper{Node: n, pause: leastPause, givers: make([]giver, n.Nodes())}
	timer := time.NewTimer(mostPause)
	defer timer.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-n.room.wake:
		case <-timer.C:
		}
		k.round()
		pause := mostPause
		if n.room.waiting.Load() > 0 {
			pause = min(pause, max(time.Until(k.look), leastPause))
		}
		timer.Reset(pause)
	}
}

// round serves those who wait, and makes room if it lacks.
func (k *keeper) round() {
	r := k.room
	k.sweep()
	served := k.serveDemands()
	k.tell()
	if served {
		k.pause = leastPause
	}
	if lacks := k.lacks(); lacks <= 0 || time.Now().Before(k.look) {
		return
	}
	dropped := k.dropCopies(k.lacks())
	k.serveDemands()
	given := int64(0)
	if lacks := k.lacks(); lacks > 0 {
		given = k.offer(lacks, r.waiting.Load() > 0)
	}
	switch {
	case given > 0: // they leave within a round trip or two
		k.pause = leastPause
	case dropped > 0:
		return
	}
	k.look = time.Now().Add(k.pause)
	k.pause = min(2*k.pause, mostPause)
}

// lacks is how many pages must go, for those who wait and for the slack.
func (k *keeper) lacks() int64 {
	wanted := int64(0)
	for _, d := range k.room.demands() {
		wanted += d.pages
	}
	return k.room.slack + wanted - k.room.free()
}

// sweep takes accesses out of the queue that need no room: the page has come, or
// its segment or its process is gone.
func (k *keeper) sweep() {
	for _, d := range k.room.demands() {
		m := d.fault.mapping
		if m == nil {
			continue
		}
		s := k.shardOf(d.fault.page)
		needs := false
		if !m.gone.Load() && !m.seg.removed.Load() {
			s.mu.Lock()
			needs = !m.seg.removed.Load() && s.brings(d.fault.page)
			s.unlock()
		}
		if !needs && k.room.remove(d) && !m.gone.Load() {
			s.post(d.fault)
		}
	}
}

// serveDemands has those go on, in their turn, for whom there is room.
func (k *keeper) serveDemands() (served bool) {
	for _, d := range k.room.demands() {
		if !k.room.take(d.pages) {
			return served
		}
		if !k.room.remove(d) {
			k.room.release(d.pages) // it has given up
			continue
		}
		served = true
		if d.granted != nil {
			close(d.granted)
			continue
		}
		d.fault.charged = d.pages
		k.shardOf(d.fault.page).post(d.fault)
	}
	return served
}

// tell has the log say that accesses wait, and when none does any more.
func (k *keeper) tell() {
	waiting := k.room.demands()
	switch {
	case k.told && len(waiting) == 0:
		k.told = false
		k.log.Info("no access waits for room any more")
	case !k.told && len(waiting) > 0 && time.Since(waiting[0].since) > shortage:
		k.told = true
		k.log.Warn("accesses wait for room: this node has its limit of pages, and no other node has room for them; remove a segment, or start the nodes with more --memory",
			"waiting", len(waiting), "limit", k.cfg.Memory)
	}
}

// resident is the bytes of pages in this node's memory.
func (n *Node) resident() (int64, error) {
	var sum int64
	for s := range n.segments.Load().all() {
		if !s.hold() {
			continue // it was removed meanwhile
		}
		frames, err := s.file.Resident()
		s.release()
		if err != nil {
			return 0, fmt.Errorf("node %d cannot measure its memory: %w", n.id, err)
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
func (s *shard) victims(most int64, fits func(protocol.Right) bool) []addr.PageNum {
	var pages []addr.PageNum
	if most <= 0 || s.core == nil {
		return nil
	}
	for p := range s.core.Holds {
		seg := s.node.segment(p)
		if seg == nil || seg.removed.Load() || s.core.Asking(p) || !fits(s.core.RightTo(p)) {
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
func (n *Node) dropCopies(most int64) int64 {
	dropped, first := int64(0), rand.IntN(shardCount)
	for i := range n.shards {
		dropped += n.shards[(first+i)%shardCount].dropCopies(most - dropped)
	}
	return dropped
}

func (s *shard) dropCopies(most int64) int64 {
	dropped := int64(0)
	for {
		s.mu.Lock()
		pages := s.victims(min(most-dropped, shedAtOnce), func(r protocol.Right) bool { return r == protocol.Read })
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
