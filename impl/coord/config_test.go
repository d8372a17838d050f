package coord

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"pgregory.net/rapid"
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
		{"death", testDeath},
		{"segments", testSegments},
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
	return Cluster{Nodes: nodes, Fanout: 4, Slots: 64, Transport: "tcp", Created: "test"}
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

func testFound(t *testing.T, b backend) {
	s := b.open(t)
	twin := b.twin(t, s)
	_, err := Open(testContext(t), s)
	wantErr(t, err, ErrNoCluster)

	// Of several founders, one founds.
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			c := testCluster(i + 1)
			c.ID = fmt.Sprint("cluster-", i)
			errs[i] = Found(testContext(t), []Store{s, twin}[i%2], c)
		})
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		if err == nil && winner < 0 {
			winner = i
		} else {
			wantErr(t, err, ErrFounded)
		}
	}
	want := testCluster(winner + 1)
	want.ID, want.Format, want.PageSize = fmt.Sprint("cluster-", winner), format, addr.PageSize
	c := openConfig(t, twin)
	diff(t, "cluster", c.View().Cluster, want)
	if c.View().Epoch != 1 {
		t.Fatalf("epoch %d, want 1", c.View().Epoch)
	}
	// To found the same again does nothing.
	if err := Found(testContext(t), s, want); err != nil {
		t.Fatal(err)
	}
}

func testBadCluster(t *testing.T, b backend) {
	s := b.open(t)
	for _, change := range []func(*Cluster){
		func(c *Cluster) { c.Nodes = 0 },
		func(c *Cluster) { c.Nodes = MaxNodes + 1 },
		func(c *Cluster) { c.Fanout = 1 },
		func(c *Cluster) { c.Slots = 0 },
		func(c *Cluster) { c.PageSize = 8192 },
	} {
		c := testCluster(1)
		change(&c)
		wantErr(t, Found(testContext(t), s, c), ErrBadConfig)
	}
	// A cluster of another build.
	c := testCluster(1)
	c.ID, c.PageSize, c.Format = "x", addr.PageSize, format+1
	mustTxn(t, s, nil, Put(keyCluster, encode(c)), Put(keyHead, encode(head{Epoch: 1})))
	_, err := Open(testContext(t), s)
	wantErr(t, err, ErrBadConfig)
}

// keys are those of a cluster in a store.
func keys(t tb, s Store) (list []string) {
	t.Helper()
	entries, _, err := s.List(testContext(t), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Key)
	}
	return list
}

func mustEnd(t tb, c *Config, reason string) {
	t.Helper()
	if err := c.End(testContext(t), reason); err != nil {
		t.Fatal(err)
	}
}

// A cluster that runs is founded over by nobody; over one that has ended, one of
// several founders founds, and nothing of the old one is left.
func testFoundAgain(t *testing.T, b backend) {
	s := b.open(t)
	twin := b.twin(t, s)
	old := found(t, s, 2)
	mustJoin(t, old, "h0:1")
	mustCreate(t, old, "a", 3)
	mustTxn(t, s, nil, Put("a thing", nil), Put("g/thing", nil), Put("later/thing", nil))
	err := Found(testContext(t), twin, testCluster(3))
	wantErr(t, err, ErrFounded)
	if !strings.Contains(err.Error(), "of 2 nodes") {
		t.Fatalf("%v does not say of which cluster", err)
	}
	mustEnd(t, old, "node 0 was stopped")

	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { errs[i] = Found(testContext(t), []Store{s, twin}[i%2], testCluster(i+1)) })
	}
	wg.Wait()
	nodes := 0
	for i, err := range errs {
		if err == nil && nodes == 0 {
			nodes = i + 1
		} else {
			wantErr(t, err, ErrFounded)
		}
	}
	diff(t, "keys", keys(t, s), []string{keyCluster, keyHead})
	c := openConfig(t, twin)
	if v := c.View(); v.Cluster.Nodes != nodes || v.Ended != "" || v.Epoch != 1 || len(v.Members)+len(v.Segments) > 0 || v.Generation != 0 {
		t.Fatalf("founded by who wanted %d nodes: %+v", nodes, v)
	}
	// Whoever had a place in the old one may have one in this.
	if m := mustJoin(t, c, "h0:1"); m.Node != 0 {
		t.Fatalf("joined as %v", m)
	}
}

// Whatever a store holds, a cluster can be founded over it by who says that it
// is of no use any more.
func testFoundAnew(t *testing.T, b backend) {
	s := b.open(t)
	for _, junk := range [][]Op{
		{},
		{Put(keyCluster, []byte("{")), Put("z", nil)},
		{Put(keyHead, []byte("{"))},
		{Put(keyCluster, encode(Cluster{ID: "x", Format: format + 1}))},
	} {
		mustTxn(t, s, nil, junk...)
		if err := FoundAnew(testContext(t), s, testCluster(1)); err != nil {
			t.Fatal(err)
		}
		diff(t, "keys", keys(t, s), []string{keyCluster, keyHead})
		mustJoin(t, openConfig(t, s), "h0:1")
	}
}

