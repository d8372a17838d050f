package mome

import (
	"context"
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
	// turn is full while somebody of this process holds the lock or asks for it.
	// All Locks of the name share it: to the cluster, the process is one party.
	turn chan struct{}

	mu    sync.Mutex
	fence uint64 // of the turn that this Lock holds; 0 if none
}

// Lock is the lock of that name. It makes no request.
func (n *Node) Lock(name string) *Lock {
	n.mu.Lock()
	defer n.mu.Unlock()
	turn := n.turns[name]
	if turn == nil {
		turn = make(chan struct{}, 1)
		if n.turns == nil {
			n.turns = make(map[string]chan struct{})
		}
		n.turns[name] = turn
	}
	return &Lock{node: n, name: name, turn: turn}
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
// context's. If the lock is granted at that very moment, Acquire succeeds.
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
	if err == nil {
		err = l.takeTurn(ctx, body.Try)
	}
	var reply *attachpb.Reply
	if err == nil {
		if reply, err = l.node.client.CallCancel(ctx, &attachpb.Request{Body: &attachpb.Request_LockAcquire{LockAcquire: body}}); err != nil {
			<-l.turn
		}
	}
	if err != nil {
		return 0, wrap(err, "mome: %s lock %q", op, l.name)
	}
	turn := reply.GetLock()
	l.mu.Lock()
	l.fence = turn.GetFence()
	l.mu.Unlock()
	if turn.GetOwnerDied() {
		return turn.GetFence(), wrap(ErrOwnerDied, "mome: %s lock %q (it is held)", op, l.name)
	}
	return turn.GetFence(), nil
}

// takeTurn is the part of Acquire that stays within the process.
func (l *Lock) takeTurn(ctx context.Context, try bool) error {
	select {
	case l.turn <- struct{}{}:
		return nil
	default:
	}
	if try {
		return ErrBusy
	}
	select {
	case l.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Release gives the lock up. The error wraps ErrNotOwner if it is not held.
func (l *Lock) Release() error {
	l.mu.Lock()
	fence := l.fence
	l.fence = 0
	l.mu.Unlock()
	err := error(ErrNotOwner)
	if fence != 0 {
		_, err = l.node.call(context.Background(), &attachpb.Request{Body: &attachpb.Request_LockRelease{
			LockRelease: &attachpb.LockRelease{Name: l.name, Fence: fence},
		}})
		<-l.turn
	}
	return wrap(err, "mome: release lock %q", l.name)
}
