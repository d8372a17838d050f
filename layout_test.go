//go:build linux

package mome

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unsafe"

	"github.com/mome-dsm/mome/impl/client"
)

// TestPadded: each value has pages of its own.
func TestPadded(t *testing.T) {
	n, _ := connect(t)
	type big [600]int64
	if PaddedSize[int64]() != PageSize || PaddedSize[big]() != 2*PageSize || PaddedSize[struct{}]() != PageSize {
		t.Errorf("sizes: %d, %d, %d", PaddedSize[int64](), PaddedSize[big](), PaddedSize[struct{}]())
	}
	s := create(t, n, "a", PageSize+3*PaddedSize[int64]())
	all, err := PaddedOf[int64](s, PageSize, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range all {
		if at := uintptr(unsafe.Pointer(p)); at != s.Addr()+uintptr(i+1)*PageSize {
			t.Errorf("value %d is at %#x, of a segment at %#x", i, at, s.Addr())
		}
	}
	for _, c := range []struct {
		off int64
		n   int
	}{{8, 1}, {PageSize, 4}, {0, -1}, {PageSize, 1 << 60}} {
		if _, err := PaddedOf[int64](s, c.off, c.n); !errors.Is(err, ErrInvalid) {
			t.Errorf("%d from %d on: %v, want ErrInvalid", c.n, c.off, err)
		}
	}
	if _, err := PaddedOf[*int](s, 0, 1); !errors.Is(err, ErrInvalid) {
		t.Errorf("pointers: %v", err)
	}
}

// TestClosedSegment: what is closed is the segment, not the attachment.
func TestClosedSegment(t *testing.T) {
	n, _ := connect(t)
	s := create(t, n, "a", PageSize)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	err := s.Prefault(0, PageSize, false)
	if !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "the segment is closed") || strings.Contains(err.Error(), "detached") {
		t.Errorf("Prefault after Close: %v", err)
	}
}

// TestLongNames: a name that is too long is in no message as a whole.
func TestLongNames(t *testing.T) {
	n, _ := connect(t)
	ctx := t.Context()
	name := strings.Repeat("x", 100_000)
	_, created := n.Create(ctx, name, 1)
	_, opened := n.Open(ctx, name)
	_, ensured := n.OpenOrCreate(ctx, name, 1)
	_, acquired := n.Lock(name).Acquire(ctx)
	_, joined := n.Barrier(ctx, name, 0, 1)
	for _, err := range []error{created, opened, ensured, n.Remove(ctx, name), acquired, n.Lock(name).Release(), joined} {
		if err == nil || len(err.Error()) > 400 || strings.Count(err.Error(), "100000 bytes") == 0 {
			t.Errorf("%.500v", err)
		}
	}
	if got := client.Quote(name[:client.MaxName]); len(got) != client.MaxName+2 {
		t.Errorf("a name that can be is %s", got)
	}
}

// TestLocker: a lock as a sync.Locker.
func TestLocker(t *testing.T) {
	n, _ := connect(t)
	lock := n.Lock("l")
	l := lock.Locker(t.Context())
	l.Lock()
	if _, err := n.Lock("l").TryAcquire(t.Context()); !errors.Is(err, ErrBusy) {
		t.Errorf("while it is held: %v", err)
	}
	panics := func(f func()) (err error) {
		defer func() { err, _ = recover().(error) }()
		f()
		return nil
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := panics(n.Lock("l").Locker(gone).Lock); !errors.Is(err, context.Canceled) {
		t.Errorf("Lock panics with %v", err)
	}
	l.Unlock()
	if err := panics(l.Unlock); !errors.Is(err, ErrNotOwner) {
		t.Errorf("Unlock without the lock panics with %v", err)
	}
}