// What has ended stays as it was, and says why.
func testEnd(t *testing.T, b backend) {
	s := b.open(t)
	c := found(t, s, 2)
	other := openConfig(t, b.twin(t, s))
	mustJoin(t, c, "h0:1")
	mustCreate(t, c, "a", 1)
	mustEnd(t, other, "a stranger was stopped")
	mustJoin(t, other, "h1:1")
	mustEnd(t, c, "node 0 was stopped")
	mustEnd(t, other, "node 1 was stopped")
	for _, change := range map[string]func(*Config) error{
		"join":      func(c *Config) error { _, err := c.Join(testContext(t), "h1:1"); return err },
		"create":    func(c *Config) error { _, err := c.Create(testContext(t), "b", 1, Attrs{}); return err },
		"remove":    func(c *Config) error { return c.Remove(testContext(t), "a") },
		"mark dead": func(c *Config) error { return c.MarkDead(testContext(t), 0, 1, "late") },
	} {
		for _, c := range []*Config{c, other, openConfig(t, s)} {
			err := change(c)
			wantErr(t, err, ErrEnded)
			if !strings.Contains(err.Error(), "node 0 was stopped") {
				t.Fatalf("%v does not say why it ended", err)
			}
		}
	}
	v, err := other.Sync(testContext(t))
	if err != nil || v.Ended != "node 0 was stopped" || len(v.Segments) != 1 || len(v.Members) != 2 {
		t.Fatalf("%+v, %v", v, err)
	}
}

// A node of a cluster that another one has replaced finds out, whether it sees
// the transaction or reads the store again, and does not touch the new one.
func testReplaced(t *testing.T, b backend) {
	s := b.open(t)
	old := found(t, s, 2)
	mustJoin(t, old, "h0:1")
	mustCreate(t, old, "a", 1)
	behind := &late{Store: b.twin(t, s), gate: make(chan struct{})}
	reader := openConfig(t, behind)
	mustEnd(t, old, "a test")
	young := found(t, s, 1)
	id := young.View().Cluster.ID
	mustCreate(t, young, "b", 1)
	compactor, ok := s.(interface {
		compact(context.Context, int64) error
	})
	if !ok {
		t.Fatal("no compaction")
	}
	if err := compactor.compact(testContext(t), young.View().Rev); err != nil {
		t.Fatal(err)
	}
	close(behind.gate)
	for name, c := range map[string]*Config{"watch": old, "list": reader} {
		for range c.Watch(testContext(t), func(err error) { t.Errorf("%s: told %v of what is for good", name, err) }) {
		}
		wantErr(t, c.Err(), ErrReplaced)
		if !strings.Contains(c.Err().Error(), id) {
			t.Errorf("%s: %v does not name %s", name, c.Err(), id)
		}
		_, err := c.Await(testContext(t), patience, func(*View) bool { return false })
		wantErr(t, err, ErrReplaced)
		wantErr(t, c.End(testContext(t), "late"), ErrReplaced)
		wantErr(t, c.Remove(testContext(t), "a"), ErrReplaced)
		if v := c.View(); len(v.Segments) != 1 || v.Segments[0].Name != "a" {
			t.Errorf("%s: the last view is %+v", name, v)
		}
		c.Close()
	}
	if v, err := young.Sync(testContext(t)); err != nil || v.Ended != "" || len(v.Segments) != 1 {
		t.Fatalf("the new cluster is %+v, %v", v, err)
	}
}

