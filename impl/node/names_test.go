package node

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/coord"
)

// storedHead is the record in the store that every change of the configuration
// writes.
func storedHead(t testing.TB, n *Node) map[string]any {
	t.Helper()
	entry, err := n.store.Get(context.Background(), "head")
	if err != nil {
		t.Fatal(err)
	}
	head := make(map[string]any)
	if err := json.Unmarshal(entry.Value, &head); err != nil {
		t.Fatal(err)
	}
	return head
}

// fill puts so many segments of one page into the store, some hundred with each
// transaction, and waits until the node has them.
func fill(t testing.TB, n *Node, segments int) {
	t.Helper()
	ctx := context.Background()
	head := storedHead(t, n)
	for i := 0; i < segments; {
		var ops []coord.Op
		for ; i < segments && len(ops) < coord.MaxOps-1; i++ {
			name := fmt.Sprintf("s%05d", i)
			text, err := json.Marshal(coord.Segment{Name: name, First: addr.PageNum(2 * i), Pages: 1, Generation: uint64(i + 1),
				Attrs: coord.Attrs{Home: "spread"}})
			if err != nil {
				t.Fatal(err)
			}
			ops = append(ops, coord.Put("segment/"+name, text))
		}
		head["generation"] = i
		text, err := json.Marshal(head)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := n.store.Txn(ctx, nil, append(ops, coord.Put("head", text))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.config.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	await(t, "the node has the segments", func() bool { return n.segments.Load().pages.Len() == segments })
}

// createAndRemove does so through the store, and waits until the node has applied
// both.
func createAndRemove(t testing.TB, n *Node) {
	ctx := context.Background()
	s, err := n.config.Create(ctx, "x", 1, coord.Attrs{})
	if err != nil {
		t.Fatal(err)
	}
	if n.awaitSegment(s) == nil {
		t.Fatalf("%v is not there", s)
	}
	if err := n.config.Remove(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	n.applying.Lock()
	defer n.applying.Unlock()
	for n.applied < n.config.View().Rev {
		n.appliedChanged.Wait()
	}
	if n.segmentOf(s) != nil {
		t.Fatalf("%v is there", s)
	}
}

// TestNameCosts: a create and a remove, the store and the node together, make no
// more with 10,000 segments than with 10.
func TestNameCosts(t *testing.T) {
	cost := func(segments int) float64 {
		n := startNodes(t, 1, func(c *Config) { c.Directory = "" })[0]
		fill(t, n, segments)
		createAndRemove(t, n)
		const runs = 30
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			createAndRemove(t, n)
		}
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc-before.TotalAlloc) / runs
	}
	few, many := cost(10), cost(10_000)
	t.Logf("with 10 segments %.0f bytes, with 10,000 %.0f", few, many)
	if many > 2*few {
		t.Errorf("a create and a remove allocate %.0f bytes with 10 segments, and %.0f with 10,000", few, many)
	}
}

// BenchmarkNames is a create and a remove, until the node has applied them.
func BenchmarkNames(b *testing.B) {
	for _, segments := range []int{10, 10_000} {
		b.Run(fmt.Sprint("segments=", segments), func(b *testing.B) {
			n := startNodes(b, 1, func(c *Config) { c.Directory = "" })[0]
			fill(b, n, segments)
			b.ReportAllocs()
			for b.Loop() {
				createAndRemove(b, n)
			}
		})
	}
}
