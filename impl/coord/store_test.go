package coord

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The conformance suite: what every Store does.
func TestStore(t *testing.T) {
	cases := []struct {
		name string
		run  func(t *testing.T, b backend)
	}{
		{"entries", testEntries},
		{"list", testList},
		{"ranges", testRanges},
		{"conditions", testConditions},
		{"malformed", testMalformed},
		{"ownership", testOwnership},
		{"increments", testIncrements},
		{"watch", testWatch},
		{"watch_order", testWatchOrder},
		{"watch_ends", testWatchEnds},
		{"compaction", testCompaction},
		{"down", testDown},
		{"closed", testClosed},
		{"cancelled", testCancelled},
		{"model", testModel},
	}
	eachBackend(t, func(t *testing.T, b backend) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) { c.run(t, b) })
		}
	})
}

func mustTxn(t tb, s Store, conds []Cond, ops ...Op) int64 {
	t.Helper()
	ok, rev, err := s.Txn(testContext(t), conds, ops)
	if err != nil || !ok {
		t.Fatalf("Txn(%v, %v) = %v, %d, %v; want it committed", conds, ops, ok, rev, err)
	}
	return rev
}

func mustGet(t tb, s Store, key string) Entry {
	t.Helper()
	e, err := s.Get(testContext(t), key)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// next receives one event; the zero Event if the channel was closed.
func next(t tb, ch <-chan Event) Event {
	t.Helper()
	select {
	case e := <-ch:
		return e
	case <-time.After(patience):
		t.Fatal("no event came")
	}
	panic("unreachable")
}

func wantClosed(t tb, ch <-chan Event) {
	t.Helper()
	select {
	case e, ok := <-ch:
		if ok {
			t.Fatalf("got %v, want the channel closed", e)
		}
	case <-time.After(patience):
		t.Fatal("the channel was not closed")
	}
}

func diff(t tb, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

func testEntries(t *testing.T, b backend) {
	s := b.open(t)
	diff(t, "absent", mustGet(t, s, "a"), Entry{Key: "a"})
	r1 := mustTxn(t, s, nil, Put("a", []byte("1")))
	diff(t, "put", mustGet(t, s, "a"), Entry{"a", []byte("1"), r1})
	r2 := mustTxn(t, s, nil, Put("a", []byte("2")), Put("b", []byte("3")))
	if r2 <= r1 {
		t.Fatalf("revision %d after %d", r2, r1)
	}
	diff(t, "overwritten", mustGet(t, s, "a"), Entry{"a", []byte("2"), r2})
	r3 := mustTxn(t, s, nil, Delete("a"))
	diff(t, "deleted", mustGet(t, s, "a"), Entry{Key: "a"})
	diff(t, "untouched", mustGet(t, s, "b"), Entry{"b", []byte("3"), r2})
	if r := mustTxn(t, s, nil, Delete("a")); r != r3 {
		t.Fatalf("deleting nothing advanced the revision from %d to %d", r3, r)
	}
	if r := mustTxn(t, s, nil); r != r3 {
		t.Fatalf("an empty transaction advanced the revision from %d to %d", r3, r)
	}
}

func testList(t *testing.T, b backend) {
	s := b.open(t)
	list, r0, err := s.List(testContext(t), "")
	if err != nil || len(list) != 0 || r0 < 1 {
		t.Fatalf("List of an empty store = %v, %d, %v", list, r0, err)
	}
	rev := mustTxn(t, s, nil, Put("k/b", nil), Put("k/a", []byte("x")), Put("k", []byte("y")), Put("ka", []byte("z")))
	list, at, err := s.List(testContext(t), "k/")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "k/", describe(list), []string{"k/a=x", "k/b="})
	if at != rev || list[0].ModRev != rev {
		t.Fatalf("list at %d with an entry of %d, want %d", at, list[0].ModRev, rev)
	}
	list, _, err = s.List(testContext(t), "")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "all", describe(list), []string{"k=y", "k/a=x", "k/b=", "ka=z"})
}

func describe(list []Entry) []string {
	var out []string
	for _, e := range list {
		out = append(out, e.Key+"="+string(e.Value))
	}
	return out
}

