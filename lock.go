package mome

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
)

// Lock is a mutual exclusion of the whole cluster, known by its name. It is not
// recursive, and it is granted in the order of asking but for a bounded
// preference of near nodes. All methods are safe for concurrent use; goroutines
// that share a Lock exclude each other too.
type Lock struct {
	node *Node
	name string

	mu    sync.Mutex
	fence uint64 // of the turn that this Lock holds; 0 if none
	turn  *turn  // nil without a fence
}

// turn excludes the goroutines of a process that ask for locks of one name: to
// the cluster, the process is one party. Its Node has it while any of them holds
// the lock or asks for it.
type turn struct {
	taken chan struct{} // full while one of them has the turn
	users int           // guarded by Node.mu
}

// Lock is the lock of that name. It makes no request.
func (n *Node) Lock(name string) *Lock { return &Lock{node: n, name: name} }

// joinTurn counts one more user of the turn of a name.
func (n *Node) joinTurn(name string) *turn {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.turns[name]
	if t == nil {
		t = &turn{taken: make(chan struct{}, 1)}
		n.turns[name] = t
	}
	t.users++
	return t
}

// leaveTurn is the end of what joinTurn began.
func (n *Node) leaveTurn(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.turns[name]
	if t.users--; t.users == 0 {
		delete(n.turns, name)
	}
}

// Acquire waits until the lock is held and returns the turn's fencing number,
// which is higher than that of every earlier turn: storage that remembers the
// highest one it saw can refuse a holder whose turn is over.
//
// ErrOwnerDied comes WITH the lock held (as EOWNERDEAD does from a robust
// mutex): the holder before died without releasing it, and what the lock
// protects may be half changed. Mend that, and release the lock as usual.
//
//	fence, err := lock.Acquire(ctx)
//	if errors.Is(err, mome.ErrOwnerDied) {
//		repair()
//	} else if err != nil {
//		return err // the lock is not held
//	}
//	defer lock.Release()
//
// When the context ends first, the lock is not held, and the error is the
// context's; if the lock is granted at that very moment, Acquire succeeds. To know
// which, Acquire returns only after the lock's home has answered: a message there
// and back, or for as long as that node does not answer. Of a deadline that has
// passed the error says who has the lock, and how many are before this process: to
// find that out may take half a second more.
func (l *Lock) Acquire(ctx context.Context) (fence uint64, err error) {
	return l.acquire(ctx, "acquire", &attachpb.LockAcquire{Name: l.name})
}

// TryAcquire is Acquire without waiting for another holder: the error wraps
// ErrBusy if there is one.
func (l *Lock) TryAcquire(ctx context.Context) (fence uint64, err error) {
	return l.acquire(ctx, "try", &attachpb.LockAcquire{Name: l.name, Try: true})
}

func (l *Lock) acquire(ctx context.Context, op string, body *attachpb.LockAcquire) (uint64, error) {
	err := client.ValidName(l.name)
	var t *turn
	if err == nil {
		t, err = l.takeTurn(ctx, body.Try)
	}
	var reply *attachpb.Reply
	if err == nil {
		why := ""
		reply, err = l.node.client.CallCancel(ctx, &attachpb.Request{Body: &attachpb.Request_LockAcquire{LockAcquire: body}}, func() {
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				why = l.node.why(ctx, &attachpb.Explain{What: &attachpb.Explain_Lock{Lock: l.name}})
			}
		})
		err = because(err, why)
		if err == nil && reply.GetLock().GetFence() == 0 {
			err = fmt.Errorf("%w: %T without a fence in answer to LockAcquire", client.ErrMalformed, reply.Body)
		}
		if err != nil {
			l.giveTurn(t)
		}
	}
	granted := reply.GetLock()
	if err != nil {
		return 0, wrap(err, "mome: %s lock %s", op, client.Quote(l.name))
	}
	l.mu.Lock()
	l.fence, l.turn = granted.GetFence(), t
	l.mu.Unlock()
	if granted.GetOwnerDied() {
		return granted.GetFence(), wrap(ErrOwnerDied, "mome: %s lock %s (it is held)", op, client.Quote(l.name))
	}
	return granted.GetFence(), nil
}

// takeTurn is the part of Acquire that stays within the process.
func (l *Lock) takeTurn(ctx context.Context, try bool) (*turn, error) {
	t := l.node.joinTurn(l.name)
	select {
	case t.taken <- struct{}{}:
		return t, nil
	default:
	}
	err := error(ErrBusy)
	if !try {
		select {
		case t.taken <- struct{}{}:
			return t, nil
		case <-ctx.Done():
			err = fmt.Errorf("%w: another goroutine of this process has it, or asks for it", ctx.Err())
		}
	}
	l.node.leaveTurn(l.name)
	return nil, err
}

// giveTurn is the end of what takeTurn began.
func (l *Lock) giveTurn(t *turn) {
	<-t.taken
	l.node.leaveTurn(l.name)
}

// Release gives the lock up. The error wraps ErrNotOwner if it is not held.
func (l *Lock) Release() error {
	l.mu.Lock()
	fence, t := l.fence, l.turn
	l.fence, l.turn = 0, nil
	l.mu.Unlock()
	err := error(ErrNotOwner)
	if fence != 0 {
		_, err = l.node.call(context.Background(), &attachpb.Request{Body: &attachpb.Request_LockRelease{
			LockRelease: &attachpb.LockRelease{Name: l.name, Fence: fence},
		}})
		l.giveTurn(t)
	}
	return wrap(err, "mome: release lock %s", client.Quote(l.name))
}

// Locker is the lock as a sync.Locker, for what expects one. Its Lock is Acquire
// until ctx ends, and its Unlock is Release; both panic with the error where these
// fail. After ErrOwnerDied, too, Lock panics, and the lock is held: whoever can mend
// what it protects uses Acquire.
func (l *Lock) Locker(ctx context.Context) sync.Locker { return locker{l, ctx} }

type locker struct {
	lock *Lock
	ctx  context.Context
}

func (l locker) Lock() {
	if _, err := l.lock.Acquire(l.ctx); err != nil {
		panic(err)
	}
}

func (l locker) Unlock() {
	if err := l.lock.Release(); err != nil {
		panic(err)
	}
}
