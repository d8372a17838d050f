package coord

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mome-dsm/mome/impl/addr"
)

// segmentEvent is the transaction that puts a segment, or deletes it.
func segmentEvent(rev int64, s Segment, remove bool) Event {
	op := Put(prefixSegments+s.Name, encode(s))
	if remove {
		op = Delete(prefixSegments + s.Name)
	}
	return Event{Rev: rev, Ops: []Op{op}}
}

// TestTable changes views at random, beside a list: room, order of names and pages,
// and what has changed since any view before, are those of the list. No view
// changes.
func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, err := (&View{}).after(Event{Rev: 1, Ops: founded()[:3]})
		if err != nil {
			t.Fatal(err)
		}
		type past struct {
			view *View
			list []Segment
		}
		var list []Segment // in the order of pages
		history := []past{{v, nil}}
		t.Repeat(map[string]func(*rapid.T){
			"create": func(t *rapid.T) {
				pages := rapid.Uint64Range(1, 6).Draw(t, "pages")
				if rapid.IntRange(0, 9).Draw(t, "huge") == 0 {
					pages = uint64(addr.Pages) / 3
				}
				first, ok := v.room(pages)
				want, wantOK := roomTwin(list, pages)
				if ok != wantOK || ok && uint64(first) != want {
					t.Fatalf("room for %d pages is at %d, %v, want %d, %v: %v", pages, first, ok, want, wantOK, list)
				}
				if !ok {
					return
				}
				// Few names: they come again, with the same pages and with others.
				name := fmt.Sprint("s", rapid.IntRange(0, 7).Draw(t, "name"))
				if slices.ContainsFunc(list, func(s Segment) bool { return s.Name == name }) {
					t.Skip("the name is taken")
				}
				s := Segment{Name: name, First: first, Pages: pages, Generation: uint64(v.Rev)}
				if v, err = v.after(segmentEvent(v.Rev+1, s, false)); err != nil {
					t.Fatal(err)
				}
				list = append(slices.Clone(list), s)
				slices.SortFunc(list, func(a, b Segment) int { return int(int64(a.First) - int64(b.First)) })
				history = append(history, past{v, list})
			},
			"remove": func(t *rapid.T) {
				if len(list) == 0 {
					t.Skip("there is none")
				}
				i := rapid.IntRange(0, len(list)-1).Draw(t, "which")
				if v, err = v.after(segmentEvent(v.Rev+1, list[i], true)); err != nil {
					t.Fatal(err)
				}
				list = slices.Delete(slices.Clone(list), i, i+1)
				history = append(history, past{v, list})
			},
			"": func(t *rapid.T) {
				old := history[rapid.IntRange(0, len(history)-1).Draw(t, "since")]
				same := func(what string, got, want []Segment) {
					t.Helper()
					diff(t, what, append([]Segment{}, got...), append([]Segment{}, want...))
				}
				same("a view of the past", segmentsOf(old.view), old.list)
				byName := slices.Clone(list)
				slices.SortFunc(byName, func(a, b Segment) int { return strings.Compare(a.Name, b.Name) })
				same("by name", slices.Collect(v.SegmentsAfter("")), byName)
				// By its memory of the changes, and without.
				forgetful := *v
				forgetful.changes = changes{from: v.Rev}
				for _, v := range []*View{v, &forgetful} {
					gone, made := v.Since(old.view)
					wantGone, wantMade := without(old.list, list), without(list, old.list)
					for _, l := range [][]Segment{gone, made, wantGone, wantMade} {
						slices.SortFunc(l, func(a, b Segment) int { return int(a.Generation) - int(b.Generation) })
					}
					same(fmt.Sprintf("gone since %d", old.view.Rev), gone, wantGone)
					same(fmt.Sprintf("made since %d", old.view.Rev), made, wantMade)
				}
			},
		})
	})
}

// without is the segments of a list that are not in another one.
func without(list, other []Segment) []Segment {
	return slices.DeleteFunc(slices.Clone(list), func(s Segment) bool {
		return slices.ContainsFunc(other, func(o Segment) bool { return o.Generation == s.Generation })
	})
}

