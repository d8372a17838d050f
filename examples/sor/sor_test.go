package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/examples/internal/team"
	"github.com/mome-dsm/mome/impl/client/clienttest"
)

func TestMain(m *testing.M) { clienttest.Main(m, main) }

// simple is the same computation on one matrix, phase by phase.
func simple(g *grid, iterations int, omega float64) [][]float64 {
	a := make([][]float64, g.rows)
	for i := range a {
		a[i] = make([]float64, g.cols)
		for j := range a[i] {
			a[i][j] = g.row[(i+j)&1][i][j/2]
		}
	}
	keep, gain := 1-omega, omega/4
	for range iterations {
		for colour := range 2 {
			for i := 1; i < g.rows-1; i++ {
				for j := 1; j < g.cols-1; j++ {
					if (i+j)&1 == colour {
						a[i][j] = keep*a[i][j] + gain*((a[i-1][j]+a[i+1][j])+(a[i][j-1]+a[i][j+1]))
					}
				}
			}
		}
	}
	return a
}

func TestUpdateIsTheSimpleComputation(t *testing.T) {
	for _, c := range []config{
		{rows: 3, cols: 3, phases: 1}, {rows: 4, cols: 3, phases: 3}, {rows: 3, cols: 4, phases: 10}, {rows: 9, cols: 8, phases: 4},
		{rows: 31, cols: 1030, phases: 7}, {rows: 64, cols: 64, phases: 1}, {rows: 64, cols: 65, phases: 16},
	} {
		const iterations = 5
		c.omega = 1.7
		g := c.private(0, c.rows)
		want := simple(g, iterations, c.omega)
		c.iterate(g, 0, c.rows, iterations)
		for i := range want {
			for j := range want[i] {
				if got := g.row[(i+j)&1][i][j/2]; math.Float64bits(got) != math.Float64bits(want[i][j]) {
					t.Fatalf("%+v: cell (%d, %d) is %v, want %v", c, i, j, got, want[i][j])
				}
			}
		}
	}
}

func TestPassesAreAllPhases(t *testing.T) {
	for _, c := range []struct{ iterations, most, passes int }{{1, 1, 2}, {1, 16, 1}, {8, 16, 1}, {9, 16, 2}, {100, 16, 13}, {5, 3, 4}} {
		n, next := 0, 0
		for from, to := range passes(c.iterations, c.most) {
			if from != next || to <= from || to-from > c.most {
				t.Errorf("%+v: pass %d is [%d, %d), the one before ended at %d", c, n, from, to, next)
			}
			n, next = n+1, to
		}
		if next != 2*c.iterations || n != c.passes {
			t.Errorf("%+v: %d phases in %d passes", c, next, n)
		}
	}
}

// TestLayout checks that no two half rows overlap, that all pages of a band are
// in its span, and that no page holds cells of two bands, or of an edge and other
// rows.
func TestLayout(t *testing.T) {
	for _, c := range []struct{ rows, cols, bands, edge int }{
		{3, 3, 1, 0}, {10, 1536, 2, 1}, {100, 700, 3, 8}, {256, 9, 64, 1}, {137, 4097, 5, 6},
	} {
		l := newLayout(c.rows, c.cols, c.bands, c.edge)
		cells := map[int64]bool{}
		pages := map[int64]string{}
		rows := 0
		for b := range c.bands {
			lo, hi := l.split(b)
			if lo != rows {
				t.Fatalf("%+v: band %d begins with row %d, the one before ended at %d", c, b, lo, rows)
			}
			rows = hi
			first, size := l.bandSpan(b)
			for colour := range 2 {
				for i := lo; i < hi; i++ {
					owner := fmt.Sprintf("band %d inside", b)
					if i >= hi-c.edge {
						owner = fmt.Sprintf("edge of band %d, colour %d", b, colour)
					}
					for k := range int64(l.half) {
						cell := l.offset[colour][i] + k
						if cells[cell] || cell >= l.size || cell*8 < first || cell*8 >= first+size {
							t.Fatalf("%+v: cell %d of %d is used twice or does not exist", c, cell, l.size)
						}
						cells[cell] = true
						page := cell * 8 / team.PageSize
						if pages[page] == "" {
							pages[page] = owner
						}
						if pages[page] != owner {
							t.Fatalf("%+v: page %d is of %s and of %s", c, page, pages[page], owner)
						}
					}
				}
			}
		}
		if rows != c.rows {
			t.Fatalf("%+v: bands end at row %d", c, rows)
		}
	}
}

