//go:build mutants

package mutants

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/cockroachdb/datadriven"
)

var mutantFlag = flag.String("mutant", "", "say what each link finds in this mutant, and compare nothing")

// none is the name of the code as it is.
const none = "none"

// missed stands in the table where a link finds nothing.
const missed = "-"

// finding is what a link finds in a mutant.
type finding struct {
	short string // for the table, the same in every run; empty: nothing
	full  string // for people
}

// row is what the links find in one mutant, in the order of the columns.
type row struct {
	mutant string
	found  []finding
}

// table is what is found in the mutants of one layer.
type table struct {
	name  string // file below testdata
	links []string
	rows  []row
}

// compare demands that the table is the committed one, that each mutant is found
// by somebody, and that nothing is found where there is no mistake.
func (tb *table) compare(t *testing.T) {
	t.Helper()
	again := fmt.Sprintf("go test -tags mutants ./impl/mutants -v -run '^%s$' -mutant", t.Name())
	by := make([]int, len(tb.links))
	bugs, nobody := 0, 0
	for _, r := range tb.rows {
		if *mutantFlag != "" {
			for i, f := range r.found {
				t.Logf("%s: %s: %s\n%s", r.mutant, tb.links[i], orMissed(f.short), f.full)
			}
			continue
		}
		any := false
		for i, f := range r.found {
			if f.short == "" {
				continue
			}
			any = true
			if r.mutant == none {
				t.Errorf("the %s finds a mistake where there is none: %s\n%s\nrun again: %s %s", tb.links[i], f.short, f.full, again, none)
			} else {
				by[i]++
			}
		}
		if r.mutant == none {
			continue
		}
		bugs++
		if !any {
			nobody++
			t.Errorf("nobody finds %s; run again: %s %s", r.mutant, again, r.mutant)
		}
	}
	if *mutantFlag != "" {
		if len(tb.rows) == 0 {
			t.Skipf("%s has no mutant %q", t.Name(), *mutantFlag)
		}
		return
	}
	datadriven.RunTest(t, "testdata/"+tb.name, func(t *testing.T, d *datadriven.TestData) string { return tb.String() })
	var counts []string
	for i, l := range tb.links {
		counts = append(counts, fmt.Sprintf("%s %d", l, by[i]))
	}
	t.Logf("mutants: %s: %d bugs; found by %s; by nobody %d", tb.name, bugs, strings.Join(counts, ", "), nobody)
}

// wanted says whether a mutant is to be run.
func wanted(mutant string) bool { return *mutantFlag == "" || *mutantFlag == mutant }

func (tb *table) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "mutant\t%s\n", strings.Join(tb.links, "\t"))
	for _, r := range tb.rows {
		cells := []string{r.mutant}
		for _, f := range r.found {
			cells = append(cells, orMissed(f.short))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	w.Flush()
	return b.String()
}

func orMissed(short string) string {
	if short == "" {
		return missed
	}
	return short
}
