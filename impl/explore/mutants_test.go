//go:build mutants

package explore

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/mome-dsm/mome/impl/protocol"
)

// invisible are the mistakes that no model of one page and one segment shows.
var invisible = map[string]string{
	"GenerationIgnored": "a model has one segment, which is never removed",
}

// larger are the models that show the mistakes which no small one shows.
var larger = map[string]string{
	"SkipAckWait": "root3", // waits for the first of two others
	"MissAsHit":   "fork4", // the root's owner does not evict: a manager between asks one
}

// TestMutants puts each mistake into the core and demands that the explorer
// finds it in a small model, or in the one that it needs. testdata/mutants is the table: the models, what fell there and after
// how many actions.
func TestMutants(t *testing.T) {
	defer protocol.Break(0)
	few := []*Model{named(t, "root2"), named(t, "chain3"), named(t, "pair3"), named(t, "thin4"), named(t, "live-deep3")}
	datadriven.RunTest(t, "testdata/mutants", func(t *testing.T, d *datadriven.TestData) string {
		var b strings.Builder
		for _, bug := range protocol.Bugs() {
			protocol.Break(bug)
			fmt.Fprintf(&b, "%v\n", bug)
			found := false
			look := func(m *Model) {
				_, err := Run(m)
				var f *Failure
				if errors.As(err, &f) {
					found = true
					fmt.Fprintf(&b, "  %-10s  %2d actions  %s\n", m.Name, len(f.Path), f.Property)
				}
			}
			for _, m := range few {
				look(m)
			}
			why := invisible[bug.String()]
			if name := larger[bug.String()]; name != "" {
				if found {
					t.Errorf("%v needs no larger model", bug)
				}
				look(named(t, name))
			}
			switch {
			case found && why != "":
				t.Errorf("%v is found, and stands among the invisible", bug)
			case !found && why == "":
				t.Errorf("no model shows %v", bug)
				fmt.Fprintf(&b, "  SURVIVES\n")
			case !found:
				fmt.Fprintf(&b, "  not found: %s\n", why)
			}
		}
		return b.String()
	})
}

// TestMutantPath shows a mistake as the path to the first step that differs from
// the specification: in root2 an invariant falls four actions later.
func TestMutantPath(t *testing.T) {
	m := named(t, "root2")
	g := graphOf(t, draw(t, m))
	defer protocol.Break(0)
	for _, bug := range protocol.Bugs() {
		if bug.String() == "HaveUnchecked" {
			protocol.Break(bug)
		}
	}
	const want = `root2: SameGraph
   1  ReadFault(a)
   2  WriteFault(b)
   3  RecvReq(r, a)
   4  LeafRecvGrant(a)
   5  WriteFault(a)
   6  RecvReq(r, b)
   7  RecvReq(r, a)
   8  LeafRecvRecall(a)
      here RecvAck(r, a) leads the core elsewhere:
        down.b[2].dst: "nobody", in the specification "leaf"
`
	f := compare(m, g)
	if f == nil {
		t.Fatal("no difference")
	}
	if got := f.Report(); got != want {
		t.Errorf("reported\n%s\nwant\n%s", got, want)
	}
}
