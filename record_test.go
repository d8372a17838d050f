//go:build linux

package mome

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/clock"
	"github.com/mome-dsm/mome/impl/history"
	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/linearizability"
)

// record begins a history of the only rank of a program.
func record(t *testing.T) (n *Node, r *Recorder, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "histories")
	t.Setenv(EnvHistory, dir)
	t.Setenv(EnvRank, "0")
	t.Setenv(EnvSize, "1")
	n, _ = connect(t)
	r, err := Record(n)
	if err != nil || r == nil {
		t.Fatal(r, err)
	}
	return n, r, dir
}

// words is a segment of one page, which is there: the node of these tests is in
// this process, and needs a processor to serve a fault.
func words(t *testing.T, n *Node) *Segment {
	t.Helper()
	s := create(t, n, "words", addr.PageSize)
	if err := s.Prefault(0, addr.PageSize, true); err != nil {
		t.Fatal(err)
	}
	return s
}

func theHistory(t *testing.T, dir string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "history-*.ndjson"))
	if err != nil || len(paths) != 1 {
		t.Fatal(paths, err)
	}
	return paths[0]
}

// TestRecord checks what stands in the history for each operation.
func TestRecord(t *testing.T) {
	n, r, dir := record(t)
	ctx := t.Context()
	s := words(t, n)
	c := r.Client()
	w, err := WordsOf[int64](c, s, 64, 4)
	if err != nil || w.Len() != 4 {
		t.Fatal(w.Len(), err)
	}
	lock, same := n.Lock("l"), n.Lock("l")
	w.Store(1, -2)
	if w.Load(1) != -2 || w.Add(1, 5) != 3 || w.CompareAndSwap(1, 4, 5) || !w.CompareAndSwap(1, 3, 7) {
		t.Error("the operations are not those of sync/atomic")
	}
	fence, err := c.Acquire(ctx, lock)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.TryAcquire(ctx, same); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.Acquire(gone, same); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// One that has no answer when the history is closed.
	waiting, asked := r.Client(), make(chan error)
	go func() {
		_, err := waiting.Acquire(ctx, same)
		asked <- err
	}()
	for {
		if waiting.thread.Running() {
			break
		}
		runtime.Gosched()
	}
	if err := errors.Join(c.Release(lock), <-asked, c.Release(same)); err != nil {
		t.Error(err)
	}
	if err := c.Release(lock); !errors.Is(err, ErrNotOwner) {
		t.Error(err)
	}
	waiting.thread.Begin(history.Operation{Op: history.OpRead, Object: "never"})
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	w.Store(0, 1) // not recorded
	waiting.thread.End(true, func(*history.Operation) {})

	header, ops, err := history.Read(theHistory(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	minus := func(v int64) uint64 { return uint64(v) }
	want := []history.Operation{
		{Op: "write", Object: "words@1", Word: 9, Value: minus(-2)},
		{Op: "read", Object: "words@1", Word: 9, Value: minus(-2)},
		{Op: "add", Object: "words@1", Word: 9, Value: 5, Result: 3},
		{Op: "cas", Object: "words@1", Word: 9, Old: 4, Value: 5},
		{Op: "cas", Object: "words@1", Word: 9, Old: 3, Value: 7, Result: 1},
		{Op: "acquire", Object: "l", Value: fence},
		{Op: "acquire", Object: "l"},
		{Op: "acquire", Object: "l"},
		{Op: "acquire", Object: "l", Value: fence + 1, Client: 1},
		{Op: "release", Object: "l", Value: fence, Result: 1},
		{Op: "release", Object: "l", Value: fence + 1, Result: 1},
		{Op: "release", Object: "l"},
		{Op: "read", Object: "never", Client: 1},
	}
	for i := range ops {
		if open := ops[i].Object == "never"; ops[i].Call == 0 || (ops[i].Return == 0) != open {
			t.Errorf("%+v", ops[i])
		}
		ops[i].Seq, ops[i].Call, ops[i].Return = 0, 0, 0
	}
	order := cmpopts.SortSlices(func(a, b history.Operation) bool {
		return a.Op+a.Object < b.Op+b.Object || a.Op+a.Object == b.Op+b.Object && a.Value < b.Value
	})
	if d := cmp.Diff(want, ops, order); d != "" {
		t.Error(d)
	}
	if header.Run != "test" || header.Ranks != 1 || header.Reading.Name != clock.Name() || header.Model != "strong" {
		t.Errorf("%+v", header)
	}
}

// TestRecordBrackets: the memory is accessed, and a request leaves, while the
// operation is under way, not before it begins and not after it has ended.
func TestRecordBrackets(t *testing.T) {
	t.Setenv(EnvHistory, t.TempDir())
	n, daemon := connect(t)
	r, err := Record(n)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()

	s := words(t, n)
	if err := daemon.Lose("words"); err != nil {
		t.Fatal(err)
	}
	for name, access := range map[string]func(Words[uint64]){
		"load":  func(w Words[uint64]) { w.Load(0) },
		"store": func(w Words[uint64]) { w.Store(0, 1) },
		"cas":   func(w Words[uint64]) { w.CompareAndSwap(0, 0, 1) },
		"add":   func(w Words[uint64]) { w.Add(0, 1) },
	} {
		c := r.Client()
		w, err := WordsOf[uint64](c, s, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
			defer func() {
				if recover() == nil {
					t.Errorf("%s: the page is lost, and the access went well", name)
				}
			}()
			access(w)
		}()
		if !c.thread.Running() {
			t.Errorf("%s: the operation was not under way when the memory was accessed", name)
		}
	}

	c := r.Client()
	lock := n.Lock("l")
	var barrier *Barrier
	for _, step := range []struct {
		name    string
		request func() error
	}{
		{"acquire", func() error { _, err := c.Acquire(ctx, lock); return err }},
		{"release", func() error { return c.Release(lock) }},
		{"create", func() error { _, err := c.Create(ctx, n, "a", addr.PageSize); return err }},
		{"open", func() error { _, err := c.Open(ctx, n, "a"); return err }},
		{"openOrCreate", func() error { _, err := c.OpenOrCreate(ctx, n, "a", addr.PageSize); return err }},
		{"remove", func() error { return c.Remove(ctx, n, "a") }},
		{"join", func() (err error) { barrier, err = c.Join(ctx, n, "b", 0, 1); return err }},
		{"wait", func() error { return c.Wait(ctx, barrier) }},
		{"leave", func() error { return c.Leave(barrier) }},
	} {
		var asked, outside atomic.Int32
		daemon.Instead(func(*attachpb.Request) *attachpb.Reply {
			if asked.Add(1); !c.thread.Running() {
				outside.Add(1)
			}
			return nil
		})
		if err := step.request(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if asked.Load() == 0 || outside.Load() > 0 || c.thread.Running() {
			t.Errorf("%s: %d requests, %d of them while it was not under way; under way behind it: %v", step.name, asked.Load(), outside.Load(), c.thread.Running())
		}
	}
	daemon.Instead(nil)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestRecordWithoutAClock: where the node cannot compare its clock any more, the
// history is not completed, and nothing is left of it but the file.
func TestRecordWithoutAClock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "histories")
	t.Setenv(EnvHistory, dir)
	n, daemon := connect(t)
	r, err := Record(n)
	if err != nil {
		t.Fatal(err)
	}
	daemon.Instead(func(r *attachpb.Request) *attachpb.Reply {
		if r.GetClock() == nil {
			return nil
		}
		return &attachpb.Reply{Body: &attachpb.Reply_Error{Error: &attachpb.Error{Code: attachpb.Code_CODE_INTERNAL}}}
	})
	const want = "mome: record: compare clocks: the node failed: the history is not completed, since its times mean nothing"
	if err := r.Close(); err == nil || err.Error() != want {
		t.Errorf("Close: %v, want %s", err, want)
	}
	path := theHistory(t, dir)
	if _, _, err := history.Read(path); !errors.Is(err, ndjson.ErrTruncated) {
		t.Errorf("the history: %v, want that it is truncated", err)
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); to == path {
			t.Error("the file is still open")
		}
	}
}

// TestRecordIsLinearizable has goroutines use the same words at once.
func TestRecordIsLinearizable(t *testing.T) {
	n, r, dir := record(t)
	s := words(t, n)
	var wg sync.WaitGroup
	const goroutines, each = 4, 500
	for g := range goroutines {
		w, err := WordsOf[uint64](r.Client(), s, 0, 3)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for i := range each {
				w.Add(0, 1)
				w.Store(1, uint64(1+g*each+i))
				w.Load(1)
				old := w.Load(2)
				w.CompareAndSwap(2, old, old+1)
			}
		})
	}
	wg.Wait()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	h, err := linearizability.Read(theHistory(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if v := linearizability.Check(h.Operations, linearizability.Limits{}); v.Verdict != linearizability.Linearizable || len(h.Operations) != 5*goroutines*each {
		t.Errorf("%v: %d operations, %+v", v.Verdict, len(h.Operations), v.Findings)
	}
}

// TestRecordOff: without MOME_HISTORY nothing is recorded, allocated or counted.
func TestRecordOff(t *testing.T) {
	n, _ := connect(t)
	r, err := Record(n)
	if r != nil || err != nil {
		t.Fatal(r, err)
	}
	c := r.Client()
	s := words(t, n)
	w, err := WordsOf[uint64](c, s, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if allocs := testing.AllocsPerRun(100, func() {
		v := w.Add(0, 1)
		w.CompareAndSwap(0, v, v+1)
		w.Store(0, w.Load(0))
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	lock := n.Lock("l")
	if _, err := c.Acquire(t.Context(), lock); err != nil {
		t.Error(err)
	}
	if err := errors.Join(c.Release(lock), r.Close()); err != nil {
		t.Error(err)
	}
	t.Setenv(EnvHistory, filepath.Join(os.DevNull, "x"))
	if _, err := Record(n); err == nil {
		t.Error("a directory that cannot be was accepted")
	}
}

func BenchmarkRecord(b *testing.B) {
	words := make([]uint64, 1)
	h, err := history.New(filepath.Join(b.TempDir(), "h"), history.Header{})
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	for name, c := range map[string]*Client{"off": nil, "on": {h.Client()}} {
		b.Run("record="+name, func(b *testing.B) {
			w := Words[uint64]{client: c, words: words, object: "words@1"}
			for b.Loop() {
				w.Store(0, w.Load(0)+1)
			}
		})
	}
}

// TestRecordBarriers checks what stands in the history for barriers.
func TestRecordBarriers(t *testing.T) {
	n, r, dir := record(t)
	ctx := t.Context()
	c := r.Client()
	var off *Client // records nothing, and does the same
	for _, client := range []*Client{c, off} {
		b, err := client.Join(ctx, n, "b", 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Join(ctx, n, "b", 0, 1); !errors.Is(err, ErrMismatch) {
			t.Errorf("a party that is taken: %v, want ErrMismatch", err)
		}
		if err := errors.Join(client.Wait(ctx, b), client.Wait(ctx, b), client.Leave(b)); err != nil {
			t.Error(err)
		}
	}
	b, err := c.Join(ctx, n, "b", 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithCancel(ctx)
	cancel()
	if err := c.Wait(short, b); !errors.Is(err, context.Canceled) {
		t.Errorf("a Wait that is given up: %v, want Canceled", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	_, ops, err := history.Read(theHistory(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	want := []history.Operation{
		{Op: "join", Object: "b", Old: 1, Result: 1},
		{Op: "join", Object: "b", Old: 1},
		{Op: "arrive", Object: "b", Old: 1},
		{Op: "await", Object: "b", Old: 1, Result: 1},
		{Op: "arrive", Object: "b", Old: 2},
		{Op: "await", Object: "b", Old: 2, Result: 1},
		{Op: "leave", Object: "b", Result: 1},
		{Op: "join", Object: "b", Value: 1, Old: 2, Result: 1},
		{Op: "arrive", Object: "b", Value: 1, Old: 1}, // without an answer
	}
	if d := cmp.Diff(want, ops, cmpopts.IgnoreFields(history.Operation{}, "Seq", "Call", "Return")); d != "" {
		t.Error(d)
	}
	h, err := linearizability.Read(theHistory(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if r := linearizability.Check(h.Operations, linearizability.Limits{}); r.Verdict != linearizability.Linearizable {
		t.Errorf("%v: %+v", r.Verdict, r.Findings)
	}
}

// TestRecordNames checks what stands in the history for names of segments.
func TestRecordNames(t *testing.T) {
	n, r, dir := record(t)
	ctx := t.Context()
	create(t, n, "else", addr.PageSize)
	c := r.Client()
	var off *Client // records nothing, and does the same
	made, err := c.Create(ctx, n, "a", addr.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	_, taken := c.Create(ctx, n, "a", addr.PageSize)
	_, found := c.Open(ctx, n, "a")
	_, none := c.Open(ctx, n, "b")
	_, ensured := c.OpenOrCreate(ctx, n, "a", addr.PageSize)
	_, size := c.OpenOrCreate(ctx, n, "a", 2*addr.PageSize)
	_, second := c.OpenOrCreate(ctx, n, "c", addr.PageSize)
	_, third := off.OpenOrCreate(ctx, n, "d", addr.PageSize)
	_, invalid := c.Create(ctx, n, "", addr.PageSize)
	for _, e := range []struct{ got, want error }{
		{taken, ErrExists}, {found, nil}, {none, ErrNotFound}, {ensured, nil}, {size, ErrBadSize}, {second, nil}, {third, nil}, {invalid, ErrInvalid},
		{c.Remove(ctx, n, "a"), nil}, {c.Remove(ctx, n, "a"), ErrNotFound}, {off.Remove(ctx, n, "d"), nil},
	} {
		if !errors.Is(e.got, e.want) {
			t.Errorf("%v, want %v", e.got, e.want)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	_, ops, err := history.Read(theHistory(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	a := made.mapping.key.generation
	want := []history.Operation{
		{Op: "create", Object: "a", Value: a, Result: 1},
		{Op: "create", Object: "a"},
		{Op: "open", Object: "a", Value: a},
		{Op: "open", Object: "b"},
		{Op: "openOrCreate", Object: "a", Value: a},
		{Op: "openOrCreate", Object: "a"},
		{Op: "openOrCreate", Object: "c", Value: a + 1, Result: 1},
		{Op: "create"}, // without an answer: the client goes on as another one
		{Op: "remove", Object: "a", Result: 1, Client: 1},
		{Op: "remove", Object: "a", Client: 1},
	}
	if d := cmp.Diff(want, ops, cmpopts.IgnoreFields(history.Operation{}, "Seq", "Call", "Return")); d != "" {
		t.Error(d)
	}
	for i, o := range ops {
		if open := o.Return == 0; open != (i == 7) {
			t.Errorf("operation %d returns at %d", i, o.Return)
		}
	}
	h, err := linearizability.Read(theHistory(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if r := linearizability.Check(h.Operations, linearizability.Limits{}); r.Verdict != linearizability.Linearizable {
		t.Errorf("%v: %+v", r.Verdict, r.Findings)
	}
}
