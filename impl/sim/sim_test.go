package sim

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/coverage"
	"github.com/mome-dsm/mome/impl/protocol"
)

var (
	seed  = flag.Int64("seed", -1, "run this seed only")
	seeds = flag.Int("seeds", 0, "seeds for each world; 0 is the world's own number")
	cover = flag.String("coverage", "", "write the coverage table to this file")
)

// world is one line of the suite.
type world struct {
	name  string
	seeds int
	steps int
	cfg   Config
}

// suite are the worlds that random schedules run in. In the small ones every
// invariant is checked after every step, in the large ones now and then.
var suite = []world{
	{"root1", 10, 2000, Config{Nodes: 1, Fanout: 2, Pages: 2, Processes: 3, Check: 1}},
	{"root2", 40, 4000, Config{Nodes: 2, Fanout: 64, Pages: 1, Check: 1}},
	{"root3", 40, 4000, Config{Nodes: 3, Fanout: 64, Pages: 2, Processes: 2, Check: 1}},
	{"root3-lateral", 40, 4000, Config{Nodes: 3, Fanout: 64, Pages: 1, Lateral: true, Check: 1}},
	{"deep3", 40, 4000, Config{Nodes: 3, Fanout: 2, Pages: 1, Check: 1}},
	{"pair3", 40, 4000, Config{Nodes: 4, Fanout: 2, Pages: 1, Processes: 2, Check: 1}},
	{"pair3-lateral", 40, 4000, Config{Nodes: 4, Fanout: 2, Pages: 1, Lateral: true, Check: 1}},
	{"deep4", 40, 5000, Config{Nodes: 6, Fanout: 2, Pages: 1, Lateral: true, Check: 1}},
	{"deep5", 20, 8000, Config{Nodes: 10, Fanout: 2, Pages: 1, Lateral: true, Check: 1}},
	{"wide3", 20, 5000, Config{Nodes: 9, Fanout: 3, Pages: 2, Breaks: true, Check: 1}},
	{"breaks", 30, 5000, Config{Nodes: 4, Fanout: 2, Pages: 3, Breaks: true, Check: 1}},
	{"recreate", 40, 6000, Config{Nodes: 3, Fanout: 64, Pages: 3, Segments: 2, Processes: 2, Recreate: true, Check: 1}},
	{"recreate-deep", 40, 6000, Config{Nodes: 5, Fanout: 2, Pages: 3, Segments: 2, Recreate: true, Breaks: true, Check: 1}},
	{"recreate-lateral", 40, 6000, Config{Nodes: 4, Fanout: 2, Pages: 2, Recreate: true, Lateral: true, Check: 1}},
	{"exact", 20, 6000, Config{Nodes: 4, Fanout: 2, Pages: 2, Processes: 2, Exact: true, Check: 1}},
	{"exact-flat", 20, 6000, Config{Nodes: 3, Fanout: 64, Pages: 1, Exact: true, Residence: 40, Greedy: true, Check: 1}},
	{"greedy", 20, 8000, Config{Nodes: 6, Fanout: 2, Pages: 1, Greedy: true, Residence: 20, Check: 1}},
	{"large27", 5, 20000, Config{Nodes: 27, Fanout: 3, Pages: 4, Breaks: true, Check: 50}},
	{"large81", 3, 40000, Config{Nodes: 81, Fanout: 3, Pages: 4, Processes: 2, Check: 200}},
	{"large300", 2, 60000, Config{Nodes: 300, Fanout: 7, Pages: 3, Lateral: true, Check: 1000}},
	{"flat64", 5, 20000, Config{Nodes: 64, Fanout: 64, Pages: 1, Check: 20}},
	{"broad200", 3, 40000, Config{Nodes: 200, Fanout: 64, Pages: 2, Lateral: true, Check: 500}},
	{"tall17", 1, 30000, Config{Nodes: 1 << 16, Fanout: 2, Pages: 1}}, // every node there can be; 17 levels
}

// play runs one world with one seed. It returns the world, and the property
// that fell.
func play(wd world, seed uint64, replay string) (w *World, f *Failure) {
	wd.cfg.Seed, wd.cfg.Replay = seed, replay
	w = New(wd.cfg)
	return w, w.Play(wd.steps, true)
}

func (wd world) each(n int, do func(seed uint64)) {
	if *seed >= 0 {
		do(uint64(*seed))
		return
	}
	if *seeds > 0 {
		n = *seeds
	}
	for s := range uint64(n) {
		do(s)
	}
}

