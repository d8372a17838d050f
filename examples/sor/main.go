// Sor solves Laplace's equation on a grid by red-black successive
// over-relaxation. Every rank owns a band of rows of one shared segment, and
// reads its neighbours' edge rows where they are.
package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"time"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/examples/internal/team"
)

func main() { team.Exit("sor", run) }

type config struct {
	rows, cols, iterations int
	omega                  float64
	serial, json, stats    bool
	prefetch               bool
	ceiling                bool
	name                   string
}

func parse(args []string) (*config, error) {
	c := new(config)
	flags := flag.NewFlagSet("sor", flag.ContinueOnError)
	flags.IntVar(&c.rows, "rows", 2048, "`rows` of the grid, boundary included")
	flags.IntVar(&c.cols, "cols", 1536, "`columns` of the grid, boundary included")
	flags.IntVar(&c.iterations, "iterations", 100, "how often all cells are updated")
	flags.Float64Var(&c.omega, "omega", 1.9, "relaxation factor, between 0 and 2")
	flags.BoolVar(&c.serial, "serial", false, "run the serial program alone, without a cluster")
	flags.BoolVar(&c.json, "json", false, "print one line of JSON")
	flags.BoolVar(&c.stats, "stats", false, "print what the counters of rank 0's node grew by")
	flags.BoolVar(&c.prefetch, "prefetch", true, "ask for edge rows ahead of their use")
	flags.BoolVar(&c.ceiling, "ceiling", false, "measure what ranks reach that exchange nothing, in turn with the shared and the serial run")
	flags.StringVar(&c.name, "name", "sor", "`name` of the segment and the barrier")
	if err := team.Parse(flags, "Red-black SOR on a shared grid, one band of rows per rank.", args); err != nil {
		return nil, err
	}
	switch {
	case c.rows < 3 || c.cols < 3 || c.rows > 1<<20 || c.cols > 1<<20:
		return nil, team.UsageError("--rows %d --cols %d: a grid has 3 to %d of each", c.rows, c.cols, 1<<20)
	case c.iterations < 1:
		return nil, team.UsageError("--iterations %d: at least 1", c.iterations)
	case !(c.omega > 0 && c.omega < 2) || math.IsNaN(c.omega):
		return nil, team.UsageError("--omega %v: more than 0 and less than 2", c.omega)
	}
	return c, nil
}

func run(args []string) error {
	c, err := parse(args)
	if err != nil {
		return err
	}
	report := &team.Report{
		Program: "sor", Size: fmt.Sprintf("%d x %d, %d iterations, omega %v", c.rows, c.cols, c.iterations, c.omega),
	}
	if c.serial {
		g := c.private(0, c.rows)
		report.SetTimes(0, c.timeSerial(g, c.iterations))
		report.Digest = g.digest()
		return report.Print(os.Stdout, c.json)
	}
	return c.runShared(context.Background(), report)
}

// private is a grid on an ordinary slice, with rows [lo, hi) set to the start.
func (c *config) private(lo, hi int) *grid {
	l := newLayout(c.rows, c.cols, 1)
	g := newGrid(l, make([]float64, l.size))
	g.initialize(lo, hi)
	return g
}

// timeSerial is the program in one process on one processor.
func (c *config) timeSerial(g *grid, iterations int) time.Duration {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	start := time.Now()
	c.iterate(g, 0, c.rows, iterations)
	return time.Since(start)
}

// iterate updates rows [lo, hi) and asks nobody.
func (c *config) iterate(g *grid, lo, hi, iterations int) {
	for range iterations {
		g.sweep(red, lo, hi, c.omega)
		g.sweep(black, lo, hi, c.omega)
	}
}

