package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/coverage"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/wire"
)

var recordFlag = flag.String("record", "", "leave the traces of TestCoverage below this directory")

const togglePages = 4 * 4

func init() { programs["toggle"] = toggle }

// toggle does to single pages what the test says, one thing at a time: a line
// is a verb and the number of a page.
func toggle(p *program) {
	s := p.open(togglePages*pageSize, mome.WithHome(mome.Block))
	w := words(s)
	for {
		var verb string
		var page int64
		if n, err := fmt.Sscan(p.hear(), &verb, &page); n < 1 {
			check(err)
		}
		word := &w[page*pageWords]
		switch verb {
		case "load":
		case "store":
			atomic.AddInt64(word, 1)
		case "writeback":
			check(s.WriteBack(p.ctx, page*pageSize, pageSize))
			p.say("done")
			continue
		case "drop":
			check(s.Drop(p.ctx, page*pageSize, pageSize))
			p.say("done")
			continue
		case "end":
			return
		}
		p.say("saw", atomic.LoadInt64(word))
	}
}

// toggleScript is what happens to a page, in order. The nodes are ranked from
// the page's home on, as the tree ranks them: with four nodes and fan-out 2,
// ranks 2 and 3 have a manager of their own between them and the root.
var toggleScript = []struct {
	rank int
	verb string
}{
	{3, "load"},      // nobody has written the page: zeros
	{3, "store"},     // it has a copy, and gets the right
	{3, "writeback"}, // the page goes home
	{2, "load"},      // from its neighbour's copy, below their manager
	{3, "drop"},      // evicted, and nobody is told
	{2, "drop"},
	{3, "load"},      // their manager asks rank 2 for its copy: a miss, so it climbs
	{0, "store"},     // takes the copy
	{2, "store"},     // takes the page
	{1, "load"},      // rank 2 stays the owner
	{2, "writeback"}, // and need not be it any longer
	{2, "store"},     // takes the copy back
	{2, "drop"},      // written back first
	{0, "load"},
}

// toggled runs the script on a page of each home, and demands that every load
// sees all stores.
func toggled(c *cluster) {
	t, nodes := c.t, c.shape.nodes
	apps := c.team(nodes, nodes, "toggle")
	for page := 0; page < togglePages; page += togglePages / nodes {
		stores := 0
		for _, do := range toggleScript {
			a := apps[(home(page, togglePages, nodes)+do.rank)%nodes]
			a.tell(fmt.Sprint(do.verb, " ", page))
			switch do.verb {
			case "store":
				stores++
				fallthrough
			case "load":
				if saw := a.at("saw")[0]; saw != fmt.Sprint(stores) {
					t.Errorf("%s to %s page %d: it saw %s, want %d", a.title, do.verb, page, saw, stores)
				}
			default:
				a.at("done")
			}
		}
	}
	allTell(apps, "end")
	allOK(apps)
}

// bereaved has a party of a barrier die, and the others hear of it.
func bereaved(c *cluster) {
	parties := c.team(c.shape.nodes, c.shape.nodes, "party")
	parties[0].at("round")
	parties[0].kill()
	allOK(parties[1:])
	c.remove()
}

// TestCoverage records real clusters and demands that every action of the
// specification was taken at every level that has it. The messages that it
// demands beside are those that a run gets around only by design: of a write
// back, and of a copy that is asked for when it is gone.
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
	for _, run := range []struct {
		shape
		transport string
		wanted    []coverage.Case
	}{
		// With one manager there is no miss: a root that knows no owner has the
		// page itself.
		{two, wire.GRPC, wanted},
		{four, wire.TCP, append([]coverage.Case{
			{Action: "LeafRecvRecall", Kind: protocol.Recall, Keep: protocol.Read, Dst: protocol.ToLeaf, Missed: true}}, wanted...)},
	} {
		name := fmt.Sprintf("nodes=%d", run.nodes)
		t.Run(name, func(t *testing.T) {
			run.trace = t.TempDir()
			if *recordFlag != "" {
				run.trace = filepath.Join(*recordFlag, name)
				if err := os.RemoveAll(run.trace); err != nil {
					t.Fatal(err)
				}
			}
			// The logs are whole when the cluster has ended.
			if !t.Run("record", func(t *testing.T) {
				work(start(t, run.transport, run.shape), sor)
			}) {
				return
			}
			specs, err := coverage.Read(run.trace)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range specs {
				t.Logf("coverage: %s at %d nodes, depth %d: %d actions in %d logs\n%v", r.Name, r.Nodes, r.Depth, r.Total(), r.Logs, r)
				for _, k := range r.SortedCases() {
					t.Logf("%8d %s: %s", r.Cases[k], k.Action, k.Message())
				}
				for _, never := range r.Never(r.Depth) {
					t.Errorf("%s was never taken at %v", never.Action, never.Level)
				}
				for _, k := range run.wanted {
					if r.Spec == coverage.Strong && r.Cases[k] == 0 {
						t.Errorf("%s was never taken for %q", k.Action, k.Message())
					}
				}
			}
		})
	}
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
		apps = append(apps, c.binary(r, r, c.shape.nodes, sor, "--rows", "130", "--cols", "512", "--iterations", "4"))
	}
	allOK(apps)
	toggled(c)
	c.remove()
	contend(c)
	c.remove()
	bereaved(c)
}
