package protocol

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
)

// TestConfigurationChange takes segments away and adds others, beside a list: each
// configuration keeps its own.
func TestConfigurationChange(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	conf := (&Configuration{}).WithSegments(nil)
	var list []Segment
	for generation := uint64(1); generation < 400; generation++ {
		before, kept := conf, slices.Clone(list)
		var gone, made []Segment
		list = slices.DeleteFunc(list, func(s Segment) bool {
			if random.IntN(8) != 0 {
				return false
			}
			gone = append(gone, s)
			return true
		})
		s := Segment{First: addr.PageNum(random.IntN(300) * 10), Pages: int64(1 + random.IntN(10)), Generation: generation}
		if !slices.ContainsFunc(list, func(o Segment) bool { return o.First == s.First }) {
			made = append(made, s)
			list = append(list, s)
		}
		slices.SortFunc(list, func(a, b Segment) int { return int(int64(a.First) - int64(b.First)) })
		conf = conf.Change(gone, made)
		if !slices.Equal(conf.Segments(), list) || !slices.Equal(before.Segments(), kept) {
			t.Fatalf("generation %d: %v and before %v, want %v and %v", generation, conf.Segments(), before.Segments(), list, kept)
		}
		missing := before.Gone(conf)
		slices.SortFunc(gone, func(a, b Segment) int { return int(int64(a.First) - int64(b.First)) })
		if !slices.Equal(missing, gone) {
			t.Fatalf("generation %d: %v are gone, want %v", generation, missing, gone)
		}
		p := addr.PageNum(random.IntN(3000))
		i := slices.IndexFunc(list, func(s Segment) bool { return s.Contains(p) })
		if got := conf.Segment(p); (got == nil) != (i < 0) || got != nil && *got != list[i] {
			t.Fatalf("page %d is in %v, of %v", p, got, list)
		}
	}
}

// BenchmarkConfigurationSegment is what a look-up costs that is not at hand.
func BenchmarkConfigurationSegment(b *testing.B) {
	for _, n := range []int{1, 10, 10_000} {
		var list []Segment
		for i := range n {
			list = append(list, Segment{First: addr.PageNum(i * 16), Pages: 16, Generation: uint64(i + 1)})
		}
		conf := (&Configuration{}).WithSegments(list)
		b.Run(fmt.Sprint("segments=", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i = (i + 7919) % (16 * n)
				if conf.Segment(addr.PageNum(i)) == nil {
					b.Fatal(i)
				}
			}
		})
	}
}
