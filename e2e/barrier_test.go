package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/history"
	"github.com/mome-dsm/mome/linearizability"
)

func init() {
	programs["rejoin"] = rejoin
	programs["counted"] = counted
}

// rejoin uses the name of a barrier over and over, and records it if it is told to.
func rejoin(p *program) {
	recorder, err := mome.Record(p.Node)
	check(err)
	client := recorder.Client()
	for range p.number(1) {
		b, err := client.Join(p.ctx, p.Node, p.arg(0), p.Rank(), p.Size())
		check(err)
		check(client.Wait(p.ctx, b))
		check(client.Leave(b))
	}
	check(recorder.Close())
}

// The name of a barrier that a party has left can be used: whoever is first to come
// again does not find the others in its way, and is not in theirs. What they saw is
// what generations of a name explain.
func TestBarrierAgain(t *testing.T) {
	onShared(t, []shape{two, four}, func(t *testing.T, c *cluster) {
		dir := t.TempDir()
		t.Setenv(mome.EnvHistory, dir)
		times := 400 / c.shape.nodes
		allOK(c.team(c.shape.nodes, c.shape.nodes, "rejoin", times))
		paths, err := filepath.Glob(filepath.Join(dir, "history-*.ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		h, err := linearizability.Read(paths...)
		if err != nil {
			t.Fatal(err)
		}
		if want := 4 * times * c.shape.nodes; len(h.Operations) != want {
			t.Errorf("%d operations, want %d", len(h.Operations), want)
		}
		if r := linearizability.Check(h.Operations, linearizability.Limits{}); r.Verdict != linearizability.Linearizable {
			f := r.Findings[0]
			t.Errorf("%v: %v: %s: %v", r.Verdict, f.Key, f.Why, f.Contradiction)
		}
		t.Logf("histories: a barrier, %s, %v: %d operations of %d clients, linearizable", c.transport, c.shape, len(h.Operations), h.Clients)
		// One answer is changed, and must be rejected.
		for i := range h.Operations {
			if o := &h.Operations[i]; o.Op == history.OpJoin && i > len(h.Operations)/2 {
				o.Result = 0
				break
			}
		}
		if r := linearizability.Check(h.Operations, linearizability.Limits{}); r.Verdict != linearizability.Violation {
			t.Errorf("a party was refused, and the verdict is %v", r.Verdict)
		}
	})
}

// counted is the program of README.md, with a segment for each time that it is run;
// it ends as its third argument says.
func counted(p *program) {
	const size, times = 1 << 20, 100
	name := p.arg(0) + "-" + p.arg(1)
	segment, err := p.OpenOrCreate(p.ctx, name, size)
	check(err)
	barrier, err := p.Barrier(p.ctx, p.arg(0), p.Rank(), p.Size())
	check(err)
	word := &words(segment)[7]
	for range times {
		atomic.AddInt64(word, 1)
	}
	check(barrier.Wait(p.ctx))
	if got, want := atomic.LoadInt64(word), int64(times*p.Size()); got != want {
		fatalf("read %d, want %d", got, want)
	}
	check(barrier.Wait(p.ctx))
	if p.Rank() == 0 {
		check(p.Remove(p.ctx, name))
	}
	switch p.arg(2) {
	case "exits":
		os.Exit(0)
	case "is killed":
		check(syscall.Kill(os.Getpid(), syscall.SIGKILL))
		select {}
	}
}

// A process may be started again as soon as it has ended, however it did and whether
// or not the others of the program have ended: it meets those that are started again.
func TestProgramAgain(t *testing.T) {
	const ranks, times = 4, 20
	for end, want := range map[string]string{"closes": "exit status 0", "exits": "exit status 0", "is killed": "signal: killed"} {
		t.Run(end, func(t *testing.T) {
			onShared(t, []shape{two}, func(t *testing.T, c *cluster) {
				errs := make(chan error, ranks)
				for rank := range ranks {
					go func() {
						for i := range times {
							p, err := spawn(fmt.Sprintf("rank %d, run %d", rank, i), "program", c.environment(rank%c.shape.nodes, rank, ranks),
								"counted", c.name(), fmt.Sprint(i), end)
							if err == nil && p.outcome() != want {
								err = errors.New(p.report())
							}
							if err != nil {
								errs <- err
								return
							}
						}
						errs <- nil
					}()
				}
				for range ranks {
					if err := <-errs; err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}
