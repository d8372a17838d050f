package e2e

import (
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/history"
	"github.com/mome-dsm/mome/linearizability"
)

const (
	historyClients   = 2  // of each process
	historyRegisters = 24 // over three pages
	registerGap      = 3 * pageWords / historyRegisters
	historyLocked    = 10 // turns of each client
	historyParts     = 8  // so often the clients of a process begin together with all others
)

// historySegment: a counter, a word that is compared and swapped, one that is
// written and added to, and one that a lock protects share a page; registers are
// in other pages.
const historySegment = 4 * pageSize

func init() { programs["recorded"] = recorded }

// recorded uses words and a lock in every way that there is, from several
// goroutines, and records that. However few processors there are, no process is
// done before the others have begun: they meet now and then.
func recorded(p *program) {
	recorder, err := mome.Record(p.Node)
	check(err)
	if recorder == nil {
		fatalf("%s is not set", mome.EnvHistory)
	}
	s := p.open(historySegment)
	lock := p.Lock(p.arg(0))
	times := p.number(1)
	barrier, err := p.Barrier(p.ctx, p.arg(0), p.Rank(), p.Size())
	check(err)
	var clients []func(from, to int)
	for c := range historyClients {
		client := recorder.Client()
		few, err := mome.WordsOf[int64](client, s, 0, 4)
		check(err)
		many, err := mome.WordsOf[uint64](client, s, pageSize, historyRegisters*registerGap)
		check(err)
		number := p.Rank()*historyClients + c
		random := rand.New(rand.NewPCG(uint64(p.number(2)), uint64(number)))
		clients = append(clients, func(from, to int) {
			for i := from; i < to; i++ {
				if i%16 == 0 {
					yield()
				}
				mine := int64(number+1)<<40 | int64(i+1)<<8 // no other store has this value
				register := random.IntN(historyRegisters) * registerGap
				switch random.IntN(8) {
				case 0, 1:
					few.Add(0, 1)
				case 2:
					old := few.Load(1)
					few.CompareAndSwap(1, old, mine)
				case 3:
					switch random.IntN(6) {
					case 0:
						few.Store(2, mine)
					case 1:
						few.Add(2, 1)
					default:
						few.Load(2)
					}
				case 4, 5:
					many.Store(register, uint64(mine))
				default:
					many.Load(register)
				}
				if i%(times/historyLocked) == 0 {
					_, err := client.Acquire(p.ctx, lock)
					check(err)
					few.Store(3, few.Load(3)+1)
					check(client.Release(lock))
				}
			}
		})
	}
	p.meet("ready")
	for part := range historyParts {
		check(barrier.Wait(p.ctx))
		var wg sync.WaitGroup
		for _, run := range clients {
			wg.Go(func() { run(part*times/historyParts, (part+1)*times/historyParts) })
		}
		wg.Wait()
	}
	check(barrier.Close())
	check(recorder.Close())
}

// TestHistory records what processes on all nodes do and judges it. Then one
// answer is changed, and it must be rejected.
func TestHistory(t *testing.T) {
	onShared(t, []shape{two, four}, func(t *testing.T, c *cluster) {
		dir := t.TempDir()
		t.Setenv(mome.EnvHistory, dir)
		times := 2000
		if testing.Short() {
			times = 400
		}
		ranks := 2 * c.shape.nodes
		apps := c.team(c.shape.nodes, ranks, "recorded", times, c.seed%1_000_000)
		allAt(apps, "ready")
		allTell(apps, "go")
		allOK(apps)
		c.remove()
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
		by := make(map[string]int)
		for _, m := range r.Models {
			by[m.Model] = m.Operations
			if m.Clients != h.Clients || m.Checkers["search"] > 0 {
				t.Errorf("%s: %d of %d clients; decided by %v, want no search", m.Model, m.Clients, h.Clients, m.Checkers)
			}
		}
		if len(r.Models) != 5 || h.Files != ranks || h.Clients != historyClients*ranks {
			t.Errorf("%d models in %d histories of %d clients, want 5 in %d of %d", len(r.Models), h.Files, h.Clients, ranks, historyClients*ranks)
		}
		if turns := nodesTakeTurns(h); turns < 4*ranks {
			t.Errorf("the counter went from one process to another %d times only", turns)
		}
		mustReject(t, h)
		t.Logf("histories: real clusters, %s, %v: %d operations of %d clients, all linearizable: %v", c.transport, c.shape, len(h.Operations), h.Clients, by)
	})
}

// nodesTakeTurns counts how often the next addition to the counter was another
// process's.
func nodesTakeTurns(h *linearizability.History) (turns int) {
	by := make(map[uint64]string)
	for i := range h.Operations {
		if o := &h.Operations[i]; o.Op == history.OpAdd && o.Word == 0 {
			by[o.Result] = o.File
		}
	}
	for sum, file := range by {
		if next, ok := by[sum+1]; ok && next != file {
			turns++
		}
	}
	return turns
}

// mustReject changes the answer of one operation of each kind, in turn.
func mustReject(t *testing.T, h *linearizability.History) {
	t.Helper()
	changed := make(map[string]bool)
	for i := len(h.Operations) - 1; i >= 0; i-- {
		o := &h.Operations[i]
		if changed[o.Op] {
			continue
		}
		was := *o
		switch {
		case o.Op == history.OpAdd:
			o.Result--
		case o.Op == history.OpRead && o.Word >= pageWords && o.Value > 0, o.Op == history.OpRelease:
			o.Value--
		case o.Op == history.OpAcquire && o.Value > 2:
			o.Value -= 2
		case o.Op == history.OpCAS && o.Result == 0 && o.Old != 0:
			o.Result = 1
		case o.Op == history.OpCAS && o.Result != 0:
			o.Old++
		default:
			continue
		}
		changed[was.Op] = true
		if r := linearizability.Check(h.Operations, linearizability.Limits{}); r.Verdict != linearizability.Violation {
			t.Errorf("%v instead of %v at %s: %v", o, &was, o.Where(), r.Verdict)
		}
		*o = was
	}
	for _, op := range []string{history.OpRead, history.OpAdd, history.OpCAS, history.OpAcquire, history.OpRelease} {
		if !changed[op] {
			t.Errorf("no %s was changed", op)
		}
	}
}