// A range goes with what is put beside it in one transaction, and each key that
// goes is told.
func testRanges(t *testing.T, b backend) {
	s := b.open(t)
	first := mustTxn(t, s, nil, Put("a", nil), Put("b", nil), Put("b/1", nil), Put("c", nil), Put("ä", nil))
	events := s.Watch(testContext(t), "", first+1)
	rev := mustTxn(t, s, nil, Put("b", []byte("new")), DeleteRange("", "b"), DeleteRange("b\x00", EndOfKeys))
	diff(t, "told", next(t, events), Event{Rev: rev, Ops: []Op{Put("b", []byte("new")), Delete("a"), Delete("b/1"), Delete("c"), Delete("ä")}})
	list, at, err := s.List(testContext(t), "")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "left", describe(list), []string{"b=new"})
	if at != rev {
		t.Fatalf("at %d, want %d", at, rev)
	}
	if r := mustTxn(t, s, nil, DeleteRange("b\x00", "c")); r != rev {
		t.Fatalf("deleting nothing advanced the revision from %d to %d", rev, r)
	}
}

func testConditions(t *testing.T, b backend) {
	s := b.open(t)
	ctx := testContext(t)
	absent := []Cond{{Key: "a"}}
	rev := mustTxn(t, s, absent, Put("a", []byte("1")))
	for _, conds := range [][]Cond{
		absent,
		{{"a", rev - 1}},
		{{"a", rev + 1}},
		{{"a", rev}, {"b", rev}},
	} {
		ok, at, err := s.Txn(ctx, conds, []Op{Put("a", []byte("2")), Put("b", nil)})
		if err != nil || ok {
			t.Fatalf("Txn(%v) = %v, %v", conds, ok, err)
		}
		if at != rev {
			t.Fatalf("refused at revision %d, the store is at %d", at, rev)
		}
	}
	diff(t, "after refusals", mustGet(t, s, "a"), Entry{"a", []byte("1"), rev})
	diff(t, "after refusals", mustGet(t, s, "b"), Entry{Key: "b"})
	mustTxn(t, s, []Cond{{"a", rev}, {"b", 0}}, Delete("a"), Put("b", nil))
	mustTxn(t, s, absent, Put("a", []byte("3")))
}

func testMalformed(t *testing.T, b backend) {
	s := b.open(t)
	ctx := testContext(t)
	many := make([]Op, MaxOps+1)
	conds := make([]Cond, MaxOps+1)
	for i := range many {
		many[i] = Put(fmt.Sprint(i), nil)
		conds[i] = Cond{Key: fmt.Sprint(i)}
	}
	for _, c := range []struct {
		conds []Cond
		ops   []Op
	}{
		{nil, many},
		{conds, nil},
		{nil, []Op{Put("", nil)}},
		{[]Cond{{}}, nil},
		{nil, []Op{Put("a", nil), Delete("a")}},
		{nil, []Op{Put("a", nil), Put("a", nil)}},
		{nil, []Op{DeleteRange("a", "c"), Put("b", nil)}},
		{nil, []Op{Delete("a"), DeleteRange("", EndOfKeys)}},
		{nil, []Op{DeleteRange("a", "c"), DeleteRange("b", "d")}},
		{nil, []Op{DeleteRange("a", "d"), DeleteRange("b", "c")}},
		{nil, []Op{DeleteRange("b", "b")}},
		{nil, []Op{{Key: "a", Value: []byte("1"), End: "b"}}},
	} {
		_, _, err := s.Txn(ctx, c.conds, c.ops)
		wantErr(t, err, ErrBadTxn)
	}
	mustTxn(t, s, conds[1:], many[1:]...)
}