// runShared is one rank. Rank 0 completes and prints the report.
func (c *config) runShared(ctx context.Context, report *team.Report) error {
	var l *layout
	t, err := team.Join(ctx, c.name, func(ranks int) int64 {
		l = newLayout(c.rows, c.cols, ranks)
		return l.size * 8
	})
	if err != nil {
		return err
	}
	if t.Size > c.rows {
		return team.UsageError("%d rows are not enough for %d ranks", c.rows, t.Size)
	}
	cells, err := mome.SliceOf[float64](t.Segment, 0, int(l.size))
	if err != nil {
		return err
	}
	b := &band{config: c, team: t, grid: newGrid(l, cells)}
	b.lo, b.hi = team.Split(c.rows, t.Size, t.Rank)

	// The band's pages come here for good, in one go: but for its edge rows
	// nobody else ever asks for them.
	first, _ := l.span(red, b.lo)
	last, n := l.span(black, b.hi-1)
	if err := t.Segment.Prefault(first, last+n-first, true); err != nil {
		return err
	}
	b.grid.initialize(b.lo, b.hi)
	before, err := t.Stats(ctx)
	if err != nil {
		return err
	}
	times, serial, err := b.run(ctx)
	if err != nil {
		return err
	}
	if t.Rank != 0 {
		return t.Leave(ctx)
	}
	after, err := t.Stats(ctx)
	if err != nil {
		return err
	}
	if c.stats {
		report.Stats = team.Since(before, after)
	}
	if err := t.Segment.Prefault(0, t.Segment.Size(), false); err != nil {
		return err
	}
	report.Ranks = t.Size
	report.Digest = b.grid.digest()
	report.SetVerified(report.Digest == serial.digest())
	report.SetTimes(times.shared, times.serial)
	if times.alone > 0 {
		report.Ceiling = times.serial.Seconds() / times.alone.Seconds()
	}
	if err := t.Leave(ctx); err != nil {
		return err
	}
	return report.Print(os.Stdout, c.json)
}

// band is one rank's part of the work.
type band struct {
	*config
	team   *team.Team
	grid   *grid
	lo, hi int // rows
}

// times is how long all iterations took: of the ranks on shared memory, of ranks
// that exchange nothing, and of one process.
type times struct{ shared, alone, serial time.Duration }

// parts is in how many parts runs take turns that are measured beside each other:
// whatever else the machine does meets all of them.
const parts = 10

// run runs the ranks and, at rank 0, the serial program, whose grid it returns.
func (b *band) run(ctx context.Context) (t times, serial *grid, err error) {
	if b.team.Rank == 0 {
		serial = b.private(0, b.rows)
	}
	turns := 1
	var alone *grid
	if b.ceiling {
		turns = min(parts, b.iterations)
		alone = b.private(max(b.lo-1, 0), min(b.hi+1, b.rows))
	}
	for turn := range turns {
		from, to := team.Split(b.iterations, turns, turn)
		n := to - from
		took, err := b.team.Timed(ctx, func() error { return b.iterate(ctx, n) })
		if err != nil {
			return t, nil, err
		}
		t.shared += took
		if b.ceiling {
			took, err := b.team.Timed(ctx, func() error {
				b.config.iterate(alone, b.lo, b.hi, n)
				return nil
			})
			if err != nil {
				return t, nil, err
			}
			t.alone += took
		}
		if serial != nil {
			t.serial += b.timeSerial(serial, n)
		}
	}
	return t, serial, nil
}

// iterate is the rank's part of that many iterations. In each phase the band's
// edge rows come first, because the neighbours wait for nothing else: while the
// inner rows are updated, the barrier opens and the next edge rows arrive.
func (b *band) iterate(ctx context.Context, iterations int) error {
	for it := range iterations {
		for _, colour := range []int{red, black} {
			b.sweepEdges(colour)
			last := it == iterations-1 && colour == black // its barrier is the caller's
			if !last {
				if err := b.team.Arrive(b.edges(1 - colour)...); err != nil {
					return err
				}
			}
			b.grid.sweep(colour, b.lo+1, b.hi-1, b.omega)
			if !last {
				if err := b.team.Wait(ctx); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// sweepEdges updates the cells of one colour in the band's first and last row.
func (b *band) sweepEdges(colour int) {
	b.grid.sweep(colour, b.lo, b.lo+1, b.omega)
	if b.hi-1 > b.lo {
		b.grid.sweep(colour, b.hi-1, b.hi, b.omega)
	}
}

// edges is what the phase of a colour wants of others: the neighbours' edge rows
// of the other colour, and the right to store to the band's own of this one.
func (b *band) edges(colour int) (hints []mome.Hint) {
	if !b.prefetch || b.team.Size == 1 {
		return nil
	}
	ask := func(c, row int, write bool) {
		off, n := b.grid.span(c, row)
		hints = append(hints, mome.Hint{Offset: off, Length: n, Write: write})
	}
	if b.lo > 0 {
		ask(1-colour, b.lo-1, false)
		ask(colour, b.lo, true)
	}
	if b.hi < b.rows {
		ask(1-colour, b.hi, false)
		if b.hi-1 > b.lo || b.lo == 0 {
			ask(colour, b.hi-1, true)
		}
	}
	return hints
}
