package protocol

import (
	"fmt"
	"slices"
)

// NearTurns bounds the preference for the node that has a lock: so often at
// most is the request at the front of the queue overtaken by a later one of the
// node that gives the lock up. What the lock protects is in that node's memory.
// Otherwise the queue is FIFO.
const NearTurns = 8

// turnKey: a party is at most once at a lock, so that it cannot wait for
// itself.
type turnKey struct {
	party, object uint64
}

// awaitedKey names an Acquire as its process does.
type awaitedKey struct {
	party, request uint64
}

// lockClient is the part of a node that stands between its processes and the
// homes of locks.
type lockClient struct{ *SyncNode }

// AcquireLock asks the home for a lock.
func (c lockClient) AcquireLock(in *SyncInput) {
	key, wait := turnKey{in.Party, in.Object}, awaitedKey{in.Party, in.Request}
	if _, ok := c.turns[key]; ok {
		c.refuse(in, CodeRecursive)
		return
	}
	if _, ok := c.awaited[wait]; ok {
		c.refuse(in, CodeInvalid)
		return
	}
	if p := c.parties[in.Party]; p != nil && p.turns >= MaxTurns {
		c.refuse(in, CodeLimit)
		return
	}
	c.enter(in.Party).turns++
	c.turns[key] = Turn{Request: in.Request, Try: in.Try}
	c.awaited[wait] = in.Object
	c.toHome(SyncAcquire, CodeOK, Sync{Object: in.Object, Party: in.Party, Request: in.Request, Try: in.Try})
}

// CancelLock takes an Acquire back. A try is never waited for: its answer is on
// the way.
func (c lockClient) CancelLock(in *SyncInput) {
	object, ok := c.awaited[awaitedKey{in.Party, in.Target}]
	if !ok {
		if in.Request != 0 {
			c.refuse(in, CodeOK)
		}
		return
	}
	key := turnKey{in.Party, object}
	t := c.turns[key]
	if in.Request != 0 {
		if t.Cancel != 0 {
			c.refuse(in, CodeInvalid)
			return
		}
		t.Cancel = in.Request
	}
	c.turns[key] = c.cancelTurn(key, t)
}

// cancelTurn sends a Cancel, at most once.
func (c lockClient) cancelTurn(key turnKey, t Turn) Turn {
	if !t.Canceling && !t.Try {
		c.toHome(SyncCancel, CodeOK, Sync{Object: key.object, Party: key.party, Request: t.Request})
	}
	t.Canceling = true
	return t
}

// ReleaseLock gives a lock back to its home.
func (c lockClient) ReleaseLock(in *SyncInput) {
	key := turnKey{in.Party, in.Object}
	t, ok := c.turns[key]
	if !ok || t.Fence == 0 || t.Fence != in.Fence {
		c.refuse(in, CodeNotOwner)
		return
	}
	if !c.mayCall(in.Party) {
		c.refuse(in, CodeLimit)
		return
	}
	c.endTurn(key)
	c.giveBack(key, in.Request, t.Fence, CodeOK)
}

// giveBack sends a Release.
func (c lockClient) giveBack(key turnKey, request, fence uint64, code SyncCode) {
	c.beginCall(call{kind: SyncRelease, object: key.object, party: key.party, request: request})
	c.toHome(SyncRelease, code, Sync{Object: key.object, Party: key.party, Request: request, Fence: fence})
}

func (c lockClient) endTurn(key turnKey) {
	delete(c.turns, key)
	c.parties[key.party].turns--
}

// abandonLocks releases what a dead party holds, and cancels what it waits for.
func (c lockClient) abandonLocks(id uint64) {
	objects := c.touches(id, SyncRelease)
	for key := range c.turns {
		if key.party == id {
			objects = append(objects, key.object)
		}
	}
	for _, object := range sorted(objects) {
		key := turnKey{id, object}
		switch t, ok := c.turns[key]; {
		case ok && t.Fence == 0:
			c.turns[key] = c.cancelTurn(key, t)
		case ok:
			c.endTurn(key)
			c.giveBack(key, 0, t.Fence, CodeOwnerDied)
		}
		c.observeDeath(id, object, Locks)
	}
}

// admit says what is wrong with an answer of a home before it changes anything.
func (c lockClient) admit(m *Sync) error {
	if m.Kind == SyncReleased {
		if c.calls[releaseCall(m)] == 0 {
			return c.foreign(m, "nothing was released")
		}
		return nil
	}
	t, ok := c.turns[turnKey{m.Party, m.Object}]
	if !ok || t.Fence != 0 || t.Request != m.Request {
		return c.foreign(m, "nothing of the kind was asked for")
	}
	if m.Kind == SyncRefuse {
		if m.Code == CodeBusy && !t.Try {
			return c.foreign(m, "it was not a try")
		}
		if m.Code == CodeCanceled && (!t.Canceling || t.Try) {
			return c.foreign(m, "it was not canceled")
		}
	}
	return nil
}

func releaseCall(m *Sync) call {
	return call{kind: SyncRelease, object: m.Object, party: m.Party, request: m.Request}
}

// RecvGrant is the end of an Acquire: the lock is held. A dead party never knew
// that it was: its lock goes on as it came.
func (c lockClient) RecvGrant(m *Sync) {
	key := turnKey{m.Party, m.Object}
	t := c.turns[key]
	delete(c.awaited, awaitedKey{m.Party, m.Request})
	if c.parties[m.Party].dead {
		c.endTurn(key)
		c.giveBack(key, 0, m.Fence, m.Code)
		return
	}
	c.turns[key] = Turn{Request: t.Request, Fence: m.Fence}
	c.answerAcquire(t, Answer{Party: m.Party, Fence: m.Fence, OwnerDied: m.Code == CodeOwnerDied})
}