func testJoin(t *testing.T, b backend) {
	s := b.open(t)
	first := found(t, s, 3)
	diff(t, "node 0", mustJoin(t, first, "h0:1"), Member{
		Node: 0, Address: "h0:1", Incarnation: 1, Joined: 2, State: Alive, Instance: first.instance})
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
	for i, m := range v.Members {
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

func testDeath(t *testing.T, b backend) {
	s := b.open(t)
	c := found(t, s, 2)
	mustJoin(t, c, "h0:1")
	ctx := testContext(t)
	wantErr(t, c.MarkDead(ctx, 1, 1, "never seen"), ErrNotFound)
	wantErr(t, c.MarkDead(ctx, 0, 2, "another life"), ErrNotFound)
	for _, reason := range []string{"lease ended", "second thoughts"} {
		if err := c.MarkDead(ctx, 0, 1, reason); err != nil {
			t.Fatal(err)
		}
	}
	m := c.View().Members[0]
	if m.State != Dead || m.Died != 3 || m.Reason != "lease ended" || c.View().Epoch != 3 {
		t.Fatalf("the dead member is %+v, epoch %d", m, c.View().Epoch)
	}
	// The address is free again, the node id is not.
	other := openConfig(t, s)
	if m := mustJoin(t, other, "h0:1"); m.Node != 1 {
		t.Fatalf("joined as %v", m)
	}
}

func testSegments(t *testing.T, b backend) {
	c := found(t, b.open(t), 1)
	ctx := testContext(t)
	for _, name := range []string{"", "a b", "a/b", "-a", ".a", "ä", strings.Repeat("a", 129)} {
		_, err := c.Create(ctx, name, 1, Attrs{})
		wantErr(t, err, ErrBadName)
	}
	for _, pages := range []uint64{0, uint64(addr.Pages) + 1, math.MaxUint64} {
		_, err := c.Create(ctx, "a", pages, Attrs{})
		wantErr(t, err, ErrBadSize)
	}
	for _, attrs := range []Attrs{{Model: "sequential"}, {Home: "nowhere"}, {Replicas: 3}, {Replicas: -1}} {
		_, err := c.Create(ctx, "a", 1, attrs)
		wantErr(t, err, ErrBadAttrs)
	}
	wantErr(t, c.Remove(ctx, "a"), ErrNotFound)

	diff(t, "first", mustCreate(t, c, "a", 10), Segment{"a", 0, 10, 1, Attrs{"strong", "spread", 1}})
	weak := Attrs{"weak", "first-touch", 2}
	s, err := c.Create(ctx, "b", 5, weak)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "second", s, Segment{"b", 10, 5, 2, weak})
	_, err = c.Create(ctx, "b", 1, Attrs{})
	wantErr(t, err, ErrExists)
	mustCreate(t, c, "c", 1)
	mustRemove(t, c, "b")
	// The first free range that is long enough, with a new generation.
	for _, want := range []Segment{
		{"d", 16, 6, 4, Attrs{"strong", "spread", 1}},
		{"e", 10, 4, 5, Attrs{"strong", "spread", 1}},
		{"f", 14, 1, 6, Attrs{"strong", "spread", 1}},
		{"g", 22, uint64(addr.Pages) - 22, 7, Attrs{"strong", "spread", 1}},
	} {
		diff(t, "reuse", mustCreate(t, c, want.Name, want.Pages), want)
	}
	_, err = c.Create(ctx, "h", 1, Attrs{})
	wantErr(t, err, ErrNoSpace)

	v := c.View()
	for page, name := range map[addr.PageNum]string{
		0: "a", 9: "a", 10: "e", 13: "e", 14: "f", 15: "c", 21: "d", 22: "g", math.MaxUint32: "g",
	} {
		if s, ok := v.SegmentAt(page); !ok || s.Name != name {
			t.Fatalf("%v is in %v, %v, want %s", page, s, ok, name)
		}
	}
	mustRemove(t, c, "f")
	if s, ok := c.View().SegmentAt(14); ok {
		t.Fatalf("page 14 is in %v", s)
	}
	if _, ok := v.SegmentAt(14); !ok {
		t.Fatal("a view changed")
	}
	for _, s := range c.View().Segments {
		mustRemove(t, c, s.Name)
	}
	whole := mustCreate(t, c, "whole", uint64(addr.Pages))
	if whole.First != 0 || whole.Generation != 8 {
		t.Fatalf("the whole space is %v, generation %d", whole, whole.Generation)
	}
}

func testConcurrentCreators(t *testing.T, b backend) {
	const creators, each = 4, 6
	s := b.open(t)
	c := found(t, s, 1)
	twin := b.twin(t, s)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []Segment
	for i := range creators {
		own := openConfig(t, []Store{s, twin}[i%2])
		wg.Go(func() {
			for j := range each {
				name := fmt.Sprintf("s%d-%d", i, j)
				seg, err := own.Create(testContext(t), name, uint64(1+(i+j)%3), Attrs{})
				if err != nil {
					t.Error(err)
					return
				}
				if got, ok := own.View().Segment(name); !ok || got != seg {
					t.Errorf("created %v, the view has %v", seg, got)
				}
				mu.Lock()
				all = append(all, seg)
				mu.Unlock()
				if j%3 == 2 {
					if err := own.Remove(testContext(t), name); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	generations := map[uint32]bool{}
	for _, s := range all {
		generations[s.Generation] = true
	}
	if len(generations) != creators*each {
		t.Fatalf("%d generations of %d segments", len(generations), creators*each)
	}
	if _, err := c.Wait(testContext(t), func(v *View) bool {
		return v.head.Generation == creators*each && len(v.Segments) == creators*each*2/3
	}); err != nil {
		t.Fatal(err)
	}
	checkSegments(t, c.View())
}

// checkSegments states the invariant of a view's segments.
func checkSegments(t tb, v *View) {
	t.Helper()
	var end uint64
	for _, s := range v.Segments {
		if uint64(s.First) < end || s.Pages == 0 || s.end() > uint64(addr.Pages) {
			t.Fatalf("%v after page %d", s, end)
		}
		if s.Generation == 0 || s.Generation > v.head.Generation {
			t.Fatalf("%v has generation %d of %d", s, s.Generation, v.head.Generation)
		}
		end = s.end()
	}
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
	if v := <-views; len(v.Segments) != 1 {
		t.Fatalf("the next view has %v", v.Segments)
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
	if last.Segments[0].Generation != 6 {
		t.Fatalf("the last view has %v", last.Segments)
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
	if len(reader.View().Segments) != 1 {
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
			t.Fatalf("after %v was created, Sync sees %v", created, v.Segments)
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
			if m := mustJoin(t, c, "h0:1"); m.Node != 0 || c.View().Epoch != 2 || len(c.View().Members) != 1 {
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
	v, err := c.Wait(testContext(t), func(v *View) bool { return len(v.Members) == 1 })
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
		if len(c.View().Segments) != 1 {
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
	mustTxn(t, s, nil, Put(prefixMember+"00000", encode(Member{Address: "h0:1", Incarnation: 1, Joined: 2, State: Alive})))
	if err := <-told; err != nil {
		t.Fatalf("told %v, want that all is well", err)
	}
	if v := <-views; len(v.Members) != 1 || c.Err() != nil {
		t.Fatalf("the next view is %+v; %v", v, c.Err())
	}
	mustCreate(t, c, "a", 1)
	if v := <-views; len(v.Segments) != 1 {
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
	if v, err := c.Await(testContext(t), patience, (*View).Complete); err != nil || len(v.Members) != 2 {
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

// firstFitTwin looks at every page.
func firstFitTwin(segments []Segment, pages, space uint64) (uint64, bool) {
	used := make([]bool, space)
	for _, s := range segments {
		for p := uint64(s.First); p < s.end(); p++ {
			used[p] = true
		}
	}
	for first := uint64(0); first+pages <= space; first++ {
		if !slices.Contains(used[first:first+pages], true) {
			return first, true
		}
	}
	return 0, false
}

func TestFirstFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const space = 32
		var segments []Segment
		for end := uint64(0); end < space; {
			s := Segment{
				First: addr.PageNum(end + rapid.Uint64Range(0, 4).Draw(t, "gap")),
				Pages: rapid.Uint64Range(1, 8).Draw(t, "pages"),
			}
			if s.end() > space {
				break
			}
			segments = append(segments, s)
			end = s.end()
		}
		pages := rapid.Uint64Range(1, space).Draw(t, "wanted")
		first, ok := firstFit(segments, pages, space)
		wantFirst, wantOK := firstFitTwin(segments, pages, space)
		if ok != wantOK || ok && first != wantFirst {
			t.Fatalf("firstFit(%v, %d) = %d, %v, want %d, %v", segments, pages, first, ok, wantFirst, wantOK)
		}
	})
}

// Two nodes create and remove at random, beside a map of names.
func TestSegmentsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := NewMemory()
		defer s.Close()
		configs := []*Config{found(t, s, 1), openConfig(t, s)}
		there := map[string]Segment{}
		var generation uint32
		names := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		config := rapid.SampledFrom(configs)
		t.Repeat(map[string]func(*rapid.T){
			"create": func(t *rapid.T) {
				name := names.Draw(t, "name")
				pages := rapid.SampledFrom([]uint64{1, 2, 3, uint64(addr.Pages) / 2, uint64(addr.Pages)}).Draw(t, "pages")
				got, err := config.Draw(t, "node").Create(testContext(t), name, pages, Attrs{})
				var free []Segment
				for _, s := range there {
					free = append(free, s)
				}
				slices.SortFunc(free, func(a, b Segment) int { return int(int64(a.First) - int64(b.First)) })
				first, fits := firstFit(free, pages, uint64(addr.Pages))
				if _, exists := there[name]; exists {
					wantErr(t, err, ErrExists)
				} else if !fits {
					wantErr(t, err, ErrNoSpace)
				} else {
					generation++
					want := Segment{name, addr.PageNum(first), pages, generation, Attrs{"strong", "spread", 1}}
					if err != nil {
						t.Fatal(err)
					}
					diff(t, "created", got, want)
					there[name] = want
				}
			},
			"remove": func(t *rapid.T) {
				name := names.Draw(t, "name")
				err := config.Draw(t, "node").Remove(testContext(t), name)
				if _, exists := there[name]; !exists {
					wantErr(t, err, ErrNotFound)
				} else if err != nil {
					t.Fatal(err)
				}
				delete(there, name)
			},
			"": func(t *rapid.T) {
				for _, c := range configs {
					checkSegments(t, c.View())
				}
			},
		})
	})
}
