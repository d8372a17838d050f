//go:build mutants

package node

import (
	"slices"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/mutants"
	"github.com/mome-dsm/mome/impl/protocol"
)

// TestBrokenSegments puts mistakes into what a node does when a segment goes and
// another one has its pages: its own, that of the views, and of the core the one whose
// harm is the shell's. Each is looked for by the check that is about it; TestSuccession
// has them all without a mistake. The table is impl/mutants/testdata/nodes.
func TestBrokenSegments(t *testing.T) {
	tb := mutants.Table{Name: "nodes", Package: "./impl/node", Links: []string{"node"}}
	row := func(name, check string, put func(on bool)) {
		if !mutants.Wanted(name) {
			return
		}
		var found mutants.Finding
		t.Run(name, func(t *testing.T) {
			put(true)
			t.Cleanup(func() { put(false) }) // registered first: the nodes have ended by then
			i := slices.IndexFunc(successions, func(s succession) bool { return s.name == check })
			if wrong := successions[i].check(t); wrong != "" {
				property, _, _ := strings.Cut(wrong, ":")
				found = mutants.Finding{Short: check + ": " + property, Full: wrong}
			}
		})
		tb.Rows = append(tb.Rows, mutants.Row{Mutant: name, Found: []mutants.Finding{found}})
	}
	own := func(b bug) func(bool) {
		return func(on bool) {
			if theBug = 0; on {
				theBug = b
			}
		}
	}
	row("PagesCompared", "skipped view", coord.ComparePages)
	row("PagesStay", "skipped view", own(bugPagesStay))
	row("RemovedServed", "skipped view", own(bugRemovedServed))
	row("EarlyNotReplayed", "skipped view", own(bugEarlyNotReplayed))
	row("ResidenceOfAnother", "residence", own(bugResidenceOfAnother))
	row("EarlyStays", "early", func(on bool) {
		bugs := protocol.Bugs("segments")
		if protocol.Break(0); on {
			protocol.Break(bugs[slices.IndexFunc(bugs, func(b protocol.Bug) bool { return b.String() == "EarlyStays" })])
		}
	})
	tb.Compare(t, "../mutants/testdata")
}
