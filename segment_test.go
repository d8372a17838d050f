//go:build linux

package mome

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/client/clienttest"
)

func TestSegment(t *testing.T) {
	n, daemon := connect(t)
	ctx := t.Context()
	// A segment has whole pages.
	const asked, size = 3*addr.PageSize + 100, 4 * addr.PageSize
	s := create(t, n, "grid", asked, WithHome(Block))
	if s.Name() != "grid" || s.Size() != size || s.Addr() != addr.DefaultBase.Addr(0) || len(s.Bytes()) != size {
		t.Fatalf("segment %q of %d bytes at %#x, %d mapped", s.Name(), s.Size(), s.Addr(), len(s.Bytes()))
	}
	if err := s.Prefault(0, size, true); err != nil {
		t.Fatal(err)
	}
	s.Bytes()[size-1] = 42
	for _, op := range []func() error{
		func() error { return s.Prefetch(0, 10, true) },
		func() error { return s.WriteBack(ctx, 4096, 10) },
		func() error { return s.Drop(ctx, 0, size) },
		func() error { return s.Drop(ctx, size, 0) },
	} {
		if err := op(); err != nil {
			t.Error(err)
		}
	}
	log := daemon.Requests()
	if r := log[len(log)-1].GetDrop().GetRange(); r.GetLength() != size || r.GetSegment().GetName() != "grid" {
		t.Errorf("the last request is %v", log[len(log)-1])
	}

	for _, c := range []struct{ off, n int64 }{{-1, 1}, {0, -1}, {0, size + 1}, {size + 1, 0}, {size, 1}, {1, 1<<63 - 1}} {
		if err := s.Prefault(c.off, c.n, false); !errors.Is(err, ErrInvalid) {
			t.Errorf("Prefault(%d, %d): %v, want ErrInvalid", c.off, c.n, err)
		}
	}

	// A second handle shares the mapping; the last Close unmaps.
	again, err := n.OpenOrCreate(ctx, "grid", asked)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.Close() // a second Close of one handle does nothing
	if s.Bytes() != nil || !errors.Is(s.Prefetch(0, 1, false), ErrClosed) {
		t.Error("a closed handle can be used")
	}
	if again.Bytes()[size-1] != 42 {
		t.Errorf("the byte is %d, want 42", again.Bytes()[size-1])
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	third, err := n.Open(ctx, "grid")
	if err != nil {
		t.Fatal(err)
	}
	if err := third.Prefault(0, size, false); err != nil {
		t.Fatal(err)
	}
	if third.Bytes()[size-1] != 42 {
		t.Errorf("after mapping again the byte is %d, want 42", third.Bytes()[size-1])
	}
}

func TestSegmentErrors(t *testing.T) {
	n, _ := connect(t)
	ctx := t.Context()
	create(t, n, "a", 4096)
	_, exists := n.Create(ctx, "a", 4096)
	_, notFound := n.Open(ctx, "b")
	_, badSize := n.Create(ctx, "b", 0)
	_, tooBig := n.Create(ctx, "b", addr.Space+1)
	_, noSpace := n.Create(ctx, "b", addr.Space)
	_, otherSize := n.OpenOrCreate(ctx, "a", 8192)
	_, home := n.Create(ctx, "b", 1, WithHome(3))
	_, name := n.Create(ctx, "", 1)
	for _, c := range []struct {
		got, want error
		about     string
	}{
		{exists, ErrExists, `"a"`}, {notFound, ErrNotFound, `"b"`}, {badSize, ErrBadSize, "0 bytes"},
		{tooBig, ErrBadSize, `"b"`}, {noSpace, ErrNoSpace, `"b"`}, {otherSize, ErrBadSize, "4096 bytes, not 8192"},
		{home, ErrInvalid, "WithHome"}, {name, ErrInvalid, "empty"}, {n.Remove(ctx, "b"), ErrNotFound, `"b"`},
	} {
		if !errors.Is(c.got, c.want) || !strings.Contains(c.got.Error(), c.about) {
			t.Errorf("%v; want %v about %s", c.got, c.want, c.about)
		}
	}
	for i := range 4 {
		create(t, n, fmt.Sprint("s", i), 1)
	}
	list, err := n.Segments(ctx)
	var names []string
	for _, s := range list {
		names = append(names, s.Name)
	}
	if want := []string{"a", "s0", "s1", "s2", "s3"}; err != nil || !reflect.DeepEqual(names, want) {
		t.Errorf("Segments: %v, %v; want %v", names, err, want)
	}
}

func TestRemoved(t *testing.T) {
	n, _ := connect(t)
	s := create(t, n, "a", 4096)
	if err := n.Remove(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	// The event came before the answer, on the same socket.
	if err := s.Prefault(0, 1, false); !errors.Is(err, ErrRemoved) {
		t.Errorf("Prefault: %v, want ErrRemoved", err)
	}
	if _, err := SliceOf[byte](s, 0, 1); !errors.Is(err, ErrRemoved) {
		t.Errorf("SliceOf: %v, want ErrRemoved", err)
	}
	// The name is free for another life, which lies in the same place.
	_, err := n.Create(t.Context(), "a", 8192)
	if !errors.Is(err, ErrBaseTaken) || !strings.Contains(err.Error(), `segment "a" (removed) is still mapped at 0x`) ||
		!strings.Contains(err.Error(), "close it first") || !strings.Contains(err.Error(), "in the cluster all the same") {
		t.Errorf("Create in the place of a segment that is mapped: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	other, err := n.Open(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Prefault(0, 8192, true); err != nil {
		t.Error(err)
	}
}

// The pages of a removed segment may be poisoned before the news of its removal
// is there. Those of one that was not removed are lost.
func TestPoisoned(t *testing.T) {
	n, daemon := connect(t)
	s := create(t, n, "a", 4*addr.PageSize)
	if err := daemon.Lose("a"); err != nil {
		t.Fatal(err)
	}
	if err := s.Prefault(addr.PageSize, addr.PageSize, false); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("Prefault of what is lost: %v, want ErrLost", err)
	}
	if err := n.Remove(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	s.mapping.removed.Store(false)
	if err := s.Prefault(addr.PageSize, addr.PageSize, false); !errors.Is(err, ErrRemoved) || errors.Is(err, ErrLost) {
		t.Errorf("Prefault of what was removed: %v, want ErrRemoved", err)
	}
}

// A segment that is removed between being found and being mapped is as good as
// none.
func TestOpenOrCreateGoesOn(t *testing.T) {
	n, daemon := connect(t)
	if err := create(t, n, "a", 4096).Close(); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	daemon.Instead(func(r *attachpb.Request) *attachpb.Reply {
		if r.GetMap() == nil || asked.Add(1) > 3 {
			return nil
		}
		return &attachpb.Reply{Body: &attachpb.Reply_Error{Error: &attachpb.Error{Code: attachpb.Code_CODE_REMOVED}}}
	})
	s, err := n.OpenOrCreate(t.Context(), "a", 4096)
	if errors.Is(err, ErrBaseTaken) {
		t.Skip(err)
	}
	if err != nil || asked.Load() != 4 {
		t.Fatalf("mapped at the %dth time, want the 4th: %v", asked.Load(), err)
	}
	if err := s.Prefault(0, 1, true); err != nil {
		t.Error(err)
	}
}

// Who creates and removes the segment again and again does not keep OpenOrCreate
// for ever.
func TestOpenOrCreateEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		at   func(*attachpb.Request) bool
		code attachpb.Code
		want error
	}{
		{"exists", func(r *attachpb.Request) bool { return r.GetCreate() != nil }, attachpb.Code_CODE_EXISTS, ErrExists},
		{"removed", func(r *attachpb.Request) bool { return r.GetMap() != nil }, attachpb.Code_CODE_REMOVED, ErrRemoved},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, daemon := connect(t)
			if c.name == "removed" { // by others: this call makes none
				if err := create(t, n, "a", 4096).Close(); err != nil {
					t.Fatal(err)
				}
			}
			var asked atomic.Int32
			daemon.Instead(func(r *attachpb.Request) *attachpb.Reply {
				if !c.at(r) {
					return nil
				}
				asked.Add(1)
				return &attachpb.Reply{Body: &attachpb.Reply_Error{Error: &attachpb.Error{Code: c.code}}}
			})
			_, err := n.OpenOrCreate(t.Context(), "a", 4096)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), `"a"`) || !strings.Contains(err.Error(), "100 times") || asked.Load() != 100 {
				t.Errorf("after %d attempts: %v, want %v", asked.Load(), err, c.want)
			}
		})
	}
}

