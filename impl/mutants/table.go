//go:build mutants

package mutants

import (
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/cockroachdb/datadriven"
)

var mutantFlag = flag.String("mutant", "", "say what each check finds in this mutant, and compare nothing")

// None is the name of the code as it is.
const None = "none"

// replayed is the replay of what a broken core has recorded.
const replayed = "replay"

// missed stands in the table where a check finds nothing.
const missed = "-"

// Mistake is one that can be put into the code, and mended.
type Mistake struct {
	Name string
	Put  func(on bool)
}

// Mistakes are mutants of a package, with what switches one of them on.
func Mistakes[B fmt.Stringer](put func(B), bugs ...B) (all []Mistake) {
	var mended B
	for _, b := range bugs {
		all = append(all, Mistake{b.String(), func(on bool) {
			if put(mended); on {
				put(b)
			}
		}})
	}
	return all
}

// Finding is what a check finds in a mutant.
type Finding struct {
	Short string // for the table, the same in every run; empty: nothing
	Full  string // for people
}

// Row is what the checks find in one mutant, in the order of the columns.
type Row struct {
	Mutant string
	Found  []Finding
}

// Table is what is found in the mutants of one layer.
type Table struct {
	Name    string // of the file in testdata
	Package string // of the test, as the go command has it
	Checks  []string
	// Uncounted is a check that nobody has for a real mistake, as it compares with the
	// code without it: it tells where a mutant first differs, and counts for nothing.
	Uncounted string
	Rows      []Row
}

// Compare demands that the table is the committed one, that each mutant is found
// by somebody, and that nothing is found where there is no mistake. It prints
// the figures.
func (tb *Table) Compare(t *testing.T, testdata string) {
	t.Helper()
	again := fmt.Sprintf("scripts/mutated go test %s -v -run '^%s$' -mutant", tb.Package, t.Name())
	by := make([]int, len(tb.Checks))
	bugs, nobody := 0, 0
	for _, r := range tb.Rows {
		if *mutantFlag != "" {
			for i, f := range r.Found {
				t.Logf("%s: %s: %s\n%s", r.Mutant, tb.Checks[i], orMissed(f.Short), f.Full)
			}
			continue
		}
		any := false
		for i, f := range r.Found {
			if f.Short == "" {
				continue
			}
			any = any || tb.Checks[i] != tb.Uncounted
			if r.Mutant == None {
				t.Errorf("the %s finds a mistake where there is none: %s\n%s\nrun again: %s %s", tb.Checks[i], f.Short, f.Full, again, None)
			} else if tb.Checks[i] != tb.Uncounted {
				by[i]++
			}
		}
		if r.Mutant == None {
			continue
		}
		bugs++
		if !any {
			nobody++
			t.Errorf("nobody finds %s; run again: %s %s", r.Mutant, again, r.Mutant)
		}
	}
	if *mutantFlag != "" {
		if len(tb.Rows) == 0 {
			t.Skipf("%s has no mutant %q", t.Name(), *mutantFlag)
		}
		return
	}
	compared := false
	datadriven.RunTest(t, filepath.Join(testdata, tb.Name), func(t *testing.T, d *datadriven.TestData) string {
		compared = true
		found := tb.String()
		for i, line := range rows(found) {
			if slices.Contains(rows(d.Expected), line) {
				continue
			}
			for j, f := range tb.Rows[i].Found {
				t.Logf("%s: %s: %s\n%s", tb.Rows[i].Mutant, tb.Checks[j], orMissed(f.Short), f.Full)
			}
			t.Logf("run again: %s %s", again, tb.Rows[i].Mutant)
		}
		return found
	})
	if !compared {
		t.Errorf("%s holds no table", filepath.Join(testdata, tb.Name))
	}
	var counts []string
	for i, l := range tb.Checks {
		if l != tb.Uncounted {
			counts = append(counts, fmt.Sprintf("%s %d", l, by[i]))
		}
	}
	t.Logf("mutants: %s: %d bugs; found by %s; by nobody %d", tb.Name, bugs, strings.Join(counts, ", "), nobody)
}

// Wanted says whether a mutant is to be run: all are, unless the flag names one.
func Wanted(mutant string) bool { return *mutantFlag == "" || *mutantFlag == mutant }

func (tb *Table) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "mutant\t%s\n", strings.Join(tb.Checks, "\t"))
	for _, r := range tb.Rows {
		cells := []string{r.Mutant}
		for _, f := range r.Found {
			cells = append(cells, orMissed(f.Short))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	w.Flush()
	return b.String()
}

// rows are the lines of a table under its head, whatever the columns' width.
func rows(table string) (list []string) {
	for line := range strings.Lines(table) {
		list = append(list, strings.Join(strings.Fields(line), " "))
	}
	return list[min(1, len(list)):]
}

func orMissed(short string) string {
	if short == "" {
		return missed
	}
	return short
}
