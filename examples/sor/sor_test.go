package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/examples/internal/team"
	"github.com/mome-dsm/mome/impl/client/clienttest"
)

func TestMain(m *testing.M) { clienttest.Main(m, main) }

// simple is the same computation on one matrix.
func simple(rows, cols, iterations int, omega float64) [][]float64 {
	l := newLayout(rows, cols, 1)
	g := newGrid(l, make([]float64, l.size))
	g.initialize(0, rows)
	a := make([][]float64, rows)
	for i := range a {
		a[i] = make([]float64, cols)
		for j := range a[i] {
			a[i][j] = g.row[(i+j)&1][i][j/2]
		}
	}
	keep, gain := 1-omega, omega/4
	for range iterations {
		for colour := range 2 {
			for i := 1; i < rows-1; i++ {
				for j := 1; j < cols-1; j++ {
					if (i+j)&1 == colour {
						a[i][j] = keep*a[i][j] + gain*((a[i-1][j]+a[i+1][j])+(a[i][j-1]+a[i][j+1]))
					}
				}
			}
		}
	}
	return a
}

func TestSweepIsTheSimpleComputation(t *testing.T) {
	for _, c := range []struct{ rows, cols, bands int }{
		{3, 3, 1}, {4, 3, 2}, {3, 4, 3}, {9, 8, 2}, {16, 17, 3}, {31, 1030, 4}, {64, 64, 64},
	} {
		const iterations, omega = 5, 1.7
		want := simple(c.rows, c.cols, iterations, omega)
		l := newLayout(c.rows, c.cols, c.bands)
		g := newGrid(l, make([]float64, l.size))
		for b := range c.bands {
			lo, hi := team.Split(c.rows, c.bands, b)
			g.initialize(lo, hi)
		}
		for range iterations {
			for colour := range 2 {
				for b := range c.bands {
					lo, hi := team.Split(c.rows, c.bands, b)
					g.sweep(colour, lo, hi, omega)
				}
			}
		}
		for i := range want {
			for j := range want[i] {
				if got := g.row[(i+j)&1][i][j/2]; math.Float64bits(got) != math.Float64bits(want[i][j]) {
					t.Fatalf("%+v: cell (%d, %d) is %v, want %v", c, i, j, got, want[i][j])
				}
			}
		}
	}
}

// TestLayout checks that no two half rows overlap, and that no page holds cells
// of two bands, or of an edge row and another row.
func TestLayout(t *testing.T) {
	for _, c := range []struct{ rows, cols, bands int }{
		{3, 3, 1}, {10, 1536, 2}, {100, 700, 3}, {64, 9, 64}, {37, 4097, 5},
	} {
		l := newLayout(c.rows, c.cols, c.bands)
		cells := map[int64]bool{}
		pages := map[int64]string{}
		for b := range c.bands {
			lo, hi := team.Split(c.rows, c.bands, b)
			for colour := range 2 {
				for i := lo; i < hi; i++ {
					owner := fmt.Sprintf("band %d inside", b)
					if i == lo || i == hi-1 {
						owner = fmt.Sprintf("row %d colour %d", i, colour)
					}
					for k := range int64(l.half) {
						cell := l.offset[colour][i] + k
						if cells[cell] || cell >= l.size {
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
	}
}

func TestRanks(t *testing.T) {
	for _, ranks := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(ranks), func(t *testing.T) {
			out := clienttest.Run(t, ranks, "--rows", "100", "--cols", "130", "--iterations", "20", "--json", "--stats", "--ceiling")
			var r team.Report
			if err := json.Unmarshal([]byte(out[0]), &r); err != nil {
				t.Fatalf("%v: %s", err, out[0])
			}
			c := &config{rows: 100, cols: 130, omega: 1.9}
			g := c.private(0, c.rows)
			c.iterate(g, 0, c.rows, 20)
			digest := g.digest()
			if r.Verified == nil || !*r.Verified || r.Digest != digest || r.Ranks != ranks {
				t.Errorf("report %+v, want the digest %s verified", r, digest)
			}
			if r.Ceiling <= 0 {
				t.Errorf("the ceiling is %v", r.Ceiling)
			}
			for rank, text := range out[1:] {
				if text != "" {
					t.Errorf("rank %d says %q", rank+1, text)
				}
			}
		})
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
		{"extra", 2, `"extra"`},
		{"--nonsense", 2, "nonsense"},
		{"--rows 9", 1, "MOME_SOCKET is not set"},
		{"--help", 0, "-omega"},
		{"--serial --rows 9 --cols 9", 0, "digest"},
	} {
		status, out := clienttest.Status(t, strings.Fields(c.args)...)
		if status != c.status || !strings.Contains(out, c.says) || status != 0 && strings.Count(out, "\n") != 1 {
			t.Errorf("sor %s: status %d, %q; want %d and one line with %q", c.args, status, out, c.status, c.says)
		}
	}
}

func BenchmarkSweep(b *testing.B) {
	l := newLayout(2048, 1536, 1)
	g := newGrid(l, make([]float64, l.size))
	g.initialize(0, 2048)
	b.SetBytes(l.size * 8)
	for b.Loop() {
		g.sweep(red, 0, 2048, 1.9)
		g.sweep(black, 0, 2048, 1.9)
	}
}