// TestForgottenChanges: a view that is too old is compared, and nothing is missed.
func TestForgottenChanges(t *testing.T) {
	v, err := (&View{}).after(Event{Rev: 1, Ops: founded()[:3]})
	if err != nil {
		t.Fatal(err)
	}
	first := v
	var middle *View
	const all = 5*keptChanges + 7
	for i := range all {
		s := Segment{Name: fmt.Sprint(i), First: addr.PageNum(i), Pages: 1, Generation: uint64(i + 1)}
		if v, err = v.after(segmentEvent(v.Rev+1, s, false)); err != nil {
			t.Fatal(err)
		}
		if i == all-keptChanges-1 {
			middle = v
		}
	}
	if n := len(v.changes.list); n < keptChanges || n > 2*keptChanges {
		t.Errorf("%d changes are kept", n)
	}
	if gone, made := v.Since(first); len(gone) != 0 || len(made) != all {
		t.Errorf("since the first view %d segments are gone and %d are made", len(gone), len(made))
	}
	if gone, made := v.Since(nil); len(gone) != 0 || len(made) != all {
		t.Errorf("since there was nothing %d segments are gone and %d are made", len(gone), len(made))
	}
	if middle.Rev < v.changes.from {
		t.Errorf("the last %d changes are not kept", keptChanges)
	}
	if gone, made := v.Since(middle); len(gone) != 0 || len(made) != keptChanges {
		t.Errorf("%d segments are gone and %d are made", len(gone), len(made))
	}
}

// sized is a view with so many segments of two pages, with a gap of one behind each.
func sized(t testing.TB, segments int) *View {
	t.Helper()
	v, err := (&View{}).after(Event{Rev: 1, Ops: founded()[:3]})
	if err != nil {
		t.Fatal(err)
	}
	for i := range segments {
		s := Segment{Name: fmt.Sprintf("s%05d", i), First: addr.PageNum(3 * i), Pages: 2, Generation: uint64(i + 1)}
		if v, err = v.after(segmentEvent(v.Rev+1, s, false)); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// createAndRemove is what a Config does for a create and a remove that were
// committed, and what a node asks then.
func createAndRemove(t testing.TB, v *View, name string) *View {
	first, ok := v.room(2)
	if !ok {
		t.Fatal("no room")
	}
	s := Segment{Name: name, First: first, Pages: 2, Generation: 1 << 20}
	for _, remove := range []bool{false, true} {
		next, err := v.after(segmentEvent(v.Rev+1, s, remove))
		if err != nil {
			t.Fatal(err)
		}
		if gone, made := next.Since(v); len(gone)+len(made) != 1 {
			t.Fatalf("%v are gone and %v are made", gone, made)
		}
		if _, ok := next.Segment(name); ok == remove {
			t.Fatalf("%s is there: %v", name, ok)
		}
		v = next
	}
	return v
}

// TestChangeCosts: a change costs the same work with 10 segments and with 10,000,
// but for the logarithm: two levels of the trees more.
func TestChangeCosts(t *testing.T) {
	cost := func(segments int) (allocations, bytes float64) {
		v := sized(t, segments)
		var before, after runtime.MemStats
		const runs = 200
		runtime.ReadMemStats(&before)
		allocations = testing.AllocsPerRun(runs, func() { v = createAndRemove(t, v, "s01234x") })
		runtime.ReadMemStats(&after)
		return allocations, float64(after.TotalAlloc-before.TotalAlloc) / (runs + 1)
	}
	few, fewBytes := cost(10)
	many, manyBytes := cost(10_000)
	t.Logf("with 10 segments %.0f allocations and %.0f bytes, with 10,000 %.0f and %.0f", few, fewBytes, many, manyBytes)
	if many > 4*few || manyBytes > 8*fewBytes {
		t.Errorf("a create and a remove make %.0f allocations of %.0f bytes with 10 segments, and %.0f of %.0f with 10,000", few, fewBytes, many, manyBytes)
	}
}

func BenchmarkChange(b *testing.B) {
	for _, segments := range []int{10, 10_000} {
		b.Run(fmt.Sprint("segments=", segments), func(b *testing.B) {
			v := sized(b, segments)
			b.ReportAllocs()
			for b.Loop() {
				v = createAndRemove(b, v, "s01234x")
			}
		})
	}
}
