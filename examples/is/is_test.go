package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/examples/internal/team"
	"github.com/mome-dsm/mome/impl/client/clienttest"
)

func TestMain(m *testing.M) { clienttest.Main(m, main) }

func TestSerialVerifiesOfficially(t *testing.T) {
	for _, name := range []string{"S", "W", "A", "B"} {
		if (testing.Short() || clienttest.RaceEnabled) && (name == "A" || name == "B") {
			continue
		}
		if o := runSerial(classes[name]); !o.ok() {
			t.Errorf("class %s: %s", name, o.checks())
		}
	}
}

// TestWrongRankIsFound checks that the verifications can fail.
func TestWrongRankIsFound(t *testing.T) {
	c := *classes["S"]
	c.testRank[3]++
	if o := runSerial(&c); o.passed != (tests-1)*iterations || o.ok() {
		t.Errorf("one expected rank is wrong: %s", o.checks())
	}
	a := newArena(&c, 1, make([]int32, arenaLen(&c, 1)))
	a.sorted[0], a.sorted[77] = 1, 3
	newWorker(a, 0).compare()
	if a.outOfOrder() != 2 {
		t.Errorf("%d keys are out of order, want 2", a.outOfOrder())
	}
}

func TestGenerateInParts(t *testing.T) {
	c := classes["S"]
	whole := make([]int32, 5000)
	c.generate(whole, 0)
	parts := make([]int32, 5000)
	for lo := 0; lo < len(parts); lo += 777 {
		c.generate(parts[lo:min(lo+777, len(parts))], lo)
	}
	if !slices.Equal(whole, parts) {
		t.Error("the keys depend on how they are cut")
	}
}

// TestWorkers runs the ranks' steps one after the other on a slice.
func TestWorkers(t *testing.T) {
	c := classes["S"]
	want := runSerial(c)
	for ranks := 1; ranks <= maxRanks(c); ranks++ {
		a := newArena(c, ranks, make([]int32, arenaLen(c, ranks)))
		var workers []*worker
		each := func(step func(*worker)) {
			for _, w := range workers {
				step(w)
			}
		}
		for r := range ranks {
			workers = append(workers, newWorker(a, r))
		}
		each(func(w *worker) { c.generate(w.mine, w.firstKey) })
		passed := 0
		for it := 1; it <= iterations; it++ {
			each(func(w *worker) { w.count(it) })
			each((*worker).accumulate)
			passed += a.check(it)
		}
		each((*worker).sort)
		each((*worker).compare)
		if passed != tests*iterations || a.outOfOrder() != 0 || a.digest() != want.digest {
			t.Errorf("%d ranks: %d verifications passed, %d keys out of order, digest %s", ranks, passed, a.outOfOrder(), a.digest())
		}
	}
}

func TestRanks(t *testing.T) {
	for _, ranks := range []int{1, 2} {
		t.Run(fmt.Sprint(ranks), func(t *testing.T) {
			out := clienttest.Run(t, ranks, "--class", "S", "--json")
			var r team.Report
			if err := json.Unmarshal([]byte(out[0]), &r); err != nil {
				t.Fatalf("%v: %s", err, out[0])
			}
			if r.Verified == nil || !*r.Verified || r.Digest != runSerial(classes["S"]).digest {
				t.Errorf("report %+v, want it verified", r)
			}
		})
	}
}

// TestTooManyRanks checks that ranks which are too many leave nothing behind: the
// program runs on the same node then, with a segment of another size.
func TestTooManyRanks(t *testing.T) {
	daemon := clienttest.Start(t, 3)
	args := []string{"--class", "S"}
	for rank := range 3 {
		status, out := clienttest.RankStatus(t, daemon, rank, 3, args...)
		if status != 2 || !strings.Contains(out, "class S is for 2 ranks at most, not 3") || strings.Count(out, "\n") != 1 {
			t.Errorf("rank %d: status %d, %q", rank, status, out)
		}
	}
	if status, out := clienttest.RankStatus(t, daemon, 0, 1, args...); status != 0 || !strings.Contains(out, "verified") {
		t.Errorf("one rank: status %d, %q", status, out)
	}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"--class Z", 2, `--class "Z"`},
		{"--nonsense", 2, "nonsense"},
		{"--class W", 1, "MOME_SOCKET is not set"},
		{"--serial", 0, "verified"},
	} {
		status, out := clienttest.Status(t, strings.Fields(c.args)...)
		if status != c.status || !strings.Contains(out, c.says) || status != 0 && strings.Count(out, "\n") != 1 {
			t.Errorf("is %s: status %d, %q; want %d and one line with %q", c.args, status, out, c.status, c.says)
		}
	}
}

func BenchmarkIterations(b *testing.B) {
	c := classes["W"]
	w := newWorker(newArena(c, 1, make([]int32, arenaLen(c, 1))), 0)
	c.generate(w.mine, 0)
	b.SetBytes(int64(c.keys()) * 4)
	for b.Loop() {
		w.count(1)
		w.accumulate()
	}
}
