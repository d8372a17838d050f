//go:build linux

package mome

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
)

func TestLock(t *testing.T) {
	n, other, _ := twoConnections(t)
	ctx := t.Context()
	mine, theirs := n.Lock("l"), other.Lock("l")

	first, err := theirs.Acquire(ctx)
	if err != nil || first == 0 {
		t.Fatalf("Acquire: %d, %v", first, err)
	}
	if _, err := mine.TryAcquire(ctx); !errors.Is(err, ErrBusy) {
		t.Errorf("TryAcquire: %v, want ErrBusy", err)
	}
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if _, err := mine.Acquire(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Acquire with a deadline: %v, want DeadlineExceeded", err)
	}
	if err := mine.Release(); !errors.Is(err, ErrNotOwner) {
		t.Errorf("Release of a lock that is not held: %v, want ErrNotOwner", err)
	}
	if err := theirs.Release(); err != nil {
		t.Fatal(err)
	}
	second, err := mine.TryAcquire(ctx)
	if err != nil || second <= first {
		t.Errorf("TryAcquire: fence %d, %v; want more than %d", second, err, first)
	}
	if err := mine.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Acquire(ctx); err != nil {
		t.Fatal(err)
	}
	go other.Close() // the holder goes
	fence, err := mine.Acquire(ctx)
	if !errors.Is(err, ErrOwnerDied) || fence <= second {
		t.Errorf("Acquire after the holder died: fence %d, %v; want ErrOwnerDied", fence, err)
	}
	if err := mine.Release(); err != nil {
		t.Errorf("the lock came with ErrOwnerDied and is not held: %v", err)
	}
	if _, err := n.Lock("").Acquire(ctx); !errors.Is(err, ErrInvalid) {
		t.Errorf("a lock without a name: %v", err)
	}
}

// An answer that is no lock leaves the lock to the next.
func TestLockWithoutAFence(t *testing.T) {
	n, daemon := connect(t)
	for _, reply := range []*attachpb.Reply{
		{Body: &attachpb.Reply_Done{Done: &attachpb.Done{}}},
		{Body: &attachpb.Reply_Lock{Lock: &attachpb.Lock{}}},
	} {
		daemon.Instead(func(r *attachpb.Request) *attachpb.Reply {
			if r.GetLockAcquire() == nil {
				return nil
			}
			return reply
		})
		l := n.Lock("l")
		if fence, err := l.TryAcquire(t.Context()); !errors.Is(err, client.ErrMalformed) || fence != 0 {
			t.Errorf("TryAcquire: fence %d, %v; want ErrMalformed", fence, err)
		}
		daemon.Instead(nil)
		if err := l.Release(); !errors.Is(err, ErrNotOwner) {
			t.Errorf("Release of what was not acquired: %v", err)
		}
		next := n.Lock("l")
		if _, err := next.TryAcquire(t.Context()); err != nil {
			t.Errorf("then TryAcquire: %v", err)
		}
		if err := next.Release(); err != nil {
			t.Error(err)
		}
	}
}

// Goroutines exclude each other, whichever Lock of a name they have, and nothing
// is left of the names of locks that nobody holds or asks for.
func TestLockOfGoroutines(t *testing.T) {
	n, _ := connect(t)
	ctx := t.Context()
	counts := make([]int, 3) // each guarded by a lock
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 30 {
				l := n.Lock(fmt.Sprint("l", i%len(counts)))
				if _, err := l.Acquire(ctx); err != nil {
					t.Error(err)
					return
				}
				counts[i%len(counts)]++
				if _, err := n.Lock(l.name).TryAcquire(ctx); !errors.Is(err, ErrBusy) {
					t.Errorf("TryAcquire of a lock that this goroutine holds: %v", err)
				}
				if err := l.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for i, c := range counts {
		if c != 80 {
			t.Errorf("lock %d: %d turns of 80", i, c)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.turns) > 0 {
		t.Errorf("%d names are remembered", len(n.turns))
	}
}