// RecvRefuse is the end of an Acquire: the lock is not held.
func (c lockClient) RecvRefuse(m *Sync) {
	key := turnKey{m.Party, m.Object}
	t := c.turns[key]
	delete(c.awaited, awaitedKey{m.Party, m.Request})
	c.endTurn(key)
	c.answerAcquire(t, Answer{Party: m.Party, Code: m.Code})
	c.settle(m.Party)
}

// answerAcquire answers the Acquire of a turn, then its cancel.
func (c lockClient) answerAcquire(t Turn, a Answer) {
	a.Kind, a.Request = InLockAcquire, t.Request
	c.answer(a)
	if t.Cancel != 0 {
		c.answer(Answer{Kind: InLockCancel, Party: a.Party, Request: t.Cancel})
	}
}

// RecvReleased is the end of a Release.
func (c lockClient) RecvReleased(m *Sync) {
	c.endCall(releaseCall(m))
	c.answer(Answer{Kind: InLockRelease, Code: m.Code, Party: m.Party, Request: m.Request})
	c.settle(m.Party)
}

// lockHome is the part of a node that is the home of locks.
type lockHome struct{ *SyncNode }

// admit says what is wrong with a request before it changes anything.
func (h lockHome) admit(m *Sync) error {
	switch m.Kind {
	case SyncAcquire:
		l := h.locks[m.Object]
		if l == nil {
			return nil
		}
		if l.Fence != 0 && l.Holder.is(m) {
			return h.foreign(m, "the party has the lock")
		}
		for _, w := range l.Queue {
			if w.is(m) {
				return h.foreign(m, "the party waits already")
			}
		}
	case SyncRelease:
		if m.Fence > h.fence {
			return h.foreign(m, "the fence was never given out")
		}
	}
	return nil
}

// HomeRecvAcquire grants the lock, or puts the request into the queue.
func (h lockHome) HomeRecvAcquire(m *Sync) {
	l := h.locks[m.Object]
	if l == nil {
		l = &LockState{}
		h.locks[m.Object] = l
	}
	w := Waiter{m.From.Node, m.Party, m.Request}
	switch {
	case l.Fence == 0:
		h.grant(m.Object, l, w)
	case m.Try:
		h.refuseWaiter(m.Object, w, CodeBusy)
	case len(l.Queue) >= MaxWaiters:
		h.refuseWaiter(m.Object, w, CodeLimit)
	default:
		l.Queue = append(l.Queue, w)
	}
	h.check(m.Object)
}

// HomeRecvCancel takes a request out of the queue. One that is not there was
// answered: the answer and the Cancel have crossed.
func (h lockHome) HomeRecvCancel(m *Sync) {
	l := h.locks[m.Object]
	if l == nil {
		return
	}
	w := Waiter{m.From.Node, m.Party, m.Request}
	i := slices.Index(l.Queue, w)
	if i < 0 {
		return
	}
	l.Queue = slices.Delete(l.Queue, i, i+1)
	h.refuseWaiter(m.Object, w, CodeCanceled)
	h.check(m.Object)
}

// HomeRecvRelease hands the lock over. A Release of a turn that is over frees
// nothing.
func (h lockHome) HomeRecvRelease(m *Sync) {
	l := h.locks[m.Object]
	owner := l != nil && l.Fence == m.Fence && l.Holder.is(m)
	code := CodeOK
	if !owner {
		code = CodeNotOwner
	}
	h.toNode(m.From.Node, SyncReleased, code, Sync{Object: m.Object, Party: m.Party, Request: m.Request})
	if !owner {
		return
	}
	l.Fence = 0
	l.Died = m.Code == CodeOwnerDied
	h.handOver(m.Object, l)
	h.check(m.Object)
}

// handOver gives a lock that was just given up to the next in the queue.
func (h lockHome) handOver(object uint64, l *LockState) {
	if len(l.Queue) == 0 {
		if *l = (LockState{Died: l.Died}); !l.Died {
			delete(h.locks, object)
		}
		return
	}
	next := 0
	if l.Overtaken < NearTurns {
		near := slices.IndexFunc(l.Queue, func(w Waiter) bool { return w.Node == l.Holder.Node })
		next = max(next, near)
	}
	if next == 0 {
		l.Overtaken = 0
	} else {
		l.Overtaken++
	}
	w := l.Queue[next]
	if next == 0 {
		l.Queue = l.Queue[1:]
	} else {
		l.Queue = slices.Delete(l.Queue, next, next+1)
	}
	h.grant(object, l, w)
}

func (h lockHome) grant(object uint64, l *LockState, w Waiter) {
	h.fence++
	l.Fence, l.Holder = h.fence, w
	code := CodeOK
	if l.Died {
		code = CodeOwnerDied
	}
	l.Died = false
	h.toNode(w.Node, SyncGrant, code, Sync{Object: object, Party: w.Party, Request: w.Request, Fence: l.Fence})
}

func (h lockHome) refuseWaiter(object uint64, w Waiter, code SyncCode) {
	h.toNode(w.Node, SyncRefuse, code, Sync{Object: object, Party: w.Party, Request: w.Request})
}

// check runs what holds of a lock at its home after each step.
func (h lockHome) check(object uint64) {
	l := h.locks[object]
	if !invariantsOn || l == nil {
		return
	}
	free := l.Fence == 0
	if free && (len(l.Queue) > 0 || !l.Died) || !free && l.Died || l.Fence > h.fence ||
		len(l.Queue) > MaxWaiters || l.Overtaken > NearTurns {
		panic(fmt.Sprintf("mome: LockInv violated at node %d for %#x: %+v", h.self, object, *l))
	}
}
