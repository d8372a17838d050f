// Matmul multiplies two square matrices in shared memory. Every rank fills its
// band of rows of A and B, and computes its band of C from them and the whole of
// B, which it reads where the others have put it.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/examples/internal/team"
)

func main() { team.Exit("matmul", run) }

type config struct {
	team.Options
	n int
}

func parse(args []string) (*config, error) {
	c := new(config)
	flags := c.Flags("matmul")
	flags.IntVar(&c.n, "n", 1024, "matrices of `N` rows and columns")
	if err := team.Parse(flags, "Product of two matrices in shared memory, one band of rows per rank.", args); err != nil {
		return nil, err
	}
	if c.n < 1 || c.n > 1<<16 {
		return nil, team.UsageError("--n %d: 1 to %d", c.n, 1<<16)
	}
	return c, nil
}

func run(args []string) error {
	c, err := parse(args)
	if err != nil {
		return err
	}
	report := &team.Report{Program: "matmul", Size: fmt.Sprintf("%d x %d", c.n, c.n)}
	if c.Serial {
		if err := c.memory(0).CheckSerial(); err != nil {
			return err
		}
		took, digest := c.runSerial()
		report.SetTimes(0, took)
		report.Digest = digest
		return report.Print(os.Stdout, c.JSON)
	}
	return c.runShared(context.Background(), report)
}

// memory is what the ranks need with a segment of that many bytes. All of them
// read the whole of B.
func (c *config) memory(segment int64) team.Memory {
	one := int64(c.n) * int64(c.n) * 8
	return team.Memory{Segment: segment, Whole: one, Serial: 3 * one, Smaller: "--n"}
}

// runSerial is the program in one process on an ordinary slice.
func (c *config) runSerial() (time.Duration, string) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	l := newLayout(c.n, 1)
	x := newMatrices(l, make([]float64, l.size))
	x.initialize(0, c.n)
	for _, row := range x.row[matrixC] {
		clear(row) // its pages are there before the clock starts, as in the shared run
	}
	start := time.Now()
	x.multiply(0, c.n)
	took := time.Since(start)
	return took, x.digest()
}

// runShared is one rank. Rank 0 completes and prints the report.
func (c *config) runShared(ctx context.Context, report *team.Report) error {
	var l *layout
	t, err := team.Join(ctx, c.Name, func(ranks int) (team.Memory, error) {
		if ranks > c.n {
			return team.Memory{}, team.UsageError("%d rows are not enough for %d ranks", c.n, ranks)
		}
		l = newLayout(c.n, ranks)
		return c.memory(l.size * 8), nil
	})
	if err != nil {
		return err
	}
	cells, err := mome.SliceOf[float64](t.Segment, 0, int(l.size))
	if err != nil {
		return err
	}
	x := newMatrices(l, cells)
	lo, hi := team.Split(c.n, t.Size, t.Rank)
	for m := range x.row {
		off, n := l.span(m, lo, hi)
		if err := t.Segment.Prefault(off, n, true); err != nil {
			return err
		}
	}
	x.initialize(lo, hi)
	before, err := t.Stats(ctx)
	if err != nil {
		return err
	}
	took, err := t.Timed(ctx, func() error {
		// B comes while its first rows are in use.
		for r := range t.Size {
			if r == t.Rank {
				continue
			}
			lo, hi := team.Split(c.n, t.Size, r)
			off, n := l.span(matrixB, lo, hi)
			if err := t.Segment.Prefetch(off, n, false); err != nil {
				return err
			}
		}
		x.multiply(lo, hi)
		return nil
	})
	if err != nil {
		return err
	}
	return t.Finish(ctx, &c.Options, report, before, func() error {
		for r := range t.Size {
			lo, hi := team.Split(c.n, t.Size, r)
			off, n := l.span(matrixC, lo, hi)
			if err := t.Segment.Prefault(off, n, false); err != nil {
				return err
			}
		}
		report.Digest = x.digest()
		serial, digest := c.runSerial()
		report.Verify(digest)
		report.SetTimes(took, serial)
		return nil
	})
}
