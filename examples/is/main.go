// Is is the integer sort of the NAS Parallel Benchmarks on shared memory: keys,
// histograms and ranks lie in one segment, and are verified as NPB does.
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

func main() { team.Exit("is", run) }

type config struct {
	*class
	team.Options
}

func parse(args []string) (*config, error) {
	c := new(config)
	flags := c.Flags("is")
	name := flags.String("class", "S", "problem `CLASS`: S, W, A or B")
	if err := team.Parse(flags, "NAS Parallel Benchmarks, integer sort, on shared memory.", args); err != nil {
		return nil, err
	}
	if c.class = classes[*name]; c.class == nil {
		return nil, team.UsageError("--class %q: S, W, A or B", *name)
	}
	return c, nil
}

func run(args []string) error {
	c, err := parse(args)
	if err != nil {
		return err
	}
	report := &team.Report{
		Program: "is", Size: fmt.Sprintf("class %s, %d keys below %d, %d iterations", c.name, c.keys(), c.maxKey(), iterations),
	}
	if c.Serial {
		if err := c.memory(0).CheckSerial(); err != nil {
			return err
		}
		s := runSerial(c.class)
		report.SetTimes(0, s.took)
		report.Digest, report.Checks = s.digest, s.checks()
		report.Verify(s.digest, s.wrongs("")...)
		return report.Print(os.Stdout, c.JSON)
	}
	return c.runShared(context.Background(), report)
}

// memory is what the ranks need with a segment of that many bytes. All of them
// read all keys.
func (c *config) memory(segment int64) team.Memory {
	return team.Memory{Segment: segment, Whole: int64(c.keys()) * 4, Private: int64(c.maxKey()) * 4,
		Serial: int64(arenaLen(c.class, 1)+c.maxKey()) * 4, Smaller: "--class"}
}

// outcome is what NPB verifies, and the answer.
type outcome struct {
	took   time.Duration
	passed int // of the partial verifications
	wrong  int // keys out of order
	digest string
}

func (o *outcome) ok() bool { return o.passed == tests*iterations && o.wrong == 0 }

// wrongs is what does not hold, if anything.
func (o *outcome) wrongs(where string) []string {
	if o.ok() {
		return nil
	}
	return []string{where + o.checks()}
}

func (o *outcome) checks() string {
	return fmt.Sprintf("%d of %d partial verifications, %d keys out of order", o.passed, tests*iterations, o.wrong)
}

// runSerial is the program in one process on an ordinary slice. As in NPB one
// iteration before the first is not timed.
func runSerial(c *class) *outcome {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	w := newWorker(newArena(c, 1, make([]int32, arenaLen(c, 1))), 0)
	c.generate(w.mine, w.firstKey)
	w.count(1)
	w.accumulate()
	o := new(outcome)
	start := time.Now()
	for it := 1; it <= iterations; it++ {
		w.count(it)
		w.accumulate()
		o.passed += w.check(it)
	}
	o.took = time.Since(start)
	w.sort()
	w.compare()
	o.wrong, o.digest = w.outOfOrder(), w.digest()
	return o
}

// runShared is one rank. Rank 0 completes and prints the report.
func (c *config) runShared(ctx context.Context, report *team.Report) error {
	t, err := team.Join(ctx, c.Name, func(ranks int) (team.Memory, error) {
		if most := maxRanks(c.class); ranks > most {
			return team.Memory{}, team.UsageError("class %s is for %d ranks at most, not %d", c.name, most, ranks)
		}
		return c.memory(int64(arenaLen(c.class, ranks)) * 4), nil
	})
	if err != nil {
		return err
	}
	memory, err := mome.SliceOf[int32](t.Segment, 0, arenaLen(c.class, t.Size))
	if err != nil {
		return err
	}
	s := &shared{team: t, worker: newWorker(newArena(c.class, t.Size, memory), t.Rank)}
	if err := s.generate(); err != nil {
		return err
	}
	if err := s.iterate(ctx, 1); err != nil { // not timed, as in NPB
		return err
	}
	before, err := t.Stats(ctx)
	if err != nil {
		return err
	}
	s.passed = 0
	took, err := t.Timed(ctx, func() error { return s.iterate(ctx, iterations) })
	if err != nil {
		return err
	}
	if err := s.verify(ctx); err != nil {
		return err
	}
	return t.Finish(ctx, &c.Options, report, before, func() error {
		o := &outcome{took: took, passed: s.passed, wrong: s.worker.outOfOrder(), digest: s.worker.digest()}
		serial := runSerial(c.class)
		report.Digest, report.Checks = o.digest, o.checks()
		report.Verify(serial.digest, append(o.wrongs(""), serial.wrongs("in one process: ")...)...)
		report.SetTimes(took, serial.took)
		return nil
	})
}

// shared is a worker on shared memory.
type shared struct {
	team   *team.Team
	worker *worker
	passed int // partial verifications; of rank 0
}

// prefault brings part of the segment here: entries that are part of the arena.
func (s *shared) prefault(part []int32, write bool) error {
	off, n := s.span(part)
	return s.team.Segment.Prefault(off, n, write)
}

func (s *shared) generate() error {
	w := s.worker
	if err := s.prefault(w.mine, true); err != nil {
		return err
	}
	w.class.generate(w.mine, w.firstKey)
	return s.prefault(w.below[w.lo:w.hi], true)
}

// iterate runs iterations 1 to n.
func (s *shared) iterate(ctx context.Context, n int) error {
	w := s.worker
	for it := 1; it <= n; it++ {
		// The others have read these counts, so the right to write must come
		// back: for all pages at once.
		for r := range w.ranks {
			if r != w.rank {
				lo, hi := w.part(w.maxKey(), r)
				if err := s.prefault(w.counts[w.rank][lo:hi], true); err != nil {
					return err
				}
			}
		}
		w.count(it)
		if err := s.team.Wait(ctx); err != nil {
			return err
		}
		for r := range w.ranks {
			if r != w.rank {
				if err := s.prefault(w.counts[r][w.lo:w.hi], false); err != nil {
					return err
				}
			}
		}
		w.accumulate()
		if err := s.team.Wait(ctx); err != nil {
			return err
		}
		if w.rank == 0 { // the others change the ranks after the next barrier only
			s.passed += w.check(it)
		}
	}
	return nil
}

// verify is the full verification: the keys are sorted and compared.
func (s *shared) verify(ctx context.Context) error {
	w := s.worker
	if err := s.prefault(w.keys, false); err != nil {
		return err
	}
	w.sort()
	if err := s.team.Wait(ctx); err != nil {
		return err
	}
	w.compare()
	return s.team.Wait(ctx)
}