func testOwnership(t *testing.T, b backend) {
	s := b.open(t)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	value := []byte("mine")
	rev := mustTxn(t, s, nil, Put("a", value))
	clear(value)
	events := s.Watch(ctx, "", rev)
	clear(next(t, events).Ops[0].Value)
	clear(mustGet(t, s, "a").Value)
	list, _, err := s.List(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	clear(list[0].Value)
	diff(t, "value", mustGet(t, s, "a"), Entry{"a", []byte("mine"), rev})
}

// Writers in conflict: every increment counts once.
func testIncrements(t *testing.T, b backend) {
	const writers, each = 4, 10
	first := b.open(t)
	stores := []Store{first, b.twin(t, first)}
	var wg sync.WaitGroup
	for i := range writers {
		s := stores[i%len(stores)]
		wg.Go(func() {
			for range each {
				if err := increment(testContext(t), s, "n"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := string(mustGet(t, first, "n").Value); got != strconv.Itoa(writers*each) {
		t.Fatalf("counted %s, want %d", got, writers*each)
	}
}

func increment(ctx context.Context, s Store, key string) error {
	for {
		e, err := s.Get(ctx, key)
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(string(e.Value))
		ok, _, err := s.Txn(ctx, []Cond{{key, e.ModRev}}, []Op{Put(key, []byte(strconv.Itoa(n+1)))})
		if err != nil || ok {
			return err
		}
	}
}

func testWatch(t *testing.T, b backend) {
	s := b.open(t)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	r1 := mustTxn(t, s, nil, Put("m/1", []byte("a")), Put("n/1", nil), Put("m/0", []byte("b")))
	mustTxn(t, s, nil, Put("n/2", nil))
	r3 := mustTxn(t, s, nil, Delete("m/1"), Delete("m/9"))
	old, later := s.Watch(ctx, "m/", 0), s.Watch(ctx, "m/", r1+1)
	diff(t, "first", next(t, old), Event{Rev: r1, Ops: []Op{Put("m/1", []byte("a")), Put("m/0", []byte("b"))}})
	diff(t, "second", next(t, old), Event{Rev: r3, Ops: []Op{Delete("m/1")}})
	diff(t, "first of the later", next(t, later), Event{Rev: r3, Ops: []Op{Delete("m/1")}})
	r4 := mustTxn(t, s, nil, Put("m/2", []byte("c")))
	live := Event{Rev: r4, Ops: []Op{Put("m/2", []byte("c"))}}
	diff(t, "live", next(t, old), live)
	diff(t, "live", next(t, later), live)
}

// However slow the receiver, the watch is the history: replaying it gives the
// store's content.
func testWatchOrder(t *testing.T, b backend) {
	const writers, each = 4, 25
	first := b.open(t)
	second := b.twin(t, first)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	_, start, err := first.List(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	events := second.Watch(ctx, "", start+1)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			own := fmt.Sprintf("own/%d", w)
			for i := range each {
				ops := []Op{Put(own, []byte(strconv.Itoa(i))), Put("shared", []byte(own))}
				if i%5 == 4 {
					ops[1] = Delete("shared")
				}
				if _, _, err := first.Txn(ctx, nil, ops); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	list, end, err := first.List(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	replayed, last, count := map[string]string{}, start, 0
	counters := map[string]int{}
	for last < end {
		e := next(t, events)
		if e.Rev <= last {
			t.Fatalf("revision %d after %d", e.Rev, last)
		}
		last = e.Rev
		count++
		for _, o := range e.Ops {
			if o.Delete {
				delete(replayed, o.Key)
				continue
			}
			replayed[o.Key] = string(o.Value)
			if strings.HasPrefix(o.Key, "own/") {
				if got := string(o.Value); got != strconv.Itoa(counters[o.Key]) {
					t.Fatalf("%s is %s at %d, want %d", o.Key, got, e.Rev, counters[o.Key])
				}
				counters[o.Key]++
			}
		}
	}
	if count != writers*each {
		t.Fatalf("%d events, want one for each of %d transactions", count, writers*each)
	}
	want := map[string]string{}
	for _, e := range list {
		want[e.Key] = string(e.Value)
	}
	diff(t, "replayed", replayed, want)
}

func testWatchEnds(t *testing.T, b backend) {
	s := b.open(t)
	ctx, cancel := context.WithCancel(testContext(t))
	cancelled, unread, closed := s.Watch(ctx, "", 0), s.Watch(ctx, "", 0), s.Watch(testContext(t), "", 0)
	mustTxn(t, s, nil, Put("a", nil))
	next(t, closed)
	next(t, cancelled)
	cancel()
	wantClosed(t, cancelled)
	// An event that nobody receives does not keep a store from closing.
	mustTxn(t, s, nil, Put("a", nil))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range closed {
	}
	for range unread {
	}
	wantClosed(t, s.Watch(testContext(t), "", 0))
}

func testCompaction(t *testing.T, b backend) {
	s := b.open(t)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	var revs []int64
	for i := range 5 {
		revs = append(revs, mustTxn(t, s, nil, Put("a", []byte{byte(i)})))
	}
	err := s.(interface {
		compact(context.Context, int64) error
	}).compact(ctx, revs[3])
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []int64{0, revs[0], revs[2]} {
		events := s.Watch(ctx, "", from)
		wantErr(t, next(t, events).Err, ErrCompacted)
		wantClosed(t, events)
	}
	events := s.Watch(ctx, "", revs[3])
	for _, rev := range revs[3:] {
		if e := next(t, events); e.Rev != rev || e.Err != nil {
			t.Fatalf("got %v, want revision %d", e, rev)
		}
	}
}

func testDown(t *testing.T, b backend) {
	if b.down == nil {
		t.Skip("the store is in this process and has no server to lose")
	}
	s := b.open(t)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	rev := mustTxn(t, s, nil, Put("a", []byte("1")))
	events := s.Watch(ctx, "", rev)
	next(t, events)

	b.down(t, s)
	// Without a deadline, the store's own timeout bounds a call.
	unbounded := context.Background()
	_, err := s.Get(unbounded, "a")
	wantErr(t, err, ErrUnavailable)
	_, _, err = s.List(unbounded, "")
	wantErr(t, err, ErrUnavailable)
	_, _, err = s.Txn(unbounded, nil, []Op{Put("a", nil)})
	wantErr(t, err, ErrUnavailable)
	if r, ok := s.(*Remote); ok && !strings.Contains(err.Error(), r.where) {
		t.Fatalf("the error does not name the endpoint %s: %v", r.where, err)
	}
	b.up(t, s)

	rev = mustTxn(t, s, nil, Put("a", []byte("2")))
	diff(t, "watch goes on", next(t, events), Event{Rev: rev, Ops: []Op{Put("a", []byte("2"))}})
}

func testClosed(t *testing.T, b backend) {
	s := b.open(t)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Get(testContext(t), "a")
	wantErr(t, err, ErrClosed)
	_, _, err = s.List(testContext(t), "")
	wantErr(t, err, ErrClosed)
	_, _, err = s.Txn(testContext(t), nil, nil)
	wantErr(t, err, ErrClosed)
}

func testCancelled(t *testing.T, b backend) {
	s := b.open(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := s.Get(ctx, "a")
	wantErr(t, err, context.Canceled)
	_, _, err = s.Txn(ctx, nil, []Op{Put("a", nil)})
	wantErr(t, err, context.Canceled)
	diff(t, "not written", mustGet(t, s, "a"), Entry{Key: "a"})
}

// testModel drives a store at random beside a map and a list of events.
func testModel(t *testing.T, b backend) {
	if b.name != "memory" {
		// etcd serves a watch that begins in the past every 100 ms.
		fewerChecks(t, 10)
	}
	rapid.Check(t, func(rt *rapid.T) {
		s := b.open(rt)
		defer s.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		list, last, err := s.List(ctx, "")
		if err != nil || len(list) != 0 {
			rt.Fatalf("List = %v, %v", list, err)
		}
		entries := map[string]Entry{}
		var history []Event
		start := last
		keys := rapid.SampledFrom([]string{"a", "b", "b/1", "b/2"})

		rt.Repeat(map[string]func(*rapid.T){
			"txn": func(rt *rapid.T) {
				holds := true
				var conds []Cond
				for _, key := range rapid.SliceOfN(keys, 0, 2).Draw(rt, "conds") {
					c := Cond{key, entries[key].ModRev}
					if rapid.IntRange(0, 3).Draw(rt, "wrong") == 0 {
						c.ModRev = rapid.SampledFrom([]int64{0, 1, last, last + 1}).Draw(rt, "rev")
					}
					holds = holds && c.ModRev == entries[key].ModRev
					conds = append(conds, c)
				}
				var ops []Op
				for _, key := range rapid.SliceOfNDistinct(keys, 0, 3, rapid.ID).Draw(rt, "ops") {
					op := Delete(key)
					if rapid.Bool().Draw(rt, "put") {
						op = Put(key, []byte(rapid.StringN(1, 3, -1).Draw(rt, "value")))
					}
					ops = append(ops, op)
				}
				if end := rapid.SampledFrom([]string{"", "a\x00", "b/", EndOfKeys}).Draw(rt, "end"); end != "" {
					r := DeleteRange("a", end)
					ops = append(slices.DeleteFunc(ops, func(o Op) bool { return r.covers(o.Key) }), r)
				}
				ok, rev, err := s.Txn(ctx, conds, ops)
				if err != nil || ok != holds {
					rt.Fatalf("Txn(%v, %v) = %v, %v, want %v", conds, ops, ok, err, holds)
				}
				var done []Op
				for _, o := range ops {
					for _, key := range slices.Sorted(maps.Keys(entries)) {
						if ok && o.Delete && o.covers(key) {
							done = append(done, Delete(key))
						}
					}
					if ok && !o.Delete {
						done = append(done, o)
					}
				}
				if len(done) == 0 {
					if rev != last {
						rt.Fatalf("nothing was changed, at revision %d after %d", rev, last)
					}
					return
				}
				if rev <= last {
					rt.Fatalf("changed at revision %d after %d", rev, last)
				}
				last = rev
				history = append(history, Event{Rev: rev, Ops: done})
				for _, o := range done {
					if o.Delete {
						delete(entries, o.Key)
					} else {
						entries[o.Key] = Entry{o.Key, o.Value, rev}
					}
				}
			},
			"get": func(rt *rapid.T) {
				key := keys.Draw(rt, "key")
				e, err := s.Get(ctx, key)
				want := entries[key]
				want.Key = key
				if d := cmp.Diff(want, e); d != "" || err != nil {
					rt.Fatalf("Get(%s): %v %s", key, err, d)
				}
			},
			"list": func(rt *rapid.T) {
				prefix := rapid.SampledFrom([]string{"", "b", "b/", "c"}).Draw(rt, "prefix")
				got, rev, err := s.List(ctx, prefix)
				var want []Entry
				for _, key := range slices.Sorted(maps.Keys(entries)) {
					if strings.HasPrefix(key, prefix) {
						want = append(want, entries[key])
					}
				}
				if d := cmp.Diff(want, got); d != "" || err != nil || rev != last {
					rt.Fatalf("List(%s) at %d, want %d: %v %s", prefix, rev, last, err, d)
				}
			},
			"watch": func(rt *rapid.T) {
				prefix := rapid.SampledFrom([]string{"", "b/"}).Draw(rt, "prefix")
				from := rapid.Int64Range(start+1, last+1).Draw(rt, "from")
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				events := s.Watch(ctx, prefix, from)
				for _, want := range history {
					want = narrow(want, prefix)
					if want.Rev < from || len(want.Ops) == 0 {
						continue
					}
					if d := cmp.Diff(want, next(rt, events)); d != "" {
						rt.Fatalf("Watch(%s, %d): %s", prefix, from, d)
					}
				}
			},
		})
	})
}

// fewerChecks divides the number of checks of the properties in this test.
func fewerChecks(t *testing.T, by int) {
	f := flag.Lookup("rapid.checks")
	old := f.Value.String()
	n, err := strconv.Atoi(old)
	if err != nil {
		t.Fatal(err)
	}
	if err := flag.Set(f.Name, strconv.Itoa(max(1, n/by))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { flag.Set(f.Name, old) })
}

// compact has the store forget: watches can no longer begin at revisions below rev.
// Operators leave that to etcd.
func (s *etcdStore) compact(ctx context.Context, rev int64) error {
	_, err := s.client.Compact(ctx, rev)
	return err
}

func (m *Memory) compact(_ context.Context, rev int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(rev - 1)
	m.wake()
	return nil
}
