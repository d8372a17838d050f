package node

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// syncs is the locks and barriers of this node: the core's machine, and what
// its answers become.
type syncs struct {
	mu      sync.Mutex // guards all below; taken after no other lock but a link's
	core    *protocol.SyncNode
	log     *trace.SyncLog // nil: nothing is recorded
	batch   protocol.SyncBatch
	touched outbox
	ahead   map[request][]hint // what is to be fetched when a round of a barrier is over
	opened  []opened           // those whose round is
	parties map[uint64]*application
	timers  map[request]*time.Timer // of acquires with a timeout
	expired map[request]bool        // acquires that were taken back by their timer
	seen    seen
}

// request names a request of a process.
type request struct{ party, id uint64 }

// opened is what a process wants behind a barrier that has opened.
type opened struct {
	app   *application
	hints []hint
}

func (n *Node) startSyncs() {
	n.syncs.mu.Lock() // who asks for its state may be early
	defer n.syncs.mu.Unlock()
	n.syncs.core = protocol.NewSyncNode(n.id, n.incarnation, n.conf)
	if log := n.syncs.log; log != nil {
		n.syncs.core.Observe(&syncObserver{log, n.syncs.core})
	}
	n.syncs.ahead = make(map[request][]hint)
	n.syncs.parties = make(map[uint64]*application)
	n.syncs.timers = make(map[request]*time.Timer)
	n.syncs.expired = make(map[request]bool)
	n.syncs.seen = newSeen()
}

// Object is the number of a named lock or barrier.
func Object(kind, name string) uint64 { return xxhash.Sum64String(kind + "\x00" + name) }

// deliverSync hands over what came from another node. The sending is left to the
// owner of out.
func (n *Node) deliverSync(peer addr.NodeID, m *protocol.Sync, out *outbox) {
	if m.From.Node != peer {
		receiver{n}.refuse(peer, fmt.Errorf("%w: it speaks for node %d", protocol.ErrForeign, m.From.Node))
		return
	}
	n.syncs.mu.Lock()
	err := n.syncStep(protocol.SyncInput{Kind: protocol.InSync, Sync: m})
	n.syncUnlockInto(out)
	if err != nil {
		receiver{n}.refuse(peer, err)
	}
}

// syncStep is one step and what follows.
// Preconditions: n.syncs.mu is held.
func (n *Node) syncStep(in protocol.SyncInput) error {
	s := &n.syncs
	s.batch.Reset()
	in.Cut = n.cut.Load()
	s.log.Input(&in)
	err := s.core.Step(in, &s.batch)
	n.cut.adopt(s.core.Cut())
	s.log.Output(&in, &s.batch, err)
	if err != nil || n.halted.Load() {
		return err
	}
	for i := range s.batch.Send {
		m := &s.batch.Send[i]
		l := n.link(m.To.Node)
		if l == nil {
			continue
		}
		l.AppendSync(m)
		s.touched.add(l)
	}
	for i := range s.batch.Answers {
		a := &s.batch.Answers[i]
		if app := s.parties[a.Party]; app != nil {
			n.answer(app, a)
		}
	}
	return nil
}

// syncUnlock lets the machine go, begins what is wanted behind barriers, and sends what was queued.
func (n *Node) syncUnlock() {
	var out outbox
	n.syncUnlockInto(&out)
	out.flush()
}

// syncUnlockInto is syncUnlock, and leaves the sending to the owner of out.
func (n *Node) syncUnlockInto(out *outbox) {
	out.join(&n.syncs.touched)
	open := n.syncs.opened
	n.syncs.opened = nil
	n.syncs.mu.Unlock()
	for _, o := range open {
		o.app.begin(o.hints, out)
		o.app.tasks.Done()
	}
}

// answer writes the end of a request.
// Preconditions: n.syncs.mu is held.
func (n *Node) answer(app *application, a *protocol.Answer) {
	r := request{a.Party, a.Request}
	if t := n.syncs.timers[r]; t != nil {
		t.Stop()
		delete(n.syncs.timers, r)
	}
	expired := n.syncs.expired[r]
	delete(n.syncs.expired, r)
	if hints := n.syncs.ahead[r]; hints != nil {
		delete(n.syncs.ahead, r)
		if a.Code == protocol.CodeOK {
			app.tasks.Add(1) // the process does not leave before they have begun
			n.syncs.opened = append(n.syncs.opened, opened{app, hints})
		}
	}
	app.finished()
	if a.Code == protocol.CodeOK {
		if a.Kind == protocol.InLockAcquire {
			n.syncs.seen.granted(r)
			_ = app.conn.WriteReply(&attachpb.Reply{Id: a.Request, Body: &attachpb.Reply_Lock{
				Lock: &attachpb.Lock{Fence: a.Fence, OwnerDied: a.OwnerDied}}})
			return
		}
		_ = app.conn.WriteDone(a.Request)
		return
	}
	_ = app.conn.WriteError(a.Request, syncError(a, expired))
}

func syncError(a *protocol.Answer, expired bool) error {
	switch a.Code {
	case protocol.CodeBusy:
		return client.ErrBusy
	case protocol.CodeCanceled:
		if expired {
			return client.ErrTimeout
		}
		return client.ErrCanceled
	case protocol.CodeNotOwner:
		return client.ErrNotOwner
	case protocol.CodeRecursive:
		return fmt.Errorf("%w: this process holds the lock, or waits for it, already", client.ErrInvalid)
	case protocol.CodePartyDied:
		return client.ErrPartyDied
	case protocol.CodeMismatch:
		return client.ErrMismatch
	case protocol.CodeLimit:
		return fmt.Errorf("%w: too many at once", client.ErrInvalid)
	}
	return fmt.Errorf("%w: %v", client.ErrInvalid, a.Kind)
}

