// Sor solves Laplace's equation on a grid by red-black successive
// over-relaxation. Every rank owns a band of rows of one shared segment. Where
// two bands meet, rows move from one machine to the other and back (band.go).
package main

import (
	"context"
	"fmt"
	"iter"
	"math"
	"os"
	"runtime"
	"time"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/examples/internal/team"
)

func main() { team.Exit("sor", run) }

type config struct {
	team.Options
	rows, cols, iterations int
	phases                 int // of a pass; an iteration has two
	omega                  float64
	prefetch               bool
	ceiling                bool
}

func parse(args []string) (*config, error) {
	c := new(config)
	flags := c.Flags("sor")
	flags.IntVar(&c.rows, "rows", 2048, "`N` rows of the grid, boundary included")
	flags.IntVar(&c.cols, "cols", 1536, "`N` columns of the grid, boundary included")
	flags.IntVar(&c.iterations, "iterations", 1000, "update all cells `N` times")
	flags.IntVar(&c.phases, "phases", 31, "`N` phases, two in an iteration, that go through the rows together; neighbours meet after so many, or after fewer if they have not four times as many rows each")
	flags.Float64Var(&c.omega, "omega", 1.9, "relaxation factor `X`, between 0 and 2")
	flags.BoolVar(&c.prefetch, "prefetch", true, "ask for edge rows ahead of their use")
	flags.BoolVar(&c.ceiling, "ceiling", false, "measure what ranks reach that exchange nothing, in turn with the shared and the serial run")
	if err := team.Parse(flags, "Red-black SOR on a shared grid, one band of rows per rank.", args); err != nil {
		return nil, err
	}
	switch {
	case c.rows < 3 || c.cols < 3 || c.rows > 1<<20 || c.cols > 1<<20:
		return nil, team.UsageError("--rows %d --cols %d: a grid has 3 to %d of each", c.rows, c.cols, 1<<20)
	case c.iterations < 1 || c.iterations > 1<<30:
		return nil, team.UsageError("--iterations %d: 1 to %d", c.iterations, 1<<30)
	case c.phases < 1 || c.phases > 1<<10:
		return nil, team.UsageError("--phases %d: 1 to %d go together", c.phases, 1<<10)
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
	if c.Serial {
		if err := c.memory(0, 0).CheckSerial(); err != nil {
			return err
		}
		g := c.private(0, c.rows)
		report.SetTimes(0, c.timeSerial(g, c.iterations))
		report.Digest = g.digest()
		return report.Print(os.Stdout, c.JSON)
	}
	return c.runShared(context.Background(), report)
}

// memory is what the ranks need with a segment of that many bytes.
func (c *config) memory(segment int64, ranks int) team.Memory {
	one := int64(c.rows) * int64((c.cols+1)/2) * 2 * 8
	m := team.Memory{Segment: segment, Serial: one, Smaller: "--rows or --cols"}
	if c.ceiling && ranks > 0 {
		m.Private = one / int64(ranks)
	}
	return m
}

// private is a grid on an ordinary slice, with rows [lo, hi) set to the start.
func (c *config) private(lo, hi int) *grid {
	l := newLayout(c.rows, c.cols, 1, 0)
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

// iterate updates rows [lo, hi) without a word to anybody.
func (c *config) iterate(g *grid, lo, hi, iterations int) {
	for from, to := range passes(iterations, c.phases) {
		g.update(from, to, area{lo: lo, hi: hi}, c.omega)
	}
}

// passes cuts the phases of some iterations, two in each, in equal parts, each
// of so many at most.
func passes(iterations, most int) iter.Seq2[int, int] {
	phases := 2 * iterations
	n := (phases + most - 1) / most
	return func(yield func(from, to int) bool) {
		for i := range n {
			if !yield(team.Split(phases, n, i)) {
				return
			}
		}
	}
}

// runShared is one rank. Rank 0 completes and prints the report.
func (c *config) runShared(ctx context.Context, report *team.Report) error {
	var l *layout
	t, err := team.Join(ctx, c.Name, func(ranks int) (team.Memory, error) {
		edge := edgeOf(c.phases, c.rows, ranks)
		if edge < 2 {
			return team.Memory{}, team.UsageError("--rows %d are not enough for %d ranks: at least eight for each", c.rows, ranks)
		}
		l = newLayout(c.rows, c.cols, ranks, edge)
		return c.memory(l.size*8, ranks), nil
	})
	if err != nil {
		return err
	}
	cells, err := mome.SliceOf[float64](t.Segment, 0, int(l.size))
	if err != nil {
		return err
	}
	b := &band{config: c, team: t, grid: newGrid(l, cells), down: true}

	// The band's pages come here for good, in one go: but for those next to its
	// borders nobody else ever asks for them.
	first, n := l.bandSpan(t.Rank)
	if err := t.Segment.Prefault(first, n, true); err != nil {
		return err
	}
	b.grid.initialize(l.split(t.Rank))
	before, err := t.Stats(ctx)
	if err != nil {
		return err
	}
	times, serial, err := b.run(ctx)
	if err != nil {
		return err
	}
	return t.Finish(ctx, &c.Options, report, before, func() error {
		if err := t.Segment.Prefault(0, t.Segment.Size(), false); err != nil {
			return err
		}
		report.Digest = b.grid.digest()
		report.Verify(serial.digest())
		report.SetTimes(times.shared, times.serial)
		if times.alone > 0 {
			report.Ceiling = times.serial.Seconds() / times.alone.Seconds()
		}
		return nil
	})
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
	lo, hi := team.Split(b.rows, b.team.Size, b.team.Rank)
	var alone *grid
	if b.ceiling {
		turns = min(parts, b.iterations)
		alone = b.private(max(lo-1, 0), min(hi+1, b.rows))
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
				b.config.iterate(alone, lo, hi, n)
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