func TestRanks(t *testing.T) {
	for _, c := range []struct {
		ranks, rows, phases, iterations int
		ceiling                         bool
	}{
		{1, 100, 16, 20, true}, {2, 100, 16, 20, true},
		{1, 5, 16, 20, false}, {2, 100, 16, 42, false}, {3, 100, 5, 7, false}, {3, 25, 16, 11, false}, {4, 101, 1, 4, false},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			out := clienttest.Run(t, c.ranks, "--rows", fmt.Sprint(c.rows), "--cols", "130", "--phases", fmt.Sprint(c.phases),
				"--iterations", fmt.Sprint(c.iterations), "--json", "--stats", fmt.Sprintf("--ceiling=%v", c.ceiling))
			var r team.Report
			if err := json.Unmarshal([]byte(out[0]), &r); err != nil {
				t.Fatalf("%v: %s", err, out[0])
			}
			alone := &config{rows: c.rows, cols: 130, omega: 1.9, phases: 1}
			g := alone.private(0, c.rows)
			alone.iterate(g, 0, c.rows, c.iterations)
			digest := g.digest()
			if r.Verified == nil || !*r.Verified || r.Digest != digest || r.Ranks != c.ranks {
				t.Errorf("report %+v, want the digest %s verified", r, digest)
			}
			if r.Ceiling > 0 != c.ceiling {
				t.Errorf("the ceiling is %v", r.Ceiling)
			}
			// All ranks are on one node here, whose counters count once.
			if len(r.Nodes) != 1 || r.Nodes[0].Node != 0 || r.Nodes[0].Counters["requests"] == 0 {
				t.Errorf("counters %+v", r.Nodes)
			}
			for rank, text := range out[1:] {
				if text != "" {
					t.Errorf("rank %d says %q", rank+1, text)
				}
			}
		})
	}
}

// TestTooManyRanks checks that ranks which are too many leave nothing behind: the
// program runs on the same node then, with a segment of another size.
func TestTooManyRanks(t *testing.T) {
	daemon := clienttest.Start(t, 2)
	args := []string{"--rows", "15", "--cols", "9", "--iterations", "2"}
	for rank := range 2 {
		status, out := clienttest.RankStatus(t, daemon, rank, 2, args...)
		if status != 2 || !strings.Contains(out, "--rows 15 are not enough for 2 ranks: at least eight for each") || strings.Count(out, "\n") != 1 {
			t.Errorf("rank %d: status %d, %q", rank, status, out)
		}
	}
	if status, out := clienttest.RankStatus(t, daemon, 0, 1, args...); status != 0 || !strings.Contains(out, "verified") {
		t.Errorf("one rank: status %d, %q", status, out)
	}
}

// TestAnotherSize: what a run of another size has left is named, and how it goes.
func TestAnotherSize(t *testing.T) {
	daemon := clienttest.Start(t, 1)
	t.Setenv("MOME_SOCKET", daemon.Socket())
	node, err := mome.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	if _, err := node.Create(t.Context(), "sor", 4096); err != nil {
		t.Fatal(err)
	}
	status, out := clienttest.RankStatus(t, daemon, 0, 1, "--rows", "100", "--cols", "9", "--iterations", "2")
	if status != 1 || !strings.Contains(out, "momenode segment remove sor") || !strings.Contains(out, "--name") || strings.Count(out, "\n") != 1 {
		t.Errorf("status %d, %q", status, out)
	}
}

// TestTooMuchMemory checks that ranks without enough memory create nothing.
func TestTooMuchMemory(t *testing.T) {
	daemon := clienttest.Start(t, 2)
	for rank := range 2 {
		status, out := clienttest.RankStatus(t, daemon, rank, 2, "--rows", "1000000", "--cols", "1000000")
		if status != 1 || !strings.Contains(out, "make --rows or --cols smaller") || strings.Count(out, "\n") != 1 {
			t.Errorf("rank %d: status %d, %q", rank, status, out)
		}
	}
	if status, out := clienttest.RankStatus(t, daemon, 0, 1, "--rows", "9", "--cols", "9", "--iterations", "2"); status != 0 || !strings.Contains(out, "verified") {
		t.Errorf("one rank: status %d, %q", status, out)
	}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"--rows x", 2, "rows"},
		{"--rows 2", 2, "--rows 2"},
		{"--omega 2", 2, "--omega 2"},
		{"--omega NaN", 2, "--omega NaN"},
		{"--iterations 0", 2, "--iterations 0"},
		{"--iterations 4611686018427387904", 2, "--iterations 4611686018427387904: 1 to 1073741824"},
		{"--phases 0", 2, "--phases 0"},
		{"--phases 1025", 2, "--phases 1025"},
		{"extra", 2, `"extra"`},
		{"--nonsense", 2, "nonsense"},
		{"--rows 9", 1, "MOME_SOCKET is not set"},
		{"--help", 0, "-omega"},
		{"--serial --rows 9 --cols 9", 0, "digest"},
		{"--serial --rows 1048576 --cols 1048576", 1, "make --rows or --cols smaller"},
	} {
		status, out := clienttest.Status(t, strings.Fields(c.args)...)
		if status != c.status || !strings.Contains(out, c.says) || status != 0 && strings.Count(out, "\n") != 1 {
			t.Errorf("sor %s: status %d, %q; want %d and one line with %q", c.args, status, out, c.status, c.says)
		}
	}
}

// BenchmarkUpdate is 32 iterations in passes of so many phases: what it is worth
// that they go through the rows together.
func BenchmarkUpdate(b *testing.B) {
	const total = 64
	for _, phases := range []int{1, 2, 4, 8, 16, 32, 64} {
		b.Run(fmt.Sprintf("phases=%d", phases), func(b *testing.B) {
			c := &config{rows: 2048, cols: 1536, omega: 1.9}
			g := c.private(0, c.rows)
			b.SetBytes(total / 2 * g.size * 8)
			for b.Loop() {
				for from := 0; from < total; from += phases {
					g.update(from, from+phases, area{lo: 0, hi: c.rows}, c.omega)
				}
			}
		})
	}
}
