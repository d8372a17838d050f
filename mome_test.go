//go:build linux

package mome

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/client/clienttest"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// childEnv makes the test binary the application named in it.
const childEnv = "MOME_TEST_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		children[name]()
		os.Exit(0)
	}
	os.Unsetenv(EnvSocket)
	os.Unsetenv(EnvRank)
	os.Unsetenv(EnvNodes)
	os.Unsetenv(EnvHistory)
	goleak.VerifyTestMain(m)
}

// connect attaches this process to a new node, and detaches with the test.
func connect(t *testing.T) (*Node, *clienttest.Node) {
	t.Helper()
	daemon := clienttest.Start(t, 3)
	n, err := attachTo(t, daemon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return n, daemon
}

// attachTo is Connect as if this process were a program of its own: tests have
// several attachments.
func attachTo(t *testing.T, daemon *clienttest.Node) (*Node, error) {
	n := newNode()
	return n, n.connect(t.Context(), WithSocket(daemon.Socket()))
}

// create makes a segment, or skips where the address space is taken (by the
// race detector).
func create(t *testing.T, n *Node, name string, size int64, opts ...SegmentOption) *Segment {
	t.Helper()
	s, err := n.Create(t.Context(), name, size, opts...)
	if errors.Is(err, ErrBaseTaken) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConnectSaysWhatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ socket, rank, nodes, want string }{
		{"", "", "", "MOME_SOCKET is not set"},
		{file + ".none", "", "", "is the node running?"},
		{file, "", "", "is not a socket"},
		{file, "x", "", `MOME_RANK="x" is not a number`},
		{file, "", "-1", `MOME_NODES="-1" is not a number`},
		{file, "2", "2", "do not fit"},
		{file, "", "0", "do not fit"},
	} {
		t.Setenv(EnvSocket, c.socket)
		t.Setenv(EnvRank, c.rank)
		t.Setenv(EnvNodes, c.nodes)
		if _, err := Connect(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Connect with %+v: %v", c, err)
		}
	}
}

