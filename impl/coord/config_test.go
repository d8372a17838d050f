package coord

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
)

// The configuration behaves alike on every Store.
func TestConfig(t *testing.T) {
	cases := []struct {
		name string
		run  func(t *testing.T, b backend)
	}{
		{"found", testFound},
		{"bad_cluster", testBadCluster},
		{"found_again", testFoundAgain},
		{"found_anew", testFoundAnew},
		{"end", testEnd},
		{"replaced", testReplaced},
		{"join", testJoin},
		{"concurrent_joins", testConcurrentJoins},
		{"join_as", testJoinAs},
		{"segments", testSegments},
		{"narrow_base", testNarrowBase},
		{"concurrent_creators", testConcurrentCreators},
		{"watch", testConfigWatch},
		{"sync", testSync},
		{"down", testConfigDown},
		{"unknown_outcome", testUnknownOutcome},
		{"stale_refusal", testStaleRefusal},
		{"compacted", testConfigCompacted},
		{"broken", testBrokenRecord},
		{"mended", testMendedRecord},
		{"own_keys", testOwnKeys},
		{"await", testAwait},
	}
	eachBackend(t, func(t *testing.T, b backend) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) { c.run(t, b) })
		}
	})
}

func testCluster(nodes int) Cluster {
	return Cluster{Nodes: nodes, Fanout: 4, Slots: 64, Transport: "tcp", Repair: time.Second, Created: "test"}
}

func found(t tb, s Store, nodes int) *Config {
	t.Helper()
	if err := Found(testContext(t), s, testCluster(nodes)); err != nil {
		t.Fatal(err)
	}
	return openConfig(t, s)
}

