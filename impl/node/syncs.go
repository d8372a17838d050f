package node

import (
	"fmt"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
	"github.com/mome-dsm/mome/impl/wire"
)

// syncs is the locks and barriers of this node: the core's machine, and what
// its answers become.
type syncs struct {
	mu      sync.Mutex // guards all below; taken after no other lock but a link's
	core    *protocol.SyncNode
	log     *trace.SyncLog // nil: nothing is recorded
	batch   protocol.SyncBatch
	touched outbox
	parties map[uint64]*application
	timers  map[request]*time.Timer // of acquires with a timeout
	expired map[request]bool        // acquires that were taken back by their timer
}

// request names a request of a process.
type request struct{ party, id uint64 }

func (n *Node) startSyncs() {
	n.syncs.core = protocol.NewSyncNode(n.id, n.incarnation, n.conf)
	if log := n.syncs.log; log != nil {
		n.syncs.core.Observe(&syncObserver{log, n.syncs.core})
	}
	n.syncs.parties = make(map[uint64]*application)
	n.syncs.timers = make(map[request]*time.Timer)
	n.syncs.expired = make(map[request]bool)
}

// Object is the number of a named lock or barrier.
func Object(kind, name string) uint64 { return xxhash.Sum64String(kind + "\x00" + name) }

// deliverSync hands over what came from another node.
func (n *Node) deliverSync(peer addr.NodeID, m *wire.Sync) {
	in := protocol.Sync(*m)
	if in.From != peer {
		links{n}.refuse(peer, fmt.Errorf("%w: it speaks for node %d", protocol.ErrForeign, in.From))
		return
	}
	n.syncs.mu.Lock()
	err := n.syncStep(protocol.SyncInput{Kind: protocol.InSync, Sync: &in})
	n.syncUnlock()
	if err != nil {
		links{n}.refuse(peer, err)
	}
}

// syncStep is one step and what follows.
// Preconditions: n.syncs.mu is held.
func (n *Node) syncStep(in protocol.SyncInput) error {
	s := &n.syncs
	s.batch.Reset()
	s.log.Input(&in)
	err := s.core.Step(in, &s.batch)
	s.log.Output(&in, &s.batch, err)
	if err != nil {
		return err
	}
	for i := range s.batch.Send {
		send := &s.batch.Send[i]
		l := n.link(send.To)
		if l == nil {
			continue
		}
		m := wire.Sync(send.Msg)
		l.AppendSync(&m)
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

// syncUnlock lets the machine go and sends what was queued.
func (n *Node) syncUnlock() {
	out := n.syncs.touched
	n.syncs.touched = outbox{}
	n.syncs.mu.Unlock()
	out.flush()
}

// answer writes the end of a request. It does not wait: an application has less
// requests out than its socket holds answers.
// Preconditions: n.syncs.mu is held.
func (n *Node) answer(app *application, a *protocol.Answer) {
	r := request{a.Party, a.Request}
	if t := n.syncs.timers[r]; t != nil {
		t.Stop()
		delete(n.syncs.timers, r)
	}
	expired := n.syncs.expired[r]
	delete(n.syncs.expired, r)
	app.finished()
	if a.Code == protocol.CodeOK {
		if a.Kind == protocol.InLockAcquire {
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
	for r := range n.syncs.expired {
		if r.party == party {
			delete(n.syncs.expired, r)
		}
	}
	if known {
		if err := n.syncStep(protocol.SyncInput{Kind: protocol.InProcessDied, Party: party}); err != nil {
			panic(fmt.Sprintf("mome: the end of a process: %v", err))
		}
	}
	n.syncUnlock()
}

// syncRequest passes a request about a lock or a barrier to the core, which
// answers at once or later.
func (a *application) syncRequest(req *attachpb.Request) bool {
	if !a.begun() {
		return false
	}
	n := a.node
	in := protocol.SyncInput{Party: a.party, Request: req.Id}
	name, kind := "", "lock"
	var timeout time.Duration
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
	case *attachpb.Request_BarrierLeave:
		in.Kind, in.Index, name = protocol.InBarrierLeave, b.BarrierLeave.Party, b.BarrierLeave.Name
		kind = "barrier"
	}
	if in.Kind != protocol.InLockCancel {
		if err := client.ValidName(name); err != nil {
			a.finished()
			return a.conn.WriteError(req.Id, fmt.Errorf("%w: %s: %w", client.ErrInvalid, kind, err)) == nil
		}
		in.Object = Object(kind, name)
	}
	n.syncs.mu.Lock()
	n.syncs.parties[a.party] = a
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