// A call makes one segment at most: one that was removed before it was mapped is
// not made again, since others may have seen it.
func TestOpenOrCreateMakesOne(t *testing.T) {
	n, daemon := connect(t)
	var made, mapped atomic.Int32
	daemon.Instead(func(r *attachpb.Request) *attachpb.Reply {
		if r.GetCreate() != nil {
			made.Add(1)
		}
		if r.GetMap() == nil {
			return nil
		}
		mapped.Add(1)
		return &attachpb.Reply{Body: &attachpb.Reply_Error{Error: &attachpb.Error{Code: attachpb.Code_CODE_REMOVED}}}
	})
	if _, err := n.OpenOrCreate(t.Context(), "a", 4096); !errors.Is(err, ErrRemoved) || made.Load() != 1 || mapped.Load() != 1 {
		t.Errorf("%d were made, and mapped %d times: %v, want ErrRemoved", made.Load(), mapped.Load(), err)
	}
}

// Created tells who has made the segment.
func TestCreated(t *testing.T) {
	n, _ := connect(t)
	ctx := t.Context()
	made := create(t, n, "a", 4096)
	found, err := n.OpenOrCreate(ctx, "a", 4096)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := n.Open(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	first, err := n.OpenOrCreate(ctx, "b", 4096)
	if err != nil {
		t.Fatal(err)
	}
	if !made.Created() || found.Created() || opened.Created() || !first.Created() {
		t.Errorf("created: Create %v, OpenOrCreate of it %v, Open %v, OpenOrCreate of another %v", made.Created(), found.Created(), opened.Created(), first.Created())
	}
}

// A segment of another size is not mapped before that is found out.
func TestOtherSize(t *testing.T) {
	n, daemon := connect(t)
	s := create(t, n, "a", 4096)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := len(daemon.Requests())
	if _, err := n.OpenOrCreate(t.Context(), "a", 8192); !errors.Is(err, ErrBadSize) {
		t.Errorf("with another size: %v", err)
	}
	if asked := len(daemon.Requests()) - before; asked != 1 {
		t.Errorf("%d requests, want that of Open", asked)
	}
}

// Any number of hints may be given.
func TestManyHints(t *testing.T) {
	n, daemon := connect(t)
	name := strings.Repeat("n", client.MaxName)
	s := create(t, n, name, 4096)
	b, err := n.Barrier(t.Context(), name, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	hints := make([]Hint, 5000)
	for i := range hints {
		hints[i] = Hint{int64(i % 4096), 1, i%2 == 0}
	}
	if err := s.PrefetchAll(hints...); err != nil {
		t.Fatal(err)
	}
	if err := b.ArrivePrefetch(s, hints...); err != nil {
		t.Fatal(err)
	}
	if err := b.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []Hint
	messages := 0
	for _, r := range daemon.Requests() {
		hintsOf := func(p *attachpb.Prefetch) (list []Hint) {
			for _, p := range append([]*attachpb.Prefetch{p}, p.More...) {
				list = append(list, Hint{int64(p.Range.Offset), int64(p.Range.Length), p.Write})
			}
			return list
		}
		if p := r.GetPrefetch(); p != nil {
			got = append(got, hintsOf(p)...)
			messages++
		}
		if w := r.GetBarrierWait(); w != nil {
			if list := hintsOf(w.Prefetch); len(list) < 100 || !reflect.DeepEqual(list, hints[:len(list)]) {
				t.Errorf("%d hints behind a barrier, not the first ones", len(list))
			}
		}
	}
	if !reflect.DeepEqual(got, hints) || messages > 25 {
		t.Errorf("%d hints in %d messages, want %d in order", len(got), messages, len(hints))
	}
}

// A segment that cannot be unmapped stays, and the node serves it.
func TestCloseThatFails(t *testing.T) {
	daemon := clienttest.Start(t, 2)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childEnv+"=sealed", EnvSocket+"="+daemon.Socket())
	out, err := cmd.CombinedOutput()
	if strings.HasPrefix(string(out), "no mseal") || strings.Contains(string(out), ErrBaseTaken.Error()) {
		t.Skip(string(out))
	}
	if err != nil || string(out) != "refused\n" {
		t.Fatalf("%v: %s", err, out)
	}
	for _, r := range daemon.Requests() {
		if r.GetUnmap().GetSegment().GetName() == "sealed" {
			t.Error("the node was told that the segment is not mapped any more")
		}
	}
}
