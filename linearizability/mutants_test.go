//go:build mutants

package linearizability

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/history"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/sim"
)

// worlds are where broken cores run: small ones, in which nodes meet often.
var worlds = []sim.Config{
	{Nodes: 2, Fanout: 64, Pages: 1, Processes: 2},
	{Nodes: 3, Fanout: 64, Pages: 2, Lateral: true},
	{Nodes: 4, Fanout: 2, Pages: 1, Processes: 2},
	{Nodes: 6, Fanout: 2, Pages: 2, Lateral: true},
	{Nodes: 4, Fanout: 2, Pages: 2, Segments: 2, Recreate: true, Breaks: true},
}

// simulate runs a world and judges the history that it leaves in a file, as the
// history of a real program is judged. A broken core may stop anywhere.
func simulate(t *testing.T, cfg sim.Config, broken bool) (*sim.History, *Report) {
	t.Helper()
	w := sim.New(cfg)
	h := w.RecordHistory()
	if f := w.Play(1500, !broken); f != nil && !broken {
		t.Fatal(f)
	}
	return h, judgeFile(t, h.Operations, cfg.Seed)
}

// judgeFile writes a history and judges what it reads.
func judgeFile(t *testing.T, ops []history.Operation, seed uint64) *Report {
	t.Helper()
	path := filepath.Join(t.TempDir(), "history.ndjson")
	defer os.Remove(path)
	header := history.Header{Model: "strong", Run: "simulated", Process: "simulated", Seed: seed}
	if err := history.Write(path, header, ops); err != nil {
		t.Fatal(err)
	}
	h, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return Check(h.Operations, Limits{})
}

// staleHistories is how many histories with a wrong read must be rejected.
const staleHistories = 1000

// TestStaleReads lets deliberately broken cores run with the simulator's own
// checks off, until there are a thousand histories with a load that its atomic
// memory knows to be wrong. All must be rejected. A history in which every load
// returned what the atomic memory had must be accepted, whatever the core did.
// Loads that were stale and may be right nevertheless, since they were under way
// for long, are counted and not judged here.
func TestStaleReads(t *testing.T) {
	defer protocol.Break(0)
	wrong := make(map[protocol.Bug]int)
	var rejected, accepted, between, ops int
	first := uint64(0)
	if *seed > 0 {
		first = *seed
	}
	for s := first; rejected < staleHistories; s++ {
		if s == first+1000 {
			t.Fatalf("%d histories with wrong reads after %d seeds", rejected, s-first)
		}
		for _, bug := range protocol.Bugs("pages") {
			for i, cfg := range worlds {
				protocol.Break(bug)
				cfg.Seed = s
				h, r := simulate(t, cfg, true)
				ops += len(h.Operations)
				again := fmt.Sprintf("run again: scripts/mutated go test ./linearizability -run TestStaleReads -seed %d", s)
				switch {
				case h.Wrong > 0 && r.Verdict != Violation:
					t.Fatalf("%v in world %d: %d wrong reads, and the verdict is %v\n%s", bug, i, h.Wrong, r.Verdict, again)
				case h.Wrong > 0:
					if slices.ContainsFunc(r.Findings, func(f *Result) bool { return !f.Confirmed }) {
						t.Fatalf("%v in world %d: Porcupine has not confirmed %s\n%s", bug, i, r.Findings[0].Why, again)
					}
					wrong[bug]++
					rejected++
				case h.Stale == 0 && r.Verdict != Linearizable:
					t.Fatalf("%v in world %d: every read is right, and the verdict is %v: %s\n%s", bug, i, r.Verdict, r.Findings[0].Why, again)
				case h.Stale == 0:
					accepted++
				default:
					between++
				}
			}
		}
	}
	var bugs []string
	for bug, n := range wrong {
		bugs = append(bugs, fmt.Sprintf("%v %d", bug, n))
	}
	slices.Sort(bugs)
	t.Logf("histories: %d with stale reads, all rejected; %d of broken cores without one, all accepted; %d stale reads that may be right; %d operations",
		rejected, accepted, between, ops)
	t.Logf("histories: rejected, by mutant: %s", strings.Join(bugs, ", "))
	if len(bugs) < 5 {
		t.Errorf("wrong reads of %d mutants only", len(bugs))
	}
}

// TestCorrectCore: histories of the core as it is are all accepted, and all
// rejected once one read has an older value.
func TestCorrectCore(t *testing.T) {
	protocol.Break(0)
	good, corrupted := 0, 0
	for s := range uint64(100) {
		for _, cfg := range worlds {
			cfg.Seed = s
			h, r := simulate(t, cfg, false)
			if h.Stale > 0 || r.Verdict != Linearizable {
				t.Fatalf("seed %d, %+v: %d stale reads, %v", s, cfg, h.Stale, r.Verdict)
			}
			good++
			if !corruptRead(rand.New(rand.NewPCG(s, 0)), h.Operations) {
				continue
			}
			if r := judgeFile(t, h.Operations, s); r.Verdict != Violation {
				t.Fatalf("seed %d, %+v: with a corrupted read, %v", s, cfg, r.Verdict)
			}
			corrupted++
		}
	}
	t.Logf("histories: %d of the correct core, all accepted; %d of them with a corrupted read, all rejected", good, corrupted)
	if corrupted < good/2 {
		t.Errorf("%d of %d were corrupted", corrupted, good)
	}
}

// corruptRead gives a read a value that was overwritten before it was called, by
// a write that was called after that of the value had returned.
func corruptRead(rng *rand.Rand, ops []history.Operation) bool {
	for _, at := range rng.Perm(len(ops)) {
		r := &ops[at]
		if r.Op != history.OpRead {
			continue
		}
		same := func(o *history.Operation) bool {
			return o.Op == history.OpWrite && o.Object == r.Object && o.Word == r.Word
		}
		for i := range ops {
			for k := range ops {
				if old, young := &ops[i], &ops[k]; same(old) && same(young) && old.Return < young.Call && young.Return < r.Call {
					r.Value = old.Value
					return true
				}
			}
		}
	}
	return false
}