// expire takes an acquire back whose time is over.
func (n *Node) expire(r request) {
	n.syncs.mu.Lock()
	if n.syncs.timers[r] == nil {
		n.syncs.mu.Unlock()
		return
	}
	delete(n.syncs.timers, r)
	n.syncs.expired[r] = true
	if err := n.syncStep(protocol.SyncInput{Kind: protocol.InLockCancel, Party: r.party, Target: r.id}); err != nil {
		panic(fmt.Sprintf("mome: the timeout of a lock: %v", err))
	}
	n.syncUnlock()
}

// processDied releases what the process held.
func (n *Node) processDied(party uint64) {
	n.syncs.mu.Lock()
	known := n.syncs.parties[party] != nil
	delete(n.syncs.parties, party)
	for r, t := range n.syncs.timers {
		if r.party == party {
			t.Stop()
			delete(n.syncs.timers, r)
		}
	}
	ofParty := func(r request) bool { return r.party == party }
	maps.DeleteFunc(n.syncs.expired, func(r request, _ bool) bool { return ofParty(r) })
	maps.DeleteFunc(n.syncs.ahead, func(r request, _ []hint) bool { return ofParty(r) })
	if known {
		if err := n.syncStep(protocol.SyncInput{Kind: protocol.InProcessDied, Party: party}); err != nil {
			panic(fmt.Sprintf("mome: the end of a process: %v", err))
		}
	}
	n.syncUnlock()
}

// awaitEnded returns when the node has taken back what processes had that have ended
// before: whoever has seen one of them end, and starts it again, must find its seats
// and its locks free.
func (a *application) awaitEnded() {
	for _, other := range a.node.endedApplications() {
		if other == a {
			continue
		}
		select {
		case <-other.freed:
		case <-a.dead: // the others may wait for this one
			return
		case <-a.ctx.Done():
			return
		}
	}
}

// syncRequest passes a request about a lock or a barrier to the core, which
// answers at once or later.
func (a *application) syncRequest(req *attachpb.Request) bool {
	if !a.begun() {
		return a.refuse(req.Id)
	}
	n := a.node
	in := protocol.SyncInput{Party: a.party, Request: req.Id}
	name, kind := "", "lock"
	var timeout time.Duration
	var ahead []hint
	var err error
	switch b := req.Body.(type) {
	case *attachpb.Request_LockAcquire:
		in.Kind, in.Try, name = protocol.InLockAcquire, b.LockAcquire.Try, b.LockAcquire.Name
		timeout = time.Duration(min(b.LockAcquire.TimeoutNs, 1<<62))
	case *attachpb.Request_LockRelease:
		in.Kind, in.Fence, name = protocol.InLockRelease, b.LockRelease.Fence, b.LockRelease.Name
	case *attachpb.Request_LockCancel:
		in.Kind, in.Target = protocol.InLockCancel, b.LockCancel.Request
	case *attachpb.Request_BarrierJoin:
		in.Kind, in.Index, in.Parties, name = protocol.InBarrierJoin, b.BarrierJoin.Party, b.BarrierJoin.Parties, b.BarrierJoin.Name
		kind = "barrier"
	case *attachpb.Request_BarrierWait:
		in.Kind, in.Index, in.Parties, in.Round = protocol.InBarrierWait, b.BarrierWait.Party, b.BarrierWait.Parties, b.BarrierWait.Round
		kind, name = "barrier", b.BarrierWait.Name
		if b.BarrierWait.Prefetch != nil {
			// Hints about what is not mapped any more are no reason not to arrive.
			ahead, _ = a.hintsOf(b.BarrierWait.Prefetch)
		}
	case *attachpb.Request_BarrierLeave:
		in.Kind, in.Index, name = protocol.InBarrierLeave, b.BarrierLeave.Party, b.BarrierLeave.Name
		kind = "barrier"
	}
	if in.Kind != protocol.InLockCancel {
		if e := client.ValidName(name); e != nil {
			err = fmt.Errorf("%w: %s: %w", client.ErrInvalid, kind, e)
		}
		in.Object = Object(kind, name)
	}
	if err != nil {
		a.finished()
		return a.conn.WriteError(req.Id, err) == nil
	}
	if in.Kind == protocol.InBarrierJoin || in.Try {
		a.awaitEnded()
	}
	n.syncs.mu.Lock()
	n.syncs.parties[a.party] = a
	if in.Kind == protocol.InLockAcquire || in.Kind == protocol.InBarrierJoin {
		n.syncs.seen.note(n.syncs.core, &in, name)
	}
	if ahead != nil {
		n.syncs.ahead[request{a.party, req.Id}] = ahead
	}
	if timeout > 0 && !in.Try {
		// However short it is, it ends after the request has begun: expire
		// needs the lock.
		r := request{a.party, req.Id}
		n.syncs.timers[r] = time.AfterFunc(timeout, func() { n.expire(r) })
	}
	if err := n.syncStep(in); err != nil {
		panic(fmt.Sprintf("mome: %v: %v", in.Kind, err))
	}
	n.syncUnlock()
	return true
}