func TestRankAndNodes(t *testing.T) {
	n, daemon := connect(t)
	if n.ID() != 0 || n.Rank() != 0 || n.Nodes() != 3 || n.Cluster() != "test" {
		t.Errorf("node %d, rank %d of %d in %q", n.ID(), n.Rank(), n.Nodes(), n.Cluster())
	}
	for _, c := range []struct {
		env         [2]string
		rank, nodes int
		want        string // of the error
	}{
		{[2]string{"4", "7"}, 4, 7, ""},
		{[2]string{"2", ""}, 2, 3, ""},
		{[2]string{"", "1"}, 0, 1, ""},
		{[2]string{"3", ""}, 0, 0, "rank 3 of 3"},
		{[2]string{"5", ""}, 0, 0, "set both MOME_RANK and MOME_NODES"},
	} {
		t.Setenv(EnvRank, c.env[0])
		t.Setenv(EnvNodes, c.env[1])
		n, err := attachTo(t, daemon)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q: %v, want %q", c.env, err, c.want)
			}
			continue
		}
		if err != nil || n.ID() != 0 || n.Rank() != c.rank || n.Nodes() != c.nodes {
			t.Errorf("%q: node %d, rank %d of %d, %v; want rank %d of %d", c.env, n.ID(), n.Rank(), n.Nodes(), err, c.rank, c.nodes)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A process has one attachment.
func TestConnectTwice(t *testing.T) {
	daemon := clienttest.Start(t, 3)
	if n, err := Connect(t.Context(), WithSocket(daemon.Socket()+".none")); err == nil {
		n.Close()
		t.Fatal("attached to nobody")
	}
	for range 2 { // Close makes room for another one, and so does an error
		n, err := Connect(t.Context(), WithSocket(daemon.Socket()))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Connect(t.Context(), WithSocket(daemon.Socket()))
		const want = "mome: connect: this process is attached already (node 0): share that Node, or Close it first"
		if !errors.Is(err, ErrInvalid) || err.Error() != want {
			t.Errorf("a second Connect: %v, want %s", err, want)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// While one is being made.
	n, err := Connect(t.Context(), WithSocket(daemon.Socket()), func(*options) {
		_, err := Connect(t.Context(), WithSocket(daemon.Socket()))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "attached already: share") {
			t.Errorf("a Connect within another: %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

func TestSegment(t *testing.T) {
	n, daemon := connect(t)
	ctx := t.Context()
	// A segment has whole pages.
	const asked, size = 3*addr.PageSize + 100, 4 * addr.PageSize
	s := create(t, n, "grid", asked, WithHome(Block))
	if s.Name() != "grid" || s.Size() != size || s.Addr() != addr.Base || len(s.Bytes()) != size {
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
	_, model := n.Create(ctx, "b", 1, WithModel(3))
	_, name := n.Create(ctx, "", 1)
	for _, c := range []struct {
		got, want error
		about     string
	}{
		{exists, ErrExists, `"a"`}, {notFound, ErrNotFound, `"b"`}, {badSize, ErrBadSize, "0 bytes"},
		{tooBig, ErrBadSize, `"b"`}, {noSpace, ErrNoSpace, `"b"`}, {otherSize, ErrBadSize, "4096 bytes, not 8192"},
		{model, ErrInvalid, "release"}, {name, ErrInvalid, "empty"}, {n.Remove(ctx, "b"), ErrNotFound, `"b"`},
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

func TestSliceOf(t *testing.T) {
	n, _ := connect(t)
	s := create(t, n, "a", 4096)
	if err := s.Prefault(0, 4096, true); err != nil {
		t.Fatal(err)
	}
	counters, err := SliceOf[atomic.Int64](s, 8, 511)
	if err != nil {
		t.Fatal(err)
	}
	counters[510].Add(7)
	last, err := ValueOf[int64](s, 4088)
	if err != nil || *last != 7 {
		t.Errorf("the last word is %v (%v), want 7", last, err)
	}
	if empty, err := SliceOf[int64](s, 4096, 0); err != nil || len(empty) != 0 {
		t.Errorf("an empty slice at the end: %v, %v", empty, err)
	}
	for _, c := range []struct {
		off  int64
		n    int
		want string
	}{
		{4, 1, "not a multiple of 8"},
		{-8, 1, "not within"},
		{0, 513, "not within"},
		{4096, 1, "not within"},
		{0, -1, "length of -1"},
		{0, 1 << 62, "length of"},
	} {
		if _, err := SliceOf[int64](s, c.off, c.n); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("SliceOf(%d, %d): %v, want %q", c.off, c.n, err, c.want)
		}
	}
	if _, err := SliceOf[string](s, 0, 1); !errors.Is(err, ErrInvalid) {
		t.Errorf("SliceOf[string]: %v", err)
	}
	if _, err := ValueOf[*int](s, 0); !errors.Is(err, ErrInvalid) {
		t.Errorf("ValueOf[*int]: %v", err)
	}
}

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

// twoConnections are two programs at one node.
func twoConnections(t *testing.T) (n, other *Node, daemon *clienttest.Node) {
	t.Helper()
	n, daemon = connect(t)
	other, err := attachTo(t, daemon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return n, other, daemon
}

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

func TestStatsAndClose(t *testing.T) {
	n, _ := connect(t)
	stats, err := n.Stats(t.Context())
	if err != nil || stats["requests"] != 2 {
		t.Errorf("Stats: %v, %v; want 2 requests", stats, err)
	}
	s := create(t, n, "a", 4096)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Open(t.Context(), "a"); !errors.Is(err, ErrClosed) {
		t.Errorf("Open: %v, want ErrClosed", err)
	}
	if s.Bytes() != nil {
		t.Error("a segment of a closed node has bytes")
	}
	for name, op := range map[string]func() error{
		"SliceOf":  func() error { _, err := SliceOf[int64](s, 0, 1); return err },
		"ValueOf":  func() error { _, err := ValueOf[int64](s, 0); return err },
		"WordsOf":  func() error { _, err := WordsOf[int64](nil, s, 0, 1); return err },
		"Prefault": func() error { return s.Prefault(0, 1, false) },
		"Prefetch": func() error { return s.Prefetch(0, 1, false) },
	} {
		if err := op(); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close of a segment of a closed node: %v", err)
	}
}

// children are applications, run in processes of their own.
var children = map[string]func(){
	// waits is blocked in a request.
	"waits": func() {
		n, err := Connect(context.Background())
		if err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		b, err := n.Barrier(context.Background(), "b", 0, 2)
		if err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		fmt.Println("ready")
		b.Wait(context.Background())
		select {} // the end comes from another goroutine
	},
	// handles has a handler of its own.
	"handles": func() {
		failed := make(chan error, 1)
		n, err := Connect(context.Background(), WithFailureHandler(func(err error) { failed <- err }))
		if err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		fmt.Println("ready")
		err = <-failed
		fmt.Fprintln(os.Stderr, "handled:", err, errors.Is(err, ErrClusterFailed))
		n.Close()
		os.Exit(7)
	},
	// default gives no handler, by name.
	"default": func() {
		if _, err := Connect(context.Background(), WithFailureHandler(nil)); err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		fmt.Println("ready")
		select {}
	},
	// sealed cannot unmap its segment.
	"sealed": func() {
		check := func(ok bool, what ...any) {
			if !ok {
				fmt.Println(what...)
				os.Exit(3)
			}
		}
		n, err := Connect(context.Background())
		check(err == nil, err)
		s, err := n.Create(context.Background(), "sealed", 4096)
		check(err == nil, err)
		other, err := n.Create(context.Background(), "other", 4096)
		check(err == nil, err)
		check(s.Prefault(0, 4096, true) == nil, "Prefault")
		const mseal = 462 // 6.10
		if _, _, errno := unix.Syscall(mseal, s.Addr(), uintptr(s.Size()), 0); errno != 0 {
			fmt.Println("no mseal:", errno)
			os.Exit(0)
		}
		for _, node := range []bool{false, true} {
			err := error(nil)
			if node {
				err = n.Close()
			} else {
				err = s.Close()
			}
			check(err != nil, "a sealed segment was unmapped")
			check(s.Bytes() != nil && s.Prefault(0, 1, true) == nil && s.Drop(context.Background(), 0, 1) == nil, "it is not as it was")
		}
		check(other.Bytes() == nil && other.Close() == nil, "the other segment is mapped")
		other, err = n.Open(context.Background(), "other")
		check(err == nil && other.Bytes() != nil, "the other segment cannot be mapped again:", err)
		fmt.Println("refused")
	},
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

func TestFailureEndsTheProgram(t *testing.T) {
	for _, c := range []struct {
		name, child string
		event       func(*clienttest.Node)
		status      int // or
		signal      syscall.Signal
		stderr      string
	}{
		{"announced", "waits", func(d *clienttest.Node) { d.Fail("node 2 died") }, 1, 0,
			"mome: the cluster failed: node 2 died\n"},
		{"hang-up", "waits", (*clienttest.Node).HangUp, 1, 0,
			"mome: the cluster failed: the node hung up\n"},
		{"node killed", "waits", (*clienttest.Node).Kill, 0, syscall.SIGKILL, ""},
		{"no handler", "default", func(d *clienttest.Node) { d.Fail("node 2 died") }, 1, 0,
			"mome: the cluster failed: node 2 died\n"},
		{"handler", "handles", func(d *clienttest.Node) { d.Fail("disk") }, 7, 0,
			"handled: mome: the cluster failed: disk true\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			daemon := clienttest.Start(t, 2)
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), exe)
			cmd.Env = append(os.Environ(), childEnv+"="+c.child, EnvSocket+"="+daemon.Socket())
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			stdout := bufio.NewReader(out)
			if line, err := stdout.ReadString('\n'); line != "ready\n" {
				t.Fatalf("the child says %q (%v)", line, err)
			}
			c.event(daemon)
			io.Copy(io.Discard, stdout)
			cmd.Wait()
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if c.signal != 0 && status.Signal() != c.signal || c.signal == 0 && status.ExitStatus() != c.status {
				t.Errorf("the child ended by %v, want status %d or signal %v", cmd.ProcessState, c.status, c.signal)
			}
			if stderr.String() != c.stderr {
				t.Errorf("on stderr %q, want %q", stderr.String(), c.stderr)
			}
		})
	}
}
