//go:build mutants

package mutants

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/mome-dsm/mome/impl/explore"
)

// exploredModels are the models of spec/strong that the explorer takes, one
// after another. The larger ones are there for what needs four leaves, or two
// that are recalled at once.
var exploredModels = []string{"root2", "chain3", "pair3", "live-deep3", "thin4", "root3", "fork4"}

var readModels = sync.OnceValues(func() ([]*explore.Model, error) { return explore.Models(os.DirFS("../../spec")) })

// unexplored are mistakes about what no state of a model has: more than a few
// children, clocks, transactions, terms and incarnations, and what a core keeps
// beside its states. To explore all models for each would find nothing.
var unexplored = []string{"RecallsNarrow", "NoStamp", "StampOfFirstGrant", "ResidenceOfRecall", "AskingKept", "NoTxn",
	"ClockStands", "NoTerm", "NoIncarnation"}

// findByExplorer is what the first model shows.
func findByExplorer(t *testing.T, mutant string) Finding {
	if slices.Contains(unexplored, mutant) {
		return Finding{}
	}
	models, err := readModels()
	if err != nil {
		t.Error(err)
		return Finding{}
	}
	for _, name := range exploredModels {
		i := slices.IndexFunc(models, func(m *explore.Model) bool { return m.Name == name })
		if i < 0 {
			t.Errorf("there is no model %s", name)
			continue
		}
		_, err := explore.Run(models[i])
		var f *explore.Failure
		if errors.As(err, &f) {
			return Finding{fmt.Sprintf("%s %s", name, f.Property), f.Report()}
		}
		if err != nil {
			t.Error(err)
		}
	}
	return Finding{}
}
