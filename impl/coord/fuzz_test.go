package coord

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tidwall/btree"

	"github.com/mome-dsm/mome/impl/addr"
)

// founded is the records of a cluster with a member and a segment.
func founded() []Op {
	c := Cluster{ID: "c", Nodes: 3, Fanout: 2, Slots: 8, Transport: "tcp", Base: addr.DefaultBase, Repair: time.Second, PageSize: addr.PageSize, Format: format}
	m := Member{Address: "a:1", Incarnation: 1, Joined: 2, Instance: "i"}
	s := Segment{Name: "s", First: 16, Pages: 16, Generation: 1, Attrs: Attrs{Home: "block"}}
	return []Op{
		Put(keyCluster, encode(c)), Put(keyHead, encode(head{Epoch: 2, Generation: 1})),
		Put(m.key(), encode(m)), Put(prefixSegments+s.Name, encode(s)),
	}
}

// FuzzView gives a view one record more, with any key and any value. What it
// refuses is ErrBadConfig; what it takes leaves a view that keeps its promises,
// and that a store with its records gives back. The view before never changes.
func FuzzView(f *testing.F) {
	for _, op := range founded() {
		f.Add(op.Key, op.Value, false)
		f.Add(op.Key, []byte(nil), true)
	}
	f.Add("member/00001", []byte(`{"node":1,"address":"b:1","incarnation":1,"joined":3,"instance":"j"}`), false)
	f.Add("segment/t", []byte(`{"name":"t","first":0,"pages":17,"generation":2}`), false)
	f.Add("segment/t", []byte(`{"name":"t","first":4294967295,"pages":18446744073709551615,"generation":2}`), false)
	f.Add("elsewhere", []byte("no JSON"), false)
	f.Fuzz(func(t *testing.T, key string, value []byte, remove bool) {
		before, err := (&View{}).after(Event{Rev: 1, Ops: founded()})
		if err != nil {
			t.Fatal(err)
		}
		kept, err := (&View{}).after(Event{Rev: 1, Ops: founded()})
		if err != nil {
			t.Fatal(err)
		}
		got, err := before.after(Event{Rev: 2, Ops: []Op{{Key: key, Value: value, Delete: remove}}})
		if d := cmp.Diff(kept, before, sameViews); d != "" {
			t.Fatalf("the view before has changed: %s", d)
		}
		if err != nil {
			if !errors.Is(err, ErrBadConfig) || got != nil {
				t.Fatalf("%v with the view %+v, want ErrBadConfig alone", err, got)
			}
			return
		}
		checkView(t, got)
		again, err := newView(stored(got), got.Rev)
		if err != nil {
			t.Fatalf("%v, for the records of %+v", err, got)
		}
		if d := cmp.Diff(got, again, sameViews, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("the records give another view: %s", d)
		}
	})
}

// sameViews compares tables by what is in them. Which changes they remember is not
// part of what views say.
var sameViews = cmp.Options{
	cmp.AllowUnexported(View{}, head{}),
	cmpopts.IgnoreFields(View{}, "changes"),
	cmp.Transformer("Joined", func(members btree.Map[addr.NodeID, Member]) []Member { return members.Values() }),
	cmp.Comparer(func(a, b *table) bool {
		if a == nil || b == nil {
			a, b = orEmpty(a), orEmpty(b)
		}
		return slices.EqualFunc(slices.Collect(a.all()), slices.Collect(b.all()), func(s, t *Segment) bool { return *s == *t }) &&
			slices.Equal(a.gaps.Keys(), b.gaps.Keys()) && slices.Equal(a.names.Keys(), b.names.Keys())
	}),
}

func orEmpty(t *table) *table {
	if t == nil {
		return newTable(addr.DefaultBase)
	}
	return t
}

// checkView is what the comments of View promise.
func checkView(t *testing.T, v *View) {
	t.Helper()
	if err := v.Cluster.check(); err != nil {
		t.Errorf("the cluster: %v", err)
	}
	joined := v.Joined()
	for i, m := range joined {
		if m.missing() || v.Member(m.Node) != m || i > 0 && m.Node <= joined[i-1].Node {
			t.Errorf("member %d of %v is %v, and node %d is %v", i, joined, m, m.Node, v.Member(m.Node))
		}
	}
	if v.Nodes() != len(joined) {
		t.Errorf("%d nodes have joined, %d are known", v.Nodes(), len(joined))
	}
	var end uint64
	for s := range v.Segments() {
		if uint64(s.First) < end || s.Pages == 0 || s.end() > uint64(addr.Pages) || s.end() < uint64(s.First) {
			t.Errorf("%v begins before page %d, or ends beyond the space", s, end)
		}
		end = s.end()
		if at, ok := v.SegmentAt(s.First); !ok || at.Name != s.Name {
			t.Errorf("page %d belongs to %v, %v; want %v", s.First, at, ok, s)
		}
		if at, ok := v.Segment(s.Name); !ok || at != s {
			t.Errorf("%q is %v, %v; want %v", s.Name, at, ok, s)
		}
	}
}

// stored is the records of a view as a store lists them.
func stored(v *View) []Entry {
	list := []Entry{{Key: keyCluster, Value: encode(v.Cluster)}, {Key: keyHead, Value: encode(v.head), ModRev: v.headRev}}
	for _, m := range v.Joined() {
		list = append(list, Entry{Key: m.key(), Value: encode(m)})
	}
	for s := range v.Segments() {
		list = append(list, Entry{Key: prefixSegments + s.Name, Value: encode(s)})
	}
	return list
}

// FuzzRecord: what is decoded from a record and encoded again decodes to the
// same.
func FuzzRecord(f *testing.F) {
	for _, op := range founded() {
		f.Add(op.Value)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		for _, r := range []struct{ first, second any }{
			{new(Cluster), new(Cluster)}, {new(head), new(head)}, {new(Member), new(Member)}, {new(Segment), new(Segment)},
		} {
			if err := decode("key", value, r.first); err != nil {
				if !errors.Is(err, ErrBadConfig) {
					t.Fatal(err)
				}
				continue
			}
			if err := decode("key", encode(r.first), r.second); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(r.first, r.second, cmp.AllowUnexported(head{})); d != "" {
				t.Fatal(d)
			}
		}
	})
}
