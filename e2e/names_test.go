package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/history"
	"github.com/mome-dsm/mome/impl/wire"
	"github.com/mome-dsm/mome/linearizability"
)

const (
	nameCount  = 12 // names that a run uses by turns
	nameSizes  = 3  // and sizes of segments, so that two lives of a name differ
	nameRounds = 500
	// freeForAll is how many operations of each rank come without a barrier.
	freeForAll = 150
)

func init() {
	programs["names"] = names
	programs["temporary"] = temporary
}

// names uses names again and again, from all ranks. In each round all of them
// open or create a segment, one removes it, and all look for it; a barrier is
// between. What follows is in no order at all.
func names(p *program) {
	recorder, err := mome.Record(p.Node)
	check(err)
	if recorder == nil {
		fatalf("%s is not set", mome.EnvHistory)
	}
	c := recorder.Client()
	barrier, err := p.Barrier(p.ctx, p.arg(0), p.Rank(), p.Size())
	check(err)
	rounds := p.number(1)
	made := 0
	for round := range rounds {
		name := fmt.Sprintf("%s-%d", p.arg(0), round%nameCount)
		s, err := c.OpenOrCreate(p.ctx, p.Node, name, int64(1+round%nameSizes)*pageSize)
		check(err)
		if s.Created() {
			made++
		}
		w := words(s)
		if p.Rank() == round%p.Size() {
			w[0] = int64(round + 1)
		}
		check(barrier.Wait(p.ctx))
		if w[0] != int64(round+1) {
			fatalf("round %d: the segment holds %d", round, w[0])
		}
		check(s.Close())
		check(barrier.Wait(p.ctx))
		if p.Rank() == (round+1)%p.Size() {
			check(c.Remove(p.ctx, p.Node, name))
		}
		check(barrier.Wait(p.ctx))
		if s, err = c.Open(p.ctx, p.Node, name); !errors.Is(err, mome.ErrNotFound) {
			p.say("found", name, "round", round, err)
			if err == nil {
				check(s.Close())
			}
		}
		check(barrier.Wait(p.ctx))
	}
	random := rand.New(rand.NewPCG(uint64(p.number(2)), uint64(p.Rank())))
	for range freeForAll {
		name := fmt.Sprintf("%s-free-%d", p.arg(0), random.IntN(nameCount))
		var s *mome.Segment
		var err error
		switch random.IntN(4) {
		case 0:
			s, err = c.Create(p.ctx, p.Node, name, pageSize)
		case 1:
			s, err = c.OpenOrCreate(p.ctx, p.Node, name, pageSize)
		case 2:
			s, err = c.Open(p.ctx, p.Node, name)
		case 3:
			err = c.Remove(p.ctx, p.Node, name)
		}
		if err != nil && !errors.Is(err, mome.ErrExists) && !errors.Is(err, mome.ErrNotFound) && !errors.Is(err, mome.ErrRemoved) {
			check(err)
		}
		if s != nil {
			check(s.Close())
		}
	}
	check(barrier.Wait(p.ctx))
	check(recorder.Close())
	p.say("made", made)
	check(barrier.Close())
	if p.Rank() == 0 {
		removeAll(p.ctx, p.Node)
	}
}

// removeAll takes every segment of the cluster away.
func removeAll(ctx context.Context, n *mome.Node) {
	list, err := n.Segments(ctx)
	check(err)
	for _, s := range list {
		check(n.Remove(ctx, s.Name))
	}
}

// TestNames has ranks on all nodes use names again at once, and judges what they
// have recorded: what is gone is gone, on every node, and what is free can be used.
// Names do not go by the links.
func TestNames(t *testing.T) {
	requireUserfaultfd(t)
	c := share(t, wire.TCP, three)
	dir := t.TempDir()
	t.Setenv(mome.EnvHistory, dir)
	rounds := nameRounds
	if testing.Short() {
		rounds = 50
	}
	apps := c.team(c.shape.nodes, c.shape.nodes, "names", rounds, c.seed%1_000_000)
	made := 0
	for _, a := range apps {
		for _, line := range a.ok() {
			var n int
			if _, err := fmt.Sscanf(line, "made %d", &n); err != nil {
				t.Errorf("%s: %s", a.title, line)
			}
			made += n
		}
	}
	if made != rounds {
		t.Errorf("%d segments were made in %d rounds", made, rounds)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "history-*.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := linearizability.Read(paths...)
	if err != nil {
		t.Fatal(err)
	}
	r := linearizability.Check(h.Operations, linearizability.Limits{})
	if r.Verdict != linearizability.Linearizable {
		f := r.Findings[0]
		t.Fatalf("%v: %v, a %s: %s: %v", r.Verdict, f.Key, f.Model, f.Why, f.Contradiction)
	}
	if len(r.Models) != 1 || r.Models[0].Words != 2*nameCount {
		t.Errorf("judged: %+v, want %d names", r.Models, 2*nameCount)
	}
	mustRejectNames(t, h)
	t.Logf("histories: names of segments, %s, %v: %d operations of %d clients on %d names, all linearizable", c.transport, c.shape, len(h.Operations), h.Clients, r.Models[0].Words)
}

// mustRejectNames changes the answer of one operation of each kind, in turn.
func mustRejectNames(t *testing.T, h *linearizability.History) {
	t.Helper()
	changed := make(map[string]bool)
	for i := len(h.Operations) - 1; i >= 0; i-- {
		o := &h.Operations[i]
		if changed[o.Op] {
			continue
		}
		was := *o
		switch {
		case o.Op == history.OpRemove && o.Result == 1, o.Op == history.OpOpenOrCreate && o.Result == 1:
			o.Result = 0
		case o.Op == history.OpOpen && o.Value == 0:
			o.Value = 1
		default:
			continue
		}
		changed[was.Op] = true
		if r := linearizability.Check(h.Operations, linearizability.Limits{}); r.Verdict != linearizability.Violation {
			t.Errorf("%v instead of %v at %s: %v", o, &was, o.Where(), r.Verdict)
		}
		*o = was
	}
	if len(changed) != 3 {
		t.Errorf("changed were %v only", changed)
	}
}

// temporary has a segment that ends with it, once the one before is gone, and ends
// when it is told to.
func temporary(p *program) {
	for {
		s, err := p.Create(p.ctx, p.arg(0), pageSize, mome.Temporary())
		if p.arg(1) == "patient" && errors.Is(err, mome.ErrExists) {
			yield()
			continue // its node has not noticed yet that the owner is dead
		}
		check(err)
		if w := words(s); w[0] != 0 {
			fatalf("the segment holds %d", w[0])
		} else {
			w[0] = 1
		}
		break
	}
	p.meet("made")
}

// TestTemporary: a temporary segment ends with its program, killed or not. On the
// node of the program the name is free at once, on others a moment later.
func TestTemporary(t *testing.T) {
	onShared(t, []shape{two}, func(t *testing.T, c *cluster) {
		for _, kill := range []bool{true, false} {
			first := c.run(0, "temporary", "at once")
			first.at("made")
			if kill {
				first.kill()
			} else {
				first.tell("end")
				first.ok()
			}
			second := c.run(0, "temporary", "at once")
			second.at("made")
			second.kill()
			third := c.run(1, "temporary", "patient")
			third.at("made")
			third.kill()
		}
		c.until("the segment is gone", func() bool { return c.segment(0).Name == "" && c.segment(1).Name == "" })
	})
}
