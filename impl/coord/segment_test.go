package coord

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"pgregory.net/rapid"
)

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
	for _, attrs := range []Attrs{{Home: "nowhere"}, {Home: "first-touch"}} {
		_, err := c.Create(ctx, "a", 1, attrs)
		wantErr(t, err, ErrBadAttrs)
	}
	wantErr(t, c.Remove(ctx, "a"), ErrNotFound)

	diff(t, "first", mustCreate(t, c, "a", 10), Segment{"a", 0, 10, 1, Attrs{"spread", ""}})
	block := Attrs{"block", ""}
	s, err := c.Create(ctx, "b", 5, block)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "second", s, Segment{"b", 10, 5, 2, block})
	_, err = c.Create(ctx, "b", 1, Attrs{})
	wantErr(t, err, ErrExists)
	mustCreate(t, c, "c", 1)
	mustRemove(t, c, "b")
	// The first free range that is long enough, with a new generation.
	for _, want := range []Segment{
		{"d", 16, 6, 4, Attrs{"spread", ""}},
		{"e", 10, 4, 5, Attrs{"spread", ""}},
		{"f", 14, 1, 6, Attrs{"spread", ""}},
		{"g", 22, uint64(addr.Pages) - 22, 7, Attrs{"spread", ""}},
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
	for _, s := range segmentsOf(c.View()) {
		mustRemove(t, c, s.Name)
	}
	whole := mustCreate(t, c, "whole", uint64(addr.Pages))
	if whole.First != 0 || whole.Generation != 8 {
		t.Fatalf("the whole space is %v, generation %d", whole, whole.Generation)
	}
}

// Where the space begins decides how much of it there is.
func testNarrowBase(t *testing.T, b backend) {
	s := b.open(t)
	cluster := testCluster(1)
	cluster.Base = addr.NarrowBase
	ctx := testContext(t)
	if err := Found(ctx, s, cluster); err != nil {
		t.Fatal(err)
	}
	c := openConfig(t, s)
	pages := uint64(addr.NarrowBase.Pages())
	_, err := c.Create(ctx, "a", pages+1, Attrs{})
	wantErr(t, err, ErrBadSize)
	mustCreate(t, c, "a", pages)
	_, err = c.Create(ctx, "b", 1, Attrs{})
	wantErr(t, err, ErrNoSpace)
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
	generations := map[uint64]bool{}
	for _, s := range all {
		generations[s.Generation] = true
	}
	if len(generations) != creators*each {
		t.Fatalf("%d generations of %d segments", len(generations), creators*each)
	}
	if _, err := c.Wait(testContext(t), func(v *View) bool {
		return v.head.Generation == creators*each && v.Len() == creators*each*2/3
	}); err != nil {
		t.Fatal(err)
	}
	checkSegments(t, c.View())
}

// checkSegments states the invariant of a view's segments.
func checkSegments(t tb, v *View) {
	t.Helper()
	var end uint64
	for s := range v.Segments() {
		if uint64(s.First) < end || s.Pages == 0 || s.end() > uint64(addr.Pages) {
			t.Fatalf("%v after page %d", s, end)
		}
		if s.Generation == 0 || s.Generation > v.head.Generation {
			t.Fatalf("%v has generation %d of %d", s, s.Generation, v.head.Generation)
		}
		end = s.end()
	}
}

func segmentsOf(v *View) []Segment { return slices.Collect(v.Segments()) }

// roomTwin looks at every gap between segments, which are in order.
func roomTwin(segments []Segment, pages uint64) (best uint64, ok bool) {
	var begin, least uint64
	try := func(end uint64) {
		if n := end - begin; n >= pages && (!ok || n < least) {
			best, least, ok = begin, n, true
		}
	}
	for _, s := range segments {
		try(uint64(s.First))
		begin = s.end()
	}
	try(uint64(addr.DefaultBase.Pages()))
	return best, ok
}

// Two nodes create and remove at random, beside a map of names.
func TestSegmentsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := NewMemory()
		defer s.Close()
		configs := []*Config{found(t, s, 1), openConfig(t, s)}
		there := map[string]Segment{}
		var generation uint64
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
				first, fits := roomTwin(free, pages)
				if _, exists := there[name]; exists {
					wantErr(t, err, ErrExists)
				} else if !fits {
					wantErr(t, err, ErrNoSpace)
				} else {
					generation++
					want := Segment{name, addr.PageNum(first), pages, generation, Attrs{"spread", ""}}
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
