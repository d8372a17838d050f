package coord

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
)

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
	want.ID, want.Format, want.PageSize, want.Base = fmt.Sprint("cluster-", winner), format, addr.PageSize, addr.DefaultBase
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
		func(c *Cluster) { c.Base = addr.DefaultBase + addr.PageSize },
		func(c *Cluster) { c.Base = addr.MostEnd },
		func(c *Cluster) { c.Residence = -1 },
		func(c *Cluster) { c.Repair = 0 },
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
	if v := c.View(); v.Cluster.Nodes != nodes || v.Ended != "" || v.Epoch != 1 || v.Nodes()+v.Len() > 0 || v.Generation != 0 {
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
		"join":   func(c *Config) error { _, err := c.Join(testContext(t), "h1:1"); return err },
		"create": func(c *Config) error { _, err := c.Create(testContext(t), "b", 1, Attrs{}); return err },
		"remove": func(c *Config) error { return c.Remove(testContext(t), "a") },
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
	if err != nil || v.Ended != "node 0 was stopped" || v.Len() != 1 || v.Nodes() != 2 {
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
		if v := c.View(); v.Len() != 1 || segmentsOf(v)[0].Name != "a" {
			t.Errorf("%s: the last view is %+v", name, v)
		}
		c.Close()
	}
	if v, err := young.Sync(testContext(t)); err != nil || v.Ended != "" || v.Len() != 1 {
		t.Fatalf("the new cluster is %+v, %v", v, err)
	}
}
