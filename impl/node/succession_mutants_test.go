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
	tb := mutants.Table{Name: "nodes", Package: "./impl/node", Checks: []string{"node"}}
	for _, m := range slices.Concat(
		mutants.Mistakes(coord.Break, coord.Named("PagesCompared")),
		mutants.Mistakes(Break, Bugs("segments")...),
		mutants.Mistakes(protocol.Break, protocol.Named("EarlyStays")),
	) {
		if !mutants.Wanted(m.Name) {
			continue
		}
		check := "skipped view"
		switch m.Name {
		case "ResidenceOfAnother":
			check = "residence"
		case "EarlyStays":
			check = "early"
		}
		var found mutants.Finding
		t.Run(m.Name, func(t *testing.T) {
			m.Put(true)
			t.Cleanup(func() { m.Put(false) }) // registered first: the nodes have ended by then
			i := slices.IndexFunc(successions, func(s succession) bool { return s.name == check })
			if wrong := successions[i].check(t); wrong != "" {
				property, _, _ := strings.Cut(wrong, ":")
				found = mutants.Finding{Short: check + ": " + property, Full: wrong}
			}
		})
		tb.Rows = append(tb.Rows, mutants.Row{Mutant: m.Name, Found: []mutants.Finding{found}})
	}
	tb.Compare(t, "../mutants/testdata")
}