// TestRandomSchedules runs the suite and reports what it covered.
func TestRandomSchedules(t *testing.T) {
	total := coverage.New(coverage.Strong)
	steps, duplicates, broken, removed, skipped, early, late, crashed := 0, 0, 0, 0, 0, 0, 0, 0
	ran := 0
	for _, wd := range suite {
		t.Run(wd.name, func(t *testing.T) {
			ran++
			longest, served := 0, 0
			wd.each(wd.seeds, func(seed uint64) {
				w, f := play(wd, seed, fmt.Sprintf("go test ./impl/sim -run '^%s$'", t.Name()))
				if f != nil {
					t.Fatal(f)
				}
				total.Add(w.Coverage)
				steps += w.Steps
				served += w.Served
				longest = max(longest, w.Longest)
				duplicates, broken, removed = duplicates+w.Duplicates, broken+w.Broken, removed+w.Removed
				skipped, early, late, crashed = skipped+w.Skipped, early+w.Early, late+w.Late, crashed+w.Crashed
			})
			t.Logf("%d accesses waited and were served; at most %d grants of a page while a request waited", served, longest)
		})
	}
	if t.Failed() || ran < len(suite) || *seed >= 0 || *seeds > 0 {
		return
	}
	t.Logf("%d steps, %d connections broke, %d frames came twice, %d segments removed and others created there, %d pages of which a node had heard of no moment between, "+
		"%d messages waited for a view, %d were about a segment that was gone, %d processes crashed", steps, broken, duplicates, removed, skipped, early, late, crashed)
	for what, n := range map[string]int{"duplicates": duplicates, "broken": broken, "removed": removed, "skipped": skipped, "early": early, "late": late, "crashed": crashed} {
		if n == 0 {
			t.Errorf("the suite covers no %s", what)
		}
	}
	t.Logf("coverage:\n%v", total)
	if *cover != "" {
		if err := os.WriteFile(*cover, []byte(total.String()), 0o666); err != nil {
			t.Error(err)
		}
	}
	checkCoverage(t, total)
}

// TestPingPong lets writers fight for one page: each must get its turn.
func TestPingPong(t *testing.T) {
	for _, c := range []struct{ nodes, fanout, writers int }{
		{2, 2, 2}, {3, 2, 3}, {4, 2, 2}, {8, 2, 8}, {9, 3, 9}, {16, 2, 4}, {16, 16, 16},
	} {
		name := fmt.Sprintf("nodes=%d/fanout=%d/writers=%d", c.nodes, c.fanout, c.writers)
		t.Run(name, func(t *testing.T) {
			wd := world{cfg: Config{Nodes: c.nodes, Fanout: c.fanout, Pages: 1, Residence: 10, Check: 10}}
			wd.each(20, func(seed uint64) {
				wd.cfg.Seed, wd.cfg.Replay = seed, fmt.Sprintf("go test ./impl/sim -run '^%s$'", t.Name())
				w := New(wd.cfg)
				defer func() {
					if f, ok := recover().(*Failure); ok {
						t.Fatal(f)
					}
				}()
				const each = 40
				for i := 0; ; i++ {
					if i > 4000*c.writers*each {
						t.Fatalf("no end after %d steps: served %v\n%s -seed %d", w.Steps, w.ServedBy, wd.cfg.Replay, seed)
					}
					done := true
					for k := range c.writers {
						id := addr.NodeID(k * c.nodes / c.writers)
						done = done && w.ServedBy[id] >= each
						if w.nodes[id].procs[0].wants[0] == protocol.None && w.ServedBy[id] < each {
							w.Access(id, 0, 0, true)
						}
					}
					if done {
						break
					}
					if !w.Deliver() || w.rng.IntN(20) == 0 {
						w.EndResidence()
					}
					for _, n := range w.nodes {
						w.raiseOne(n)
					}
				}
				w.Settle()
			})
		})
	}
}

// TestReproducible demands that a seed gives the same run: the same steps and
// the same batches.
func TestReproducible(t *testing.T) {
	for _, wd := range suite[:len(suite)-2] {
		a, f := play(wd, 7, "")
		b, g := play(wd, 7, "")
		if f != nil || g != nil {
			t.Fatal(f, g)
		}
		if a.Trace() != b.Trace() || a.Steps != b.Steps {
			t.Errorf("%s: two runs of one seed differ", wd.name)
		}
	}
}
