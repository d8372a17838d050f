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

func TestMultiply(t *testing.T) {
	for _, c := range []struct{ n, bands int }{{1, 1}, {2, 2}, {7, 3}, {64, 1}, {65, 2}, {130, 4}, {300, 2}} {
		l := newLayout(c.n, c.bands)
		x := newMatrices(l, make([]float64, l.size))
		for b := range c.bands {
			x.initialize(team.Split(c.n, c.bands, b))
		}
		for b := range c.bands {
			x.multiply(team.Split(c.n, c.bands, b))
		}
		for i := range c.n {
			for j := range c.n {
				var want float64
				for k := range c.n {
					want += x.row[matrixA][i][k] * x.row[matrixB][k][j]
				}
				if got := x.row[matrixC][i][j]; math.Abs(got-want) > 1e-9 {
					t.Fatalf("%+v: cell (%d, %d) is %v, want %v", c, i, j, got, want)
				}
			}
		}
		if _, want := (&config{n: c.n}).runSerial(); x.digest() != want {
			t.Errorf("%+v: the bits of the product depend on the bands", c)
		}
	}
}

func TestLayoutSharesNoPage(t *testing.T) {
	for _, c := range []struct{ n, bands int }{{1, 1}, {100, 3}, {512, 2}, {513, 5}} {
		l := newLayout(c.n, c.bands)
		owner := map[int64][2]int{}
		for b := range c.bands {
			lo, hi := team.Split(c.n, c.bands, b)
			for m := range l.offset {
				off, n := l.span(m, lo, hi)
				for page := off / team.PageSize; page*team.PageSize < off+n; page++ {
					if _, taken := owner[page]; taken || off%team.PageSize != 0 || off+n > l.size*8 {
						t.Fatalf("%+v: matrix %d of band %d at %d, %d bytes: page %d is shared", c, m, b, off, n, page)
					}
					owner[page] = [2]int{b, m}
				}
			}
		}
	}
}

func TestRanks(t *testing.T) {
	for _, ranks := range []int{1, 3} {
		t.Run(fmt.Sprint(ranks), func(t *testing.T) {
			out := clienttest.Run(t, ranks, "--n", "130", "--json")
			var r team.Report
			if err := json.Unmarshal([]byte(out[0]), &r); err != nil {
				t.Fatalf("%v: %s", err, out[0])
			}
			if r.Verified == nil || !*r.Verified || r.Ranks != ranks {
				t.Errorf("report %+v, want it verified", r)
			}
		})
	}
}

// TestTooManyRanks checks that ranks which are too many leave nothing behind: the
// program runs on the same node then, with a segment of another size.
func TestTooManyRanks(t *testing.T) {
	daemon := clienttest.Start(t, 3)
	args := []string{"--n", "2"}
	for rank := range 3 {
		status, out := clienttest.RankStatus(t, daemon, rank, 3, args...)
		if status != 2 || !strings.Contains(out, "2 rows are not enough for 3 ranks") || strings.Count(out, "\n") != 1 {
			t.Errorf("rank %d: status %d, %q", rank, status, out)
		}
	}
	if status, out := clienttest.RankStatus(t, daemon, 0, 1, args...); status != 0 || !strings.Contains(out, "verified") {
		t.Errorf("one rank: status %d, %q", status, out)
	}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"--n 0", 2, "--n 0"},
		{"--nonsense", 2, "nonsense"},
		{"--n 10", 1, "MOME_SOCKET is not set"},
		{"--serial --n 10", 0, "digest"},
	} {
		status, out := clienttest.Status(t, strings.Fields(c.args)...)
		if status != c.status || !strings.Contains(out, c.says) || status != 0 && strings.Count(out, "\n") != 1 {
			t.Errorf("matmul %s: status %d, %q; want %d and one line with %q", c.args, status, out, c.status, c.says)
		}
	}
}
