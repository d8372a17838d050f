package bench

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestPercentile(t *testing.T) {
	ten := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for _, c := range []struct {
		samples []float64
		p, want float64
	}{
		{nil, 50, 0},
		{[]float64{7}, 1, 7},
		{[]float64{7}, 50, 7},
		{[]float64{7}, 99, 7},
		{ten, 0, 1},
		{ten, 1, 1},
		{ten, 10, 1},
		{ten, 11, 2},
		{ten, 50, 5},
		{ten, 99, 10},
		{ten, 100, 10},
	} {
		if got := percentile(c.samples, c.p); got != c.want {
			t.Errorf("percentile %v of %v is %v, not %v", c.p, c.samples, got, c.want)
		}
	}
}

// TestPercentileCounts compares with the definition.
func TestPercentileCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		samples := rapid.SliceOfN(rapid.Float64Range(0, 100), 1, 50).Draw(t, "samples")
		p := rapid.Float64Range(0, 100).Draw(t, "p")
		slices.Sort(samples)
		got := percentile(samples, p)
		below, reached := 0, 0
		for _, s := range samples {
			if s < got {
				below++
			}
			if s <= got {
				reached++
			}
		}
		need := p / 100 * float64(len(samples))
		if float64(reached) < need || below > 0 && float64(below) >= need {
			t.Fatalf("%v is no percentile %v of %v", got, p, samples)
		}
	})
}

func TestSummarize(t *testing.T) {
	for _, c := range []struct {
		name   string
		series series
		higher bool
		want   summary
	}{
		{"nothing", nil, false, summary{}},
		{"empty blocks", series{{}, {}}, false, summary{}},
		{"one block", series{{3, 1, 2}}, false, summary{p50: 2, p99: 3, samples: 3}},
		{"blocks alike", series{{1, 2, 3}, {}, {3, 2, 1}}, false, summary{p50: 2, p99: 3, samples: 6}},
		{"blocks that differ", series{{1, 1, 1}, {3, 3, 3}, {2, 2, 2}}, false, summary{p50: 2, p99: 3, samples: 9, spread: 1}},
		{"rates", series{{10}, {20}, {30}}, true, summary{p50: 20, p99: 10, samples: 3, spread: 1}},
	} {
		if got := c.series.summarize(c.higher); got != c.want {
			t.Errorf("%s: %+v, not %+v", c.name, got, c.want)
		}
	}
}

func TestMicros(t *testing.T) {
	if got, want := micros([]int64{1050, 40, 50}, 50), []float64{1, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
}

func TestHandoffs(t *testing.T) {
	one := []turn{{1, 0, 1000}, {3, 7000, 8000}, {4, 8500, 9000}, {6, 14000, 15000}}
	two := []turn{{2, 3000, 4000}, {5, 11000, 12000}}
	// 2 was two's first turn; 3 after 2; 4 followed its own 3; 5 after 4; 6 after 5.
	if got, want := handoffs(one, two), []float64{2, 3, 2}; !sameSet(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
}

func sameSet(a, b []float64) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// TestPageOffsets checks that no order of the pages is a sequence.
func TestPageOffsets(t *testing.T) {
	b := &bed{cfg: &Config{Nodes: 2}, first: 3}
	got := pageOffsets(0, 200, func(page int64) bool { return b.home(page) == 1 })
	if len(got) != 200 {
		t.Fatalf("%d pages", len(got))
	}
	rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	seen := make(map[int64]bool)
	for _, off := range got {
		seen[off/pageSize] = true
	}
	for page := range seen {
		if seen[page+1] {
			t.Errorf("page %d and the next", page)
		}
		if home := b.home(page); home != 1 {
			t.Errorf("the home of page %d is node %d", page, home)
		}
	}
}

func TestFirstNumber(t *testing.T) {
	for text, want := range map[string]uint64{"": 0, "12 34 5\n": 12, "\t7\n": 7, "x": 0} {
		if got := firstNumber(text); got != want {
			t.Errorf("%q: %d, not %d", text, got, want)
		}
	}
}
