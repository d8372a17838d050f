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
	pause time.Duration // until the next look
	look  time.Time     // not before
	told  bool          // the log has said that accesses wait

	full  time.Time // since then every look has found no room anywhere; zero: the last one has not
	freed int64     // what room.freed was at the last look
}

func (n *Node) keepLimit() {
	defer n.tasks.Done()
	k := &keeper{Node: n, pause: leastPause}
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
	late := k.hearLate()
	k.sweep()
	served := k.serveDemands()
	k.tell()
	if served || late > 0 {
		k.lookSoon()
	}
	if lacks := k.lacks(); lacks <= 0 || time.Now().Before(k.look) {
		return
	}
	dropped := k.dropCopies(k.lacks())
	served = k.serveDemands() || served
	given, none := int64(0), false
	if lacks := k.lacks(); lacks > 0 {
		given, none = k.offer(lacks, r.waiting.Load() > 0)
	}
	r.stuck.Store(dropped == 0)
	k.judge(served || dropped > 0 || given > 0 || none)
	if served || dropped > 0 || given > 0 { // it is of use; and what was given leaves within a round trip or two
		k.pause = leastPause
	}
	if dropped > 0 && given == 0 {
		return
	}
	k.look = time.Now().Add(k.pause)
	k.pause = min(2*k.pause, mostPause)
	k.refuse()
}

// lookSoon has the keeper make room soon: it is of use.
func (k *keeper) lookSoon() {
	k.pause = leastPause
	if soon := time.Now().Add(leastPause); soon.Before(k.look) {
		k.look = soon
	}
}

// judge says since when there is no room anywhere: this node frees nothing, and
// every other one, asked for those who wait, has said that it is full. A node that
// does not answer yet may have room, and one that a page comes from is going to. So
// it is the cluster that is full, and no machine that is merely slow.
func (k *keeper) judge(moves bool) {
	freed := k.room.freed.Load()
	moves = moves || freed != k.freed || !k.allFull() || k.arriving()
	k.freed = freed
	switch {
	case moves:
		k.full = time.Time{}
	case k.full.IsZero():
		k.full = time.Now()
	}
}

// allFull says whether every other node has said that it is full.
func (k *keeper) allFull() bool {
	for id, p := range *k.peers.Load() {
		if id != k.id && !p.taker.full {
			return false
		}
	}
	return true
}

// arriving says whether pages are on their way here from other nodes, for which
// there is room already.
func (n *Node) arriving() bool {
	for i := range n.shards {
		s := &n.shards[i]
		s.mu.Lock()
		found := false
		for p := range s.waiters {
			if s.core.Asking(p) && s.core.RightTo(p) == protocol.None {
				found = true
				break
			}
		}
		s.unlock()
		if found {
			return true
		}
	}
	return false
}

// refuse ends the requests that have waited for longer than they are to, with no
// room anywhere all the while.
func (k *keeper) refuse() {
	if k.full.IsZero() {
		return
	}
	for _, d := range k.room.demands() {
		if d.done == nil {
			continue
		}
		since := k.full
		if d.since.After(since) {
			since = d.since
		}
		if end := since.Add(d.patience); time.Now().Before(end) {
			if end.Before(k.look) {
				k.look = end // all are asked again before anybody is refused
			}
			continue
		}
		if k.room.remove(d) {
			d.refused = k.noRoom(d.patience)
			close(d.done)
		}
	}
}

// noRoom is what a request is told that is refused.
func (k *keeper) noRoom(patience time.Duration) errNoRoom {
	if k.Nodes() == 1 {
		return errNoRoom(fmt.Sprintf("node %d has its limit of pages, is alone, and has freed none for %v", k.id, patience))
	}
	return errNoRoom(fmt.Sprintf("node %d has its limit of pages and has freed none for %v, and each of the %d other nodes, asked again and again, has no room for any of them",
		k.id, patience, k.Nodes()-1))
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
		k.room.stuck.Store(false)
		if d.done != nil {
			close(d.done)
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
