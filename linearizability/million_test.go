package linearizability

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/mome-dsm/mome/impl/clock"
	"github.com/mome-dsm/mome/impl/history"
)

// writeRegisters writes a linearizable history of reads and writes of some
// words by some clients, and says where one of the reads stands.
func writeRegisters(t testing.TB, path string, operations, words, clients int) {
	t.Helper()
	all := make([]history.Operation, 0, operations)
	rng := rand.New(rand.NewPCG(1, 2))
	values := make([]uint64, words)
	free := make([]int64, clients) // when a client's last operation has returned
	now := int64(1000)
	for i := range operations {
		client, word := rng.IntN(clients), rng.IntN(words)
		now += rng.Int64N(100)
		o := history.Operation{Client: client, Op: history.OpRead, Object: "words", Word: uint64(word)}
		// It takes effect now; it was called up to ten operations ago.
		o.Call = max(free[client]+1, now-rng.Int64N(500))
		now = max(now, o.Call)
		o.Return = now + rng.Int64N(500)
		free[client] = o.Return
		if rng.IntN(2) == 0 {
			o.Op = history.OpWrite
			values[word] = uint64(i + 1)
		}
		o.Value = values[word]
		all = append(all, o)
	}
	header := history.Header{Model: "strong", Run: "made", Process: path, Reading: clock.Local()}
	if err := history.Write(path, header, all); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkCheck reads a history and judges it.
func BenchmarkCheck(b *testing.B) {
	for _, c := range []struct{ operations, words int }{{1_000_000, 1}, {1_000_000, 1000}} {
		b.Run(fmt.Sprintf("ops=%d/words=%d", c.operations, c.words), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "history.ndjson")
			writeRegisters(b, path, c.operations, c.words, 8)
			for b.Loop() {
				h, err := Read(path)
				if err != nil {
					b.Fatal(err)
				}
				if r := Check(h.Operations, Limits{}); r.Verdict != Linearizable {
					b.Fatal(r.Verdict, r.Findings[0].Why)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/history")
		})
	}
}

// TestManyOperations: one wrong read among many is found, in a history that is
// far too long to search.
func TestManyOperations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.ndjson")
	writeRegisters(t, path, 20_000, 3, 8)
	h, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if r := Check(h.Operations, Limits{}); r.Verdict != Linearizable {
		t.Fatal(r.Verdict, r.Findings[0].Why)
	}
	var old, wrong *Operation
	for i := range h.Operations {
		o := &h.Operations[i]
		if o.Word != 1 {
			continue
		}
		if i > 5_000 && old == nil && o.Op == history.OpWrite {
			old = o
		}
		if i > 15_000 && o.Op == history.OpRead {
			wrong = o
			break
		}
	}
	wrong.Value = old.Value
	r := Check(h.Operations, Limits{})
	if r.Verdict != Violation || len(r.Findings) != 1 || r.Findings[0].Key.Word != 1 || !r.Findings[0].Confirmed {
		t.Fatalf("%v %+v", r.Verdict, r.Findings)
	}
	found := false
	for _, o := range r.Findings[0].Contradiction {
		found = found || o == wrong
	}
	if !found {
		t.Errorf("line %d is not among the operations that contradict each other: %v", wrong.Line, r.Findings[0].Contradiction)
	}
}

// TestManyRefused: compare-and-swaps that are refused between plain writes are
// judged whatever the order of these, in histories far too long to search, and
// also where the first order that comes to mind does not explain them.
func TestManyRefused(t *testing.T) {
	hard := 0
	for seed := range uint64(6) {
		r := &random{Rand: rand.New(rand.NewPCG(seed, 7)), ops: []string{history.OpWrite, history.OpCAS, history.OpCAS},
			unique: true, clients: 4 << (seed % 3), count: 20_000}
		all := r.history()
		s := newStates(pointers(all))
		if blocks, c := s.blocks(); c == nil && s.refuse() && newArrangement(blocks).inSequence() != nil {
			hard++
		}
		if got := Check(all, Limits{}); got.Verdict != Linearizable || got.Models[0].Checkers[checkerChain] != 1 {
			t.Errorf("seed %d: %v by %v", seed, got.Verdict, got.Models[0].Checkers)
		}
		// At the end nobody is at work but one client, who is refused wrongly.
		end, value := int64(0), uint64(1<<40)
		for i := range all {
			end = max(end, all[i].Return)
		}
		all = append(all,
			Operation{Line: len(all) + 2, Operation: history.Operation{Object: "it", Op: history.OpWrite, Value: value, Call: end + 1, Return: end + 2}},
			Operation{Line: len(all) + 3, Operation: history.Operation{Object: "it", Op: history.OpCAS, Old: value, Value: value + 1, Call: end + 3, Return: end + 4}})
		got := Check(all, Limits{})
		if got.Verdict != Violation {
			t.Fatalf("seed %d: %v, want a violation", seed, got.Verdict)
		}
		if ops := got.Findings[0].Contradiction; len(ops) != 2 || ops[0].Line != len(all)+1 || ops[1].Line != len(all) {
			t.Errorf("seed %d: %s: %v", seed, got.Findings[0].Why, ops)
		}
	}
	if hard == 0 {
		t.Error("the order of the middles explained every history: choose other seeds")
	}
}
