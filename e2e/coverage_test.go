package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mome-dsm/mome/impl/client/clienttest"
	"github.com/mome-dsm/mome/impl/coverage"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/wire"
)

var recordFlag = flag.String("record", "", "leave the traces of TestCoverage below this directory")

// bereaved has a party of a barrier die, and the others hear of it.
func bereaved(c *cluster) {
	parties := c.team(c.shape.nodes, c.shape.nodes, "party")
	parties[0].at("round")
	parties[0].kill()
	allOK(parties[1:])
	c.remove()
}

// raced are the cells that real runs meet by chance only.
var raced = map[coverage.Cell]string{
	{Action: "RecvData", Level: coverage.Leaf, Phase: protocol.RecalledClimbing}:      "the page takes longer over one link than its Grant and the next Recall over two",
	{Action: "LeafRecvGrant", Level: coverage.Leaf, Phase: protocol.RecalledClimbing}: "the Grant waits for a page that RecvData brings in that phase",
}

// TestCoverage records real clusters. It demands of each run that every action
// of the specification was taken at every level that has it, and of all runs
// together that it was in every phase. The messages that it demands beside are
// those that a run gets around only by design: of a write back, and of a copy
// that is asked for when it is gone.
func TestCoverage(t *testing.T) {
	requireUserfaultfd(t)
	sor := filepath.Join(t.TempDir(), "sor")
	if out, err := exec.Command("go", "build", "-o", sor, "../examples/sor").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wanted := []coverage.Case{
		{Action: "Writeback", Kind: protocol.Req, Op: protocol.OpWriteback, Have: protocol.Write},
		{Action: "Writeback", Kind: protocol.Req, Op: protocol.OpWriteback, Have: protocol.Owned},
		{Action: "LeafRecvGrant", Kind: protocol.Grant, Op: protocol.OpWriteback, Source: protocol.Have},
		{Action: "LeafRecvRecall", Kind: protocol.Recall, Keep: protocol.Read, Dst: protocol.ToHome},
	}
	dir := t.TempDir()
	if *recordFlag != "" {
		dir = *recordFlag
	}
	total, deepest, ran := coverage.New(coverage.Strong), 0, 0
	runs := []struct {
		shape
		transport string
		wanted    []coverage.Case
	}{
		// With one manager there is no miss: a root that knows no owner has the
		// page itself.
		{two, wire.GRPC, wanted},
		{four, wire.TCP, append([]coverage.Case{
			{Action: "LeafRecvRecall", Kind: protocol.Recall, Keep: protocol.Read, Dst: protocol.ToLeaf, Missed: true}}, wanted...)},
	}
	for _, run := range runs {
		name := fmt.Sprintf("nodes=%d", run.nodes)
		t.Run(name, func(t *testing.T) {
			slow := run.shape
			slow.quiet = true
			run.trace, slow.trace = filepath.Join(dir, name), filepath.Join(dir, name+",held")
			clear := func(trace string) {
				if err := os.RemoveAll(trace); err != nil {
					t.Fatal(err)
				}
			}
			clear(run.trace)
			// The logs are whole when the clusters have ended.
			if !t.Run("work", func(t *testing.T) { work(start(t, run.transport, run.shape), sor) }) {
				return
			}
			inTime := false
			for _, slow.residence = range residences {
				clear(slow.trace)
				if !t.Run("held", func(t *testing.T) { inTime = heldBack(start(t, run.transport, slow)) }) {
					return
				}
				if inTime {
					break
				}
			}
			if !inTime {
				t.Fatalf("the machine does not do some commands within %v", slow.residence)
			}
			specs, err := coverage.Read(run.trace, slow.trace)
			if err != nil {
				t.Fatal(err)
			}
			ran++
			for _, r := range specs {
				t.Logf("coverage: %s at %d nodes, depth %d: %d actions in %d logs; every action at every level\n%v",
					r.Name, r.Nodes, r.Depth, r.Total(), r.Logs, r)
				for _, k := range r.SortedCases() {
					t.Logf("%8d %s: %s", r.Cases[k], k.Action, k.Message())
				}
				for _, never := range r.Never(r.Depth) {
					t.Errorf("%s was never taken at %v", never.Action, never.Level)
				}
				if r.Spec != coverage.Strong {
					continue
				}
				total.Add(r.Coverage)
				deepest = max(deepest, r.Depth)
				for _, k := range run.wanted {
					if r.Cases[k] == 0 {
						t.Errorf("%s was never taken for %q", k.Action, k.Message())
					}
				}
			}
		})
	}
	// Of these the logs are for TLC alone: whoever gets a page loses it at once.
	for _, s := range []shape{eager, brief} {
		s.trace = filepath.Join(dir, s.String())
		if err := os.RemoveAll(s.trace); err != nil {
			t.Fatal(err)
		}
		t.Run(s.String(), func(t *testing.T) { kept(start(t, wire.TCP, s), 40) })
	}
	if t.Failed() || ran < len(runs) {
		return
	}
	if clienttest.RaceEnabled {
		return // programs ten times as slow meet nodes in other phases
	}
	for _, k := range total.Holes(deepest) {
		if raced[k] == "" {
			t.Errorf("%s at %v was never taken in phase %v", k.Action, k.Level, k.Phase)
		}
	}
	for _, k := range total.Contradictions() {
		t.Errorf("%s at %v was taken in phase %v, which is listed as impossible: %s", k.Action, k.Level, k.Phase, total.Impossible(k))
	}
	t.Logf("coverage: strong, all runs: every phase of them but the %d left to chance\n%v", len(raced), total)
}

// work is what runs on a recorded cluster: a counter, the litmus tests, SOR, the
// script of toggle, a lock whose holders die, and a barrier that loses a party.
func work(c *cluster, sor string) {
	ranks := 2 * c.shape.nodes
	for _, way := range []struct {
		name  string
		times int
	}{{"add", 500}, {"lock", 20}} {
		apps := c.team(c.shape.nodes, ranks, "counter", way.name, way.times)
		allAt(apps, "ready")
		allTell(apps, "go")
		allOK(apps)
		c.remove()
	}
	allOK(c.team(c.shape.nodes, litmusThreads, "litmus", 24, c.seed))
	var apps []*app
	for r := range c.shape.nodes {
		apps = append(apps, c.binary(r, r, c.shape.nodes, sor, "--rows", "130", "--cols", "512", "--iterations", "4", "--phases", "1"))
	}
	allOK(apps)
	toggled(c)
	c.remove()
	contend(c)
	c.remove()
	bereaved(c)
}
