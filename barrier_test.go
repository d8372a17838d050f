//go:build linux

package mome

import (
	"context"
	"errors"
	"runtime"
	"testing"
)

func TestBarrier(t *testing.T) {
	n, other, daemon := twoConnections(t)
	ctx := t.Context()
	mine, err := n.Barrier(ctx, "b", 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Barrier(ctx, "b", 0, 2); !errors.Is(err, ErrMismatch) {
		t.Errorf("a party that is taken: %v, want ErrMismatch", err)
	}
	if _, err := n.Barrier(ctx, "b", 0, 2); !errors.Is(err, ErrMismatch) {
		t.Errorf("a party that this process is already: %v, want ErrMismatch", err)
	}
	if _, err := other.Barrier(ctx, "b", 1, 3); !errors.Is(err, ErrMismatch) {
		t.Errorf("another number of parties: %v, want ErrMismatch", err)
	}
	for _, c := range [][2]int{{2, 2}, {-1, 2}, {0, 0}, {0, 1 << 30}} {
		if _, err := n.Barrier(ctx, "c", c[0], c[1]); !errors.Is(err, ErrInvalid) {
			t.Errorf("party %d of %d: %v, want ErrInvalid", c[0], c[1], err)
		}
	}
	theirs, err := other.Barrier(ctx, "b", 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for range 3 {
		go func() { done <- theirs.Wait(ctx) }()
		if err := mine.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	// Arriving waits for nobody; Wait is still to come.
	if err := mine.Arrive(); err != nil {
		t.Fatal(err)
	}
	if err := mine.Arrive(); !errors.Is(err, ErrInvalid) {
		t.Errorf("Arrive twice in a round: %v, want ErrInvalid", err)
	}
	if err := theirs.Wait(ctx); err != nil {
		t.Errorf("Wait for a party that has arrived: %v", err)
	}
	if err := mine.Wait(ctx); err != nil {
		t.Errorf("Wait behind Arrive: %v", err)
	}
	// Giving up is not leaving: the party has arrived, and may ask again.
	short, cancel := context.WithCancel(ctx)
	asked := len(daemon.Requests())
	go func() {
		for len(daemon.Requests()) == asked {
			runtime.Gosched()
		}
		cancel()
	}()
	if err := mine.Wait(short); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait with a context that ends: %v, want Canceled", err)
	}
	if err := theirs.Wait(ctx); err != nil {
		t.Errorf("the other party: %v", err)
	}
	if err := mine.Wait(ctx); err != nil {
		t.Errorf("Wait again for the same round: %v", err)
	}
	if n := len(daemon.Requests()) - asked; n != 2 {
		t.Errorf("a round of two parties, one of which gave up once, made %d requests, want 2", n)
	}
	go func() { done <- mine.Wait(ctx) }()
	other.Close()
	if err := <-done; !errors.Is(err, ErrPartyDied) {
		t.Errorf("Wait for a party that died: %v, want ErrPartyDied", err)
	}
	for range 2 {
		if err := mine.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := mine.Wait(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("Wait of a party that has left: %v, want ErrClosed", err)
	}
	if err := mine.Arrive(); !errors.Is(err, ErrClosed) {
		t.Errorf("Arrive of a party that has left: %v, want ErrClosed", err)
	}
	again, err := n.Barrier(ctx, "b", 0, 1)
	if err != nil {
		t.Fatalf("a barrier that all have left: %v", err)
	}
	if err := again.Wait(ctx); err != nil {
		t.Error(err)
	}
}

// TestBarrierAgain: a name is used again while others are still in the barrier
// before, and by a program that is started again as soon as its Close has returned.
func TestBarrierAgain(t *testing.T) {
	n, other, daemon := twoConnections(t)
	ctx := t.Context()
	join := func(n *Node, party int) *Barrier {
		t.Helper()
		b, err := n.Barrier(ctx, "b", party, 2)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	wait := func(a, b *Barrier) {
		t.Helper()
		done := make(chan error)
		go func() { done <- a.Wait(ctx) }()
		if err := b.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	theirs := join(other, 1)
	for range 3 {
		mine := join(n, 0)
		wait(mine, theirs)
		if err := mine.Close(); err != nil {
			t.Fatal(err)
		}
		mine = join(n, 0)
		if err := theirs.Wait(ctx); !errors.Is(err, ErrPartyDied) {
			t.Fatalf("Wait in the barrier that the other party has left: %v, want ErrPartyDied", err)
		}
		if err := theirs.Close(); err != nil {
			t.Fatal(err)
		}
		theirs = join(other, 1)
		wait(theirs, mine)
		if err := mine.Close(); err != nil {
			t.Fatal(err)
		}
		if err := theirs.Close(); err != nil {
			t.Fatal(err)
		}
		theirs = join(other, 1)
	}
	var leaves int
	for i := range 300 {
		if _, err := n.Barrier(ctx, "many", i, 300); err != nil {
			t.Fatal(err)
		}
	}
	before := len(daemon.Requests())
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for _, r := range daemon.Requests()[before:] {
		if r.GetBarrierLeave() != nil {
			leaves++
		}
	}
	if leaves != 300 {
		t.Errorf("Close has left %d of 300 barriers", leaves)
	}
}

// TestBarrierArrived is what can befall a party between Arrive and Wait.
func TestBarrierArrived(t *testing.T) {
	for _, c := range []struct {
		name   string
		befall func(t *testing.T, n, other *Node, mine, theirs *Barrier)
		want   error
	}{
		{"the context of a Wait ends", func(t *testing.T, _, _ *Node, mine, theirs *Barrier) {
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if err := mine.Wait(ended); !errors.Is(err, context.Canceled) {
				t.Errorf("Wait with a context that has ended: %v, want Canceled", err)
			}
			if err := theirs.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		}, nil},
		{"the other party dies", func(t *testing.T, _, other *Node, _, _ *Barrier) { other.Close() }, ErrPartyDied},
		{"it leaves", func(t *testing.T, _, _ *Node, mine, _ *Barrier) {
			if err := mine.Close(); err != nil {
				t.Error(err)
			}
		}, ErrPartyDied},
		{"it detaches", func(t *testing.T, n, _ *Node, _, _ *Barrier) { n.Close() }, ErrClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, other, _ := twoConnections(t)
			mine, err := n.Barrier(t.Context(), "b", 0, 2)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := other.Barrier(t.Context(), "b", 1, 2)
			if err != nil {
				t.Fatal(err)
			}
			if err := mine.Arrive(); err != nil {
				t.Fatal(err)
			}
			c.befall(t, n, other, mine, theirs)
			if err := mine.Wait(t.Context()); !errors.Is(err, c.want) {
				t.Errorf("Wait: %v, want %v", err, c.want)
			}
		})
	}
	t.Run("a segment of another attachment", func(t *testing.T) {
		n, other, _ := twoConnections(t)
		b, err := n.Barrier(t.Context(), "b", 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		s := create(t, other, "a", 4096)
		if err := b.ArrivePrefetch(s, Hint{Length: 1}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v, want ErrInvalid", err)
		}
		if err := b.Arrive(); err != nil {
			t.Errorf("Arrive after it: %v", err)
		}
	})
}
