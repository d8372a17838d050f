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
		took, digest := c.runSerial()
		report.SetTimes(0, took)
		report.Digest = digest
		return report.Print(os.Stdout, c.json)
	}
	return c.runShared(context.Background(), report)
}

// runSerial is the program in one process on an ordinary slice.
func (c *config) runSerial() (time.Duration, string) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	l := newLayout(c.rows, c.cols, 1)
	g := newGrid(l, make([]float64, l.size))
	g.initialize(0, c.rows)
	start := time.Now()
	for range c.iterations {
		g.sweep(red, 0, c.rows, c.omega)
		g.sweep(black, 0, c.rows, c.omega)
	}
	took := time.Since(start)
	return took, g.digest()
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
	took, err := t.Timed(ctx, func() error { return b.iterate(ctx) })
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
	report.Digest = b.grid.digest()
	serial, digest := c.runSerial()
	report.Ranks = t.Size
	report.SetVerified(report.Digest == digest)
	report.SetTimes(took, serial)
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

func (b *band) iterate(ctx context.Context) error {
	for it := range b.iterations {
		for _, colour := range []int{red, black} {
			if err := b.phase(colour); err != nil {
				return err
			}
			// The last barrier is the caller's.
			if it == b.iterations-1 && colour == black {
				break
			}
			if err := b.team.Wait(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// phase updates the band's cells of one colour: the inner rows first, while the
// neighbours' edge rows are on their way, then its own edge rows, which the
// neighbours have read in the phase before.
func (b *band) phase(colour int) error {
	if b.prefetch && b.team.Size > 1 {
		if err := b.askForEdges(colour); err != nil {
			return err
		}
	}
	g := b.grid
	g.sweep(colour, b.lo+1, b.hi-1, b.omega)
	g.sweep(colour, b.lo, b.lo+1, b.omega)
	if b.hi-1 > b.lo {
		g.sweep(colour, b.hi-1, b.hi, b.omega)
	}
	return nil
}

// askForEdges asks for the neighbours' edge rows of the other colour, and for
// the right to store to the band's own of this one.
func (b *band) askForEdges(colour int) error {
	var hints []mome.Hint
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
	return b.team.Segment.PrefetchAll(hints...)
}
