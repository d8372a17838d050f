package sim

import (
	"fmt"
	"maps"
	"slices"

	"github.com/mome-dsm/mome/impl/history"
	"github.com/mome-dsm/mome/impl/protocol"
)

// Locks is a world of processes that acquire, try, take back, release, release
// under a fence that is over, and die.
type Locks struct {
	*Syncs
	taken []protocol.Sync // Releases that came over a link

	posts  map[uint64]lockPost // at the homes
	holder map[uint64]*party
	owed   map[uint64]bool // a holder died, and nobody was told
	fences map[uint64]uint64

	// History is what the processes have asked for and were answered, in
	// simulated time, which goes on by one with each call and each return.
	History []history.Operation
	calls   map[uint64]int // place in History, by the number of a request
	now     int64
}

// lockPost is what a home says of a lock.
type lockPost struct {
	protocol.LockState
	passed int // how often in a row another one went before the front
}

// observed implements objects: a lock that is given up goes to the front of the
// queue or to the first one of the same node, and the front waits for
// protocol.NearTurns of those at most.
func (w *Locks) observed(e *protocol.SyncEvent, home *protocol.SyncNode) {
	post := lockPost{LockState: home.Lock(e.Object)}
	for _, x := range post.Queue {
		if w.parties[x.Party-1].open[x.Request].Try && w.fell == nil {
			w.fell = violated("Try", "lock %d has a try in its queue: %+v", e.Object, x)
		}
	}
	was := w.posts[e.Object]
	post.passed = was.passed
	if e.Action == protocol.ActHomeRecvRelease && post.Fence != was.Fence && len(was.Queue) > 0 {
		near := slices.IndexFunc(was.Queue, func(x protocol.Waiter) bool { return x.Node == was.Holder.Node })
		post.passed++
		switch i := slices.Index(was.Queue, post.Holder); {
		case i == 0:
			post.passed = 0
		case w.fell != nil:
		case i < 0:
			w.fell = violated("NoLostRequest", "lock %d went to %+v, who did not wait: %+v", e.Object, post.Holder, was.Queue)
		case i != near || post.passed > protocol.NearTurns:
			w.fell = violated("Fifo", "lock %d went to place %d of %+v from node %d, %d times in a row not to the front",
				e.Object, i, was.Queue, was.Holder.Node, post.passed)
		default:
			w.Counts["overtaken"]++
		}
	}
	w.posts[e.Object] = post
}

// NewLocks makes a world in which nothing has happened yet.
func NewLocks(cfg SyncConfig) *Locks {
	w := &Locks{holder: make(map[uint64]*party), posts: make(map[uint64]lockPost), owed: make(map[uint64]bool),
		fences: make(map[uint64]uint64), calls: make(map[uint64]int)}
	w.Syncs = newSyncs(cfg, w, 3)
	return w
}

// finish implements objects: it lets everybody release, and demands that nobody waits in the end.
func (w *Locks) finish() error {
	if v := w.settle(); v != nil {
		return v
	}
	for again := true; again; {
		again = false
		for _, p := range w.parties {
			for _, lock := range slices.Sorted(maps.Keys(p.held)) {
				again = true
				if v := w.release(p, lock); v != nil {
					return v
				}
			}
		}
		if v := w.settle(); v != nil {
			return v
		}
	}
	for _, p := range w.parties {
		if len(p.open) > 0 {
			return violated("LockServed", "process %d waits in vain: %+v", p.id, p.open)
		}
	}
	return nil
}

// act implements objects.
func (w *Locks) act() *Violation {
	if w.cfg.Late && len(w.taken) > 0 && w.rng.IntN(4) == 0 {
		return w.late(w.taken[w.rng.IntN(len(w.taken))])
	}
	p := w.someone()
	lock := uint64(w.rng.IntN(w.cfg.Objects))
	fence, held := p.held[lock]
	switch w.rng.IntN(11) {
	case 0, 1, 2, 3:
		if !held && !p.asks(protocol.InLockAcquire, lock, 0) {
			return w.request(p, protocol.SyncInput{Kind: protocol.InLockAcquire, Object: lock, Try: w.rng.IntN(4) == 0})
		}
	case 4, 5, 6, 7:
		if held {
			return w.release(p, lock)
		}
	case 8:
		if past := p.past[lock]; held && past != 0 && past != fence {
			return w.request(p, protocol.SyncInput{Kind: protocol.InLockRelease, Object: lock, Fence: past})
		}
	case 9:
		return w.cancel(p, w.rng.IntN)
	case 10:
		if w.rng.IntN(8) == 0 {
			return w.die(p)
		}
	}
	return nil
}