func openConfig(t tb, s Store) *Config {
	t.Helper()
	c, err := Open(testContext(t), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func mustJoin(t tb, c *Config, address string) Member {
	t.Helper()
	m, err := c.Join(testContext(t), address)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mustCreate(t tb, c *Config, name string, pages uint64) Segment {
	t.Helper()
	s, err := c.Create(testContext(t), name, pages, Attrs{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustRemove(t tb, c *Config, name string) {
	t.Helper()
	if err := c.Remove(testContext(t), name); err != nil {
		t.Fatal(err)
	}
}

func testJoin(t *testing.T, b backend) {
	s := b.open(t)
	first := found(t, s, 3)
	diff(t, "node 0", mustJoin(t, first, "h0:1"), Member{
		Node: 0, Address: "h0:1", Incarnation: 1, Joined: 2, Instance: first.instance})
	if again := mustJoin(t, first, "h0:1"); again.Node != 0 || first.View().Epoch != 2 {
		t.Fatalf("joined again as %v, epoch %d", again, first.View().Epoch)
	}
	second := openConfig(t, b.twin(t, s))
	_, err := second.Join(testContext(t), "h0:1")
	wantErr(t, err, ErrExists)
	if m := mustJoin(t, second, "h1:1"); m.Node != 1 || m.Joined != 3 {
		t.Fatalf("second node is %v", m)
	}
	if second.View().Complete() {
		t.Fatal("complete with 2 of 3 nodes")
	}
	mustJoin(t, openConfig(t, s), "h2:1")
	// The refusal must not rest on an old view: this one saw two members.
	_, err = second.Join(testContext(t), "h3:1")
	wantErr(t, err, ErrComplete)
	if want := "cluster has all its 3 nodes"; !strings.Contains(err.Error(), want) {
		t.Fatalf("%v does not say %q", err, want)
	}
	v, err := second.Wait(testContext(t), (*View).Complete)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range v.Joined() {
		if m.Node != addr.NodeID(i) || m.Address != fmt.Sprintf("h%d:1", i) {
			t.Fatalf("member %d is %v", i, m)
		}
	}
	if v.Epoch != 4 {
		t.Fatalf("epoch %d after 3 joins, want 4", v.Epoch)
	}
}

func testConcurrentJoins(t *testing.T, b backend) {
	const nodes = 6
	s := b.open(t)
	found(t, s, nodes)
	var wg sync.WaitGroup
	members := make([]Member, nodes+2)
	errs := make([]error, nodes+2)
	for i := range members {
		c := openConfig(t, s)
		wg.Go(func() { members[i], errs[i] = c.Join(testContext(t), fmt.Sprintf("h%d:1", i)) })
	}
	wg.Wait()
	epochs := map[addr.NodeID]uint64{}
	for i, err := range errs {
		if err != nil {
			wantErr(t, err, ErrComplete)
			continue
		}
		epochs[members[i].Node] = members[i].Joined
	}
	if len(epochs) != nodes {
		t.Fatalf("%d nodes joined: %v", len(epochs), epochs)
	}
	for node, epoch := range epochs {
		if epoch != uint64(node)+2 {
			t.Fatalf("node %d joined in epoch %d, want %d", node, epoch, node+2)
		}
	}
}

// testJoinAs: nodes may choose their numbers, and those that do not get what is left.
func testJoinAs(t *testing.T, b backend) {
	s := b.open(t)
	found(t, s, 4)
	ctx := testContext(t)
	nodes := make([]*Config, 5)
	for i := range nodes {
		nodes[i] = openConfig(t, s)
	}
	joinAs := func(i int, number addr.NodeID) Member {
		t.Helper()
		m, err := nodes[i].JoinAs(ctx, number, fmt.Sprintf("h%d:1", i))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if m := joinAs(0, 3); m.Node != 3 || m.Incarnation != 1 {
		t.Fatalf("node 3 is %+v", m)
	}
	if m := joinAs(0, 3); m.Node != 3 || m.Joined != 2 {
		t.Fatalf("again, node 3 is %+v", m)
	}
	if v := nodes[0].View(); v.Complete() || fmt.Sprint(v.Missing()) != "[0 1 2]" || len(v.Joined()) != 1 || v.Joined()[0].Node != 3 {
		t.Fatalf("after one: %v are missing, %v joined", v.Missing(), v.Joined())
	}
	// What another one sees, and one that reads all anew.
	if v := openConfig(t, b.twin(t, s)).View(); fmt.Sprint(v.Missing()) != "[0 1 2]" {
		t.Fatalf("%v are missing", v.Missing())
	}
	_, err := nodes[1].JoinAs(ctx, 3, "h1:1")
	wantErr(t, err, ErrExists)
	if want := "node 3 is the one at h0:1"; !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not say %q", err, want)
	}
	_, err = nodes[1].JoinAs(ctx, 4, "h1:1")
	wantErr(t, err, ErrNotFound)
	joinAs(1, 1)
	if m := mustJoin(t, nodes[2], "h2:1"); m.Node != 0 {
		t.Fatalf("the lowest number is not %d", m.Node)
	}
	if m := mustJoin(t, nodes[3], "h3:1"); m.Node != 2 {
		t.Fatalf("the lowest number is not %d", m.Node)
	}
	v, err := nodes[0].Wait(ctx, (*View).Complete)
	if err != nil || len(v.Missing()) != 0 || v.Nodes() != 4 {
		t.Fatalf("complete: %+v, %v", v, err)
	}
	_, err = nodes[4].JoinAs(ctx, 2, "h4:1")
	wantErr(t, err, ErrComplete)
}

func testConfigWatch(t *testing.T, b backend) {
	s := b.open(t)
	writer := found(t, s, 1)
	reader := openConfig(t, b.twin(t, s))
	ctx, cancel := context.WithCancel(testContext(t))
	views := reader.Watch(ctx, nil)
	if v := <-views; v.Epoch != 1 {
		t.Fatalf("the first view has epoch %d", v.Epoch)
	}
	mustCreate(t, writer, "a", 1)
	if v := <-views; v.Len() != 1 {
		t.Fatalf("the next view has %v", segmentsOf(v))
	}
	// A slow receiver misses views, not the newest.
	for i := range 5 {
		mustRemove(t, writer, "a")
		mustCreate(t, writer, "a", uint64(i+2))
	}
	var last *View
	for last = range views {
		if s, ok := last.Segment("a"); ok && s.Pages == 6 {
			break
		}
	}
	if segmentsOf(last)[0].Generation != 6 {
		t.Fatalf("the last view has %v", segmentsOf(last))
	}
	cancel()
	for range views {
	}
	views = reader.Watch(testContext(t), nil)
	reader.Close()
	for range views {
	}
	if _, err := reader.Wait(testContext(t), func(*View) bool { return false }); err == nil {
		t.Fatal("waited on a closed Config")
	}
	wantErr(t, reader.Remove(testContext(t), "a"), ErrClosed)
	if reader.View().Len() != 1 {
		t.Fatal("the view of a closed Config is gone")
	}
}

// Sync sees what another node has committed, without waiting for a sign of it.
func testSync(t *testing.T, b backend) {
	s := b.open(t)
	writer := found(t, s, 1)
	reader := openConfig(t, b.twin(t, s))
	for i := range 20 {
		created := mustCreate(t, writer, fmt.Sprint("s", i), 1)
		v, err := reader.Sync(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := v.Segment(created.Name); !ok || got != created {
			t.Fatalf("after %v was created, Sync sees %v", created, segmentsOf(v))
		}
	}
}

func testConfigDown(t *testing.T, b backend) {
	if b.down == nil {
		t.Skip("the store is in this process and has no server to lose")
	}
	s := b.open(t)
	c := found(t, s, 2)
	mustJoin(t, c, "h0:1")
	mustCreate(t, c, "a", 3)
	b.down(t, s)
	if s, ok := c.View().SegmentAt(2); !ok || s.Name != "a" {
		t.Fatalf("while the store is down, page 2 is in %v, %v", s, ok)
	}
	_, err := c.Create(context.Background(), "b", 1, Attrs{})
	wantErr(t, err, ErrUnavailable)
	// Not even a refusal is certain now.
	_, err = c.Create(context.Background(), "a", 1, Attrs{})
	wantErr(t, err, ErrUnavailable)
	b.up(t, s)
	mustCreate(t, c, "b", 1)
}

// lossy answers the next transaction with ErrUnavailable.
type lossy struct {
	Store
	lose  string // what became of it
	later func() // commits it
}

func (l *lossy) Txn(ctx context.Context, conds []Cond, ops []Op) (bool, int64, error) {
	lose := l.lose
	l.lose = ""
	switch lose {
	case "committed":
		_, _, _ = l.Store.Txn(ctx, conds, ops)
	case "committed later":
		l.later = func() { _, _, _ = l.Store.Txn(ctx, conds, ops) }
	case "not committed":
	default:
		return l.Store.Txn(ctx, conds, ops)
	}
	return false, 0, ErrUnavailable
}

func (l *lossy) Get(ctx context.Context, key string) (Entry, error) {
	e, err := l.Store.Get(ctx, key)
	if l.later != nil {
		l.later()
		l.later = nil
	}
	return e, err
}

// A change whose answer was lost is done once, whatever became of it.
func testUnknownOutcome(t *testing.T, b backend) {
	for _, fate := range []string{"committed", "committed later", "not committed"} {
		t.Run(fate, func(t *testing.T) {
			s := &lossy{Store: b.open(t)}
			c := found(t, s, 2)
			other := openConfig(t, b.twin(t, s.Store))
			s.lose = fate
			if m := mustJoin(t, c, "h0:1"); m.Node != 0 || c.View().Epoch != 2 || c.View().Nodes() != 1 {
				t.Fatalf("joined as %v, epoch %d", m, c.View().Epoch)
			}
			s.lose = fate
			if a := mustCreate(t, c, "a", 1); a.Generation != 1 {
				t.Fatalf("created %v, generation %d", a, a.Generation)
			}
			_, err := other.Create(testContext(t), "a", 1, Attrs{})
			wantErr(t, err, ErrExists)
			s.lose = fate
			mustRemove(t, c, "a")
			wantErr(t, other.Remove(testContext(t), "a"), ErrNotFound)
			// What another one has done is not taken for its own.
			mustCreate(t, other, "b", 1)
			s.lose = fate
			_, err = c.Create(testContext(t), "b", 1, Attrs{})
			wantErr(t, err, ErrExists)
		})
	}
}

// late is a store whose watches wait for a gate.
type late struct {
	Store
	gate chan struct{}
	// onGet opens the gate when the store is asked for a key.
	onGet bool
}

func (l *late) Watch(ctx context.Context, prefix string, from int64) <-chan Event {
	<-l.gate
	return l.Store.Watch(ctx, prefix, from)
}

func (l *late) Get(ctx context.Context, key string) (Entry, error) {
	if l.onGet {
		l.onGet = false
		close(l.gate)
	}
	return l.Store.Get(ctx, key)
}

// What an old view would refuse is not refused.
func testStaleRefusal(t *testing.T, b backend) {
	s := b.open(t)
	writer := found(t, s, 1)
	mustCreate(t, writer, "a", 1)
	c := openConfig(t, &late{Store: s, gate: make(chan struct{}), onGet: true})
	mustRemove(t, writer, "a")
	if seg := mustCreate(t, c, "a", 2); seg.Generation != 2 {
		t.Fatalf("created %v, generation %d", seg, seg.Generation)
	}
}

func testConfigCompacted(t *testing.T, b backend) {
	s := b.open(t)
	writer := found(t, s, 2)
	l := &late{Store: s, gate: make(chan struct{})}
	c := openConfig(t, l)
	for range 3 {
		mustCreate(t, writer, "a", 1)
		mustRemove(t, writer, "a")
	}
	mustJoin(t, writer, "h0:1")
	err := s.(interface {
		compact(context.Context, int64) error
	}).compact(testContext(t), writer.View().Rev)
	if err != nil {
		t.Fatal(err)
	}
	close(l.gate)
	v, err := c.Wait(testContext(t), func(v *View) bool { return v.Nodes() == 1 })
	if err != nil {
		t.Fatal(err)
	}
	if v.head != writer.View().head {
		t.Fatalf("read %v again, want %v", v.head, writer.View().head)
	}
	if m := mustCreate(t, c, "b", 1); m.Generation != 4 {
		t.Fatalf("created %v, generation %d", m, m.Generation)
	}
}

// A record that cannot be read stops changes, and leaves the last good view.
func testBrokenRecord(t *testing.T, b backend) {
	for _, op := range []Op{
		Put(keyHead, []byte("{")),
		Delete(keyHead),
		Put(prefixMember+"00000", []byte(`{"node":7}`)),
		Put(prefixSegments+"b", encode(Segment{Name: "b", First: 1, Pages: 1})),
		Put(prefixSegments+"b", encode(Segment{Name: "b", First: math.MaxUint32, Pages: 2})),
	} {
		s := b.open(t)
		c := found(t, s, 1)
		mustCreate(t, c, "a", 2)
		// What this build does not know, it leaves alone.
		mustTxn(t, s, nil, Put("later/thing", []byte("?")))
		mustRemove(t, c, "a")
		mustCreate(t, c, "a", 2)
		mustTxn(t, s, nil, op)
		_, err := c.Wait(testContext(t), func(*View) bool { return false })
		wantErr(t, err, ErrBadConfig)
		wantErr(t, c.Remove(testContext(t), "a"), ErrBadConfig)
		if c.View().Len() != 1 {
			t.Fatalf("the view is %+v", c.View())
		}
	}
}

// What was unreadable is followed again when it is not any more, and whoever
// watches is told of both.
func testMendedRecord(t *testing.T, b backend) {
	s := b.open(t)
	c := found(t, s, 1)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	told := make(chan error, 10)
	views := c.Watch(ctx, func(err error) { told <- err })
	<-views
	mustTxn(t, s, nil, Put(prefixSegments+"a", []byte("{")))
	wantErr(t, <-told, ErrBadConfig)
	wantErr(t, c.Err(), ErrBadConfig)
	// Worse before it is better: another reason, which is told, too.
	mustTxn(t, s, nil, Delete(prefixSegments+"a"), Put(prefixMember+"00000", []byte("{")))
	wantErr(t, <-told, ErrBadConfig)
	mustTxn(t, s, nil, Put(prefixMember+"00000", encode(Member{Address: "h0:1", Incarnation: 1, Joined: 2})))
	if err := <-told; err != nil {
		t.Fatalf("told %v, want that all is well", err)
	}
	if v := <-views; v.Nodes() != 1 || c.Err() != nil {
		t.Fatalf("the next view is %+v; %v", v, c.Err())
	}
	mustCreate(t, c, "a", 1)
	if v := <-views; v.Len() != 1 {
		t.Fatalf("the next view is %+v", v)
	}
	if len(told) > 0 {
		t.Errorf("told %v besides", <-told)
	}
}

// A Config that is closed leaves nothing in the store that was for it alone.
func testOwnKeys(t *testing.T, b backend) {
	s := b.open(t)
	c, other := found(t, s, 2), openConfig(t, s)
	mustJoin(t, c, "h0:1")
	mustJoin(t, other, "h1:1")
	c.Close()
	diff(t, "keys", keys(t, s), []string{prefixChanges + other.instance, keyCluster, keyHead, prefixMember + "00000", prefixMember + "00001"})
	openConfig(t, s).Close() // it had none
	other.Close()
	diff(t, "keys", keys(t, s), []string{keyCluster, keyHead, prefixMember + "00000", prefixMember + "00001"})
}

func testAwait(t *testing.T, b backend) {
	s := b.open(t)
	c := found(t, s, 2)
	mustJoin(t, c, "h0:1")
	ctx, cancel := context.WithCancel(testContext(t))
	_, err := c.Await(ctx, patience, func(*View) bool { cancel(); return false })
	wantErr(t, err, context.Canceled)
	joined := make(chan error, 1)
	go func() {
		_, err := openConfig(t, s).Join(testContext(t), "h1:1")
		joined <- err
	}()
	if v, err := c.Await(testContext(t), patience, (*View).Complete); err != nil || v.Nodes() != 2 {
		t.Fatalf("%+v, %v", v, err)
	}
	if err := <-joined; err != nil {
		t.Fatal(err)
	}
	// Nobody tells it of the other cluster: its watch is the old store's.
	empty := b.open(t)
	for _, want := range []error{ErrRolledBack, ErrReplaced} {
		two := &switched{Store: s, watch: s}
		away := openConfig(t, two)
		two.Store = empty
		_, err = away.Await(testContext(t), patience, func(*View) bool { return false })
		wantErr(t, err, want)
		if want == ErrRolledBack {
			found(t, empty, 1)
		}
	}
}

// Await gives up when the store has been silent for as long as it may be, and
// not before.
func TestAwaitPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewMemory()
		defer s.Close()
		if err := Found(t.Context(), s, testCluster(2)); err != nil {
			t.Fatal(err)
		}
		c, err := Open(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		began := time.Now() // of the test's own clock
		time.AfterFunc(time.Hour, func() { s.SetDown(true) })
		time.AfterFunc(time.Hour+5*time.Second, func() { s.SetDown(false) })
		time.AfterFunc(2*time.Hour, func() { s.SetDown(true) })
		_, err = c.Await(t.Context(), 10*time.Second, func(*View) bool { return false })
		wantErr(t, err, ErrUnavailable)
		if took := time.Since(began); took < 2*time.Hour+9*time.Second || took > 2*time.Hour+12*time.Second {
			t.Errorf("it gave up after %v", took)
		}
		if !strings.Contains(err.Error(), "memory store") {
			t.Errorf("%v does not name the store", err)
		}
	})
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		DefaultName: true, "a": true, "prod-1.eu@x_y": true, strings.Repeat("a", 64): true,
		"": false, strings.Repeat("a", 65): false, "a/b": false, "-a": false, ".": false, "a b": false, "ä": false, "a\n": false,
	} {
		err := CheckName(name)
		if ok != (err == nil) {
			t.Errorf("%q: %v", name, err)
		}
		if !ok {
			wantErr(t, err, ErrBadName)
		}
	}
	if PrefixOf(DefaultName) != DefaultPrefix {
		t.Errorf("%s and %s", PrefixOf(DefaultName), DefaultPrefix)
	}
}

// A store that lost what it had committed is found out.
func TestConfigRolledBack(t *testing.T) {
	s := NewMemory()
	defer s.Close()
	c := found(t, s, 1)
	mustCreate(t, c, "a", 1)
	old := NewMemory()
	defer old.Close()
	if err := Found(testContext(t), old, c.View().Cluster); err != nil {
		t.Fatal(err)
	}
	// The watch stays with the store that knew better.
	c.store = &switched{Store: old, watch: s}
	_, err := c.Create(testContext(t), "b", 1, Attrs{})
	wantErr(t, err, ErrRolledBack)
}

type switched struct {
	Store
	watch Store
}

func (s *switched) Watch(ctx context.Context, prefix string, from int64) <-chan Event {
	return s.watch.Watch(ctx, prefix, from)
}