// asks implements objects: it records that a process asks for a lock, or to be rid
// of it.
func (w *Locks) asks(in *protocol.SyncInput) {
	w.now++
	// A process waits for several requests at once: each has a thread of its own.
	o := history.Operation{Client: int(in.Request), Op: history.OpAcquire, Object: fmt.Sprintf("lock %d", in.Object), Call: w.now}
	switch in.Kind {
	case protocol.InLockAcquire:
	case protocol.InLockRelease:
		o.Op, o.Value = history.OpRelease, in.Fence
	default:
		return
	}
	w.calls[in.Request] = len(w.History)
	w.History = append(w.History, o)
}

// returned records the answer.
func (w *Locks) returned(a *protocol.Answer) {
	w.now++
	i, ok := w.calls[a.Request]
	if !ok {
		return
	}
	o := &w.History[i]
	o.Return = w.now
	switch {
	case a.Code != protocol.CodeOK:
	case o.Op == history.OpRelease:
		o.Result = 1
	default:
		o.Value = a.Fence
		if a.OwnerDied {
			o.Old = 1
		}
	}
}

func (w *Locks) release(p *party, lock uint64) *Violation {
	fence := p.held[lock]
	p.past[lock] = fence
	delete(p.held, lock)
	delete(w.holder, lock)
	return w.request(p, protocol.SyncInput{Kind: protocol.InLockRelease, Object: lock, Fence: fence})
}

// cancel takes back something that the process waits for, once, half of the
// time as a timeout, which has no answer. choose(n) is below n.
func (w *Locks) cancel(p *party, choose func(n int) int) *Violation {
	canceled := make(map[uint64]bool)
	var targets []uint64
	for _, r := range slices.Sorted(maps.Keys(p.open)) {
		canceled[p.open[r].Target] = true
		if p.open[r].Kind == protocol.InLockAcquire {
			targets = append(targets, r)
		}
	}
	if len(targets) == 0 {
		return nil
	}
	in := protocol.SyncInput{Kind: protocol.InLockCancel, Party: p.id, Target: targets[choose(len(targets))]}
	if choose(2) == 0 {
		return w.step(p.node, in)
	}
	if canceled[in.Target] {
		return nil
	}
	return w.request(p, in)
}

// dies implements objects.
func (w *Locks) dies(p *party) {
	for lock := range p.held {
		delete(w.holder, lock)
		w.owed[lock] = true
	}
	clear(p.held)
}

// arrives implements objects: it remembers a Release that came over a link.
func (w *Locks) arrives(m protocol.Sync) {
	if m.Kind == protocol.SyncRelease {
		w.taken = append(w.taken, m)
	}
}

// late gives a home a Release again. Its answer goes to nobody.
func (w *Locks) late(m protocol.Sync) *Violation {
	home := w.nodes[w.conf.Slots[m.Object%uint64(len(w.conf.Slots))].Home]
	var b protocol.SyncBatch
	if err := home.core.Step(protocol.SyncInput{Kind: protocol.InSync, Sync: &m}, &b); err != nil {
		return violated("Admit", "a late Release: %v", err)
	}
	if w.cfg.Blind {
		return nil
	}
	if len(b.Send) != 1 || b.Send[0].Code != protocol.CodeNotOwner {
		return violated("Fence", "a late Release under fence %d of lock %d freed it: %+v", m.Fence, m.Object, b)
	}
	return nil
}

// answered implements objects.
func (w *Locks) answered(p *party, in protocol.SyncInput, a protocol.Answer) *Violation {
	w.returned(&a)
	switch {
	case a.Kind == protocol.InLockRelease:
		stale := in.Fence != p.past[in.Object] || p.held[in.Object] != 0
		if a.Code != protocol.CodeOK && !stale {
			return violated("Release", "of process %d: %v", p.id, a.Code)
		}
	case a.Kind == protocol.InLockCancel:
		if _, ok := p.open[in.Target]; ok {
			return violated("NoLostRequest", "the cancel %d is answered before what it takes back", a.Request)
		}
	case a.Code == protocol.CodeOK:
		return w.watchGrant(p, in.Object, a)
	case a.Code == protocol.CodeBusy && in.Try:
		w.Counts["busy"]++
	case a.Code == protocol.CodeCanceled && !in.Try:
		w.Counts["canceled"]++
	default:
		return violated("NoLostRequest", "an acquire of process %d: %v", p.id, a.Code)
	}
	return nil
}

func (w *Locks) watchGrant(p *party, lock uint64, a protocol.Answer) (v *Violation) {
	w.Counts["grants"]++
	switch q := w.holder[lock]; {
	case q != nil:
		v = violated("MutualExclusion", "lock %d: processes %d and %d have it", lock, q.id, p.id)
	case a.Fence <= w.fences[lock]:
		v = violated("FenceGrows", "lock %d: fence %d after %d", lock, a.Fence, w.fences[lock])
	case a.OwnerDied != w.owed[lock]:
		v = violated("OwnerDied", "lock %d: told %v of a death", lock, a.OwnerDied)
	}
	w.fences[lock], w.holder[lock], p.held[lock] = a.Fence, p, a.Fence
	delete(w.owed, lock)
	return v
}
