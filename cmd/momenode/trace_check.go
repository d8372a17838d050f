package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mome-dsm/mome/internal/table"
	"github.com/mome-dsm/mome/linearizability"
)

const (
	// mostFindings is how many violations are printed, mostOperations how many
	// operations of each.
	mostFindings   = 10
	mostOperations = 12
)

type checkFlags struct {
	json    *bool
	limits  linearizability.Limits
	picture string
}

func traceCheckCommand(asJSON *bool) *cobra.Command {
	f := checkFlags{json: asJSON}
	cmd := &cobra.Command{
		Use:   "check FILE|DIR...",
		Short: "Judge what programs have recorded: is it linearizable?",
		Long: `Check reads the histories of a run, that mome.Record has written in the processes
of a program, puts them together, and judges each word, each lock and each name of
a segment by itself: is there a moment for every operation, between its call and its
return, at which one memory could have done it? A DIR stands for all histories in it.

Registers whose writes store different values, counters and compare-and-swaps are
decided at any length. Where values come again, and about names, a search decides,
up to --search operations of a word or a name.

A violation is printed as operations that contradict each other, with the lines
that have them, and drawn: Porcupine's picture of at most 2,000 operations around
the first one goes to --picture.

The status is 1 after a violation, and 1 as well if something cannot be decided:
words that are too much to search, a history that is missing, clocks that were not
compared. A history that is truncated or damaged is an error, and not judged, and so
is one in which a client does two things at once, or an operation is missing or lies
outside of the time that its client was there.`,
		Example: `  momenode cluster --nodes 4 --trace run -- ./program   # which calls mome.Record
  momenode trace check run
  momenode trace check run --json | jq '.models[] | {model, words, verdict}'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("FILE or DIR is missing: the histories that a program has recorded under \"momenode cluster --trace DIR\"")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(args, cmd.OutOrStdout()) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.picture, "picture", "violation.html", "`FILE` for the picture of a violation; empty for none")
	flags.IntVar(&f.limits.Operations, "search", linearizability.MaxWindow, "search words with up to `N` operations")
	flags.DurationVar(&f.limits.Time, "search-time", 10*time.Second, "search no longer than this `DURATION` for each word")
	return cmd
}

// checkReport is the verdict as it is printed.
type checkReport struct {
	Verdict    string         `json:"verdict"`
	Files      int            `json:"files"`
	Clients    int            `json:"clients"`
	Operations int            `json:"operations"`
	Bound      int64          `json:"clock_bound_ns"`
	Seconds    float64        `json:"seconds"` // reading included
	Models     []checkModel   `json:"models"`
	Findings   []checkFinding `json:"findings"`
}

type checkModel struct {
	Model        string         `json:"model"`
	Verdict      string         `json:"verdict"`
	Operations   int            `json:"operations"`
	Words        int            `json:"words"`
	Clients      int            `json:"clients"`
	Linearizable int            `json:"linearizable"`
	Violations   int            `json:"violations"`
	Undecided    int            `json:"undecided"`
	Checkers     map[string]int `json:"checkers"` // words by what has decided
	Seconds      float64        `json:"seconds"`
}

type checkFinding struct {
	Verdict       string           `json:"verdict"`
	Object        string           `json:"object"`
	Word          uint64           `json:"word"`
	Lock          bool             `json:"lock"`
	Name          string           `json:"name"`
	Model         string           `json:"model"`
	Checker       string           `json:"checker"`
	Why           string           `json:"why"`
	Confirmed     bool             `json:"confirmed"` // by Porcupine
	Contradiction []checkOperation `json:"contradiction"`
	Picture       string           `json:"picture,omitempty"`
	Drawn         int              `json:"drawn,omitempty"` // operations in the picture
}

type checkOperation struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Client int    `json:"client"`
	Call   int64  `json:"call_ns"`
	Return *int64 `json:"return_ns"` // null: no answer
	Text   string `json:"operation"`
}

func (f *checkFlags) run(args []string, out io.Writer) error {
	if f.limits.Operations < 1 || f.limits.Time <= 0 {
		return badUsage("--search %d and --search-time %v must be above 0", f.limits.Operations, f.limits.Time)
	}
	begin := time.Now()
	paths, err := histories(args)
	if err != nil {
		return err
	}
	h, err := linearizability.Read(paths...)
	if err != nil {
		return err
	}
	report := linearizability.Check(h.Operations, f.limits)
	r := newCheckReport(h, report)
	if err := f.draw(r, report.Findings); err != nil {
		return err
	}
	r.Seconds = time.Since(begin).Seconds()
	if *f.json {
		err = printJSON(out, r)
	} else {
		err = r.print(out)
	}
	if err != nil {
		return err
	}
	return r.verdict()
}

// histories are the files that arguments name.
func histories(args []string) ([]string, error) {
	var paths []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, fmt.Errorf("%w; name a history, or the directory that \"momenode cluster --trace DIR\" has recorded to", err)
		}
		if !info.IsDir() {
			paths = append(paths, arg)
			continue
		}
		here, err := filepath.Glob(filepath.Join(arg, historyFiles))
		if err != nil {
			return nil, err
		}
		if len(here) == 0 {
			return nil, fmt.Errorf("no history in %s: run a program that calls mome.Record under \"momenode cluster --trace %s\"", arg, arg)
		}
		paths = append(paths, here...)
	}
	return paths, nil
}

func newCheckReport(h *linearizability.History, report *linearizability.Report) *checkReport {
	r := &checkReport{Verdict: report.Verdict.String(), Files: h.Files, Clients: h.Clients, Operations: len(h.Operations),
		Bound: h.Bound, Models: []checkModel{}, Findings: []checkFinding{}}
	for _, m := range report.Models {
		verdict := linearizability.Linearizable
		switch {
		case m.Violations > 0:
			verdict = linearizability.Violation
		case m.Undecided > 0:
			verdict = linearizability.Undecided
		}
		r.Models = append(r.Models, checkModel{m.Model, verdict.String(), m.Operations, m.Words, m.Clients,
			m.Linearizable, m.Violations, m.Undecided, m.Checkers, m.Time.Seconds()})
	}
	for _, w := range report.Findings {
		one := checkFinding{Verdict: w.Verdict.String(), Object: w.Key.Object, Word: w.Key.Word, Lock: w.Key.Kind == linearizability.OfLock,
			Name: w.Key.String(), Model: w.Model, Checker: w.Checker, Why: w.Why, Confirmed: w.Confirmed, Contradiction: []checkOperation{}}
		for _, o := range w.Contradiction {
			op := checkOperation{File: o.File, Line: o.Line, Client: o.Client, Call: o.Call, Text: o.String()}
			if o.Return != linearizability.Never {
				op.Return = &o.Return
			}
			one.Contradiction = append(one.Contradiction, op)
		}
		r.Findings = append(r.Findings, one)
	}
	return r
}

// draw writes the picture of the first violation that has one.
func (f *checkFlags) draw(r *checkReport, findings []*linearizability.Result) error {
	if f.picture == "" {
		return nil
	}
	for i, w := range findings {
		if !w.Confirmed {
			continue
		}
		file, err := os.Create(f.picture)
		if err != nil {
			return fmt.Errorf("--picture: %w; name another file", err)
		}
		r.Findings[i].Drawn, err = w.Draw(file)
		if e := file.Close(); err == nil {
			err = e
		}
		if err != nil {
			return fmt.Errorf("--picture %s: %w", f.picture, err)
		}
		r.Findings[i].Picture = f.picture
		return nil
	}
	return nil
}

func (r *checkReport) print(w io.Writer) error {
	out := &errorWriter{w: w}
	fmt.Fprintf(out, "%s operations of %s in %s, intervals widened by %s ns\n",
		count(uint64(r.Operations)), plural(r.Clients, "client"), plural(r.Files, "file"), count(uint64(r.Bound)))
	var rows [][]any
	for _, m := range r.Models {
		var by []string
		for _, name := range []string{"zone", "chain", "search"} {
			if n := m.Checkers[name]; n > 0 {
				by = append(by, fmt.Sprintf("%s %d", name, n))
			}
		}
		rows = append(rows, []any{m.Model, count(uint64(m.Operations)), count(uint64(m.Words)), m.Clients,
			strings.Join(by, ", "), fmt.Sprintf("%.3f", m.Seconds), m.Verdict})
	}
	table.Print(out, "", []string{"model ", "operations", "words", "clients", "decided by ", "seconds", "verdict "}, rows)
	for i, f := range r.Findings {
		if i == mostFindings {
			fmt.Fprintf(out, "\nand %d more: --json has them all\n", len(r.Findings)-i)
			break
		}
		f.print(out)
	}
	fmt.Fprintf(out, "\n%s (%.1f s)\n", r.Verdict, r.Seconds)
	return out.err
}

func (f *checkFinding) print(out io.Writer) {
	fmt.Fprintf(out, "\n%s: %s, a %s: %s\n", f.Verdict, f.Name, f.Model, f.Why)
	for i, o := range f.Contradiction {
		if i == mostOperations {
			fmt.Fprintf(out, "  and %d more: --json has them all\n", len(f.Contradiction)-i)
			break
		}
		end := "without an answer"
		if o.Return != nil {
			end = fmt.Sprintf("to %d", *o.Return)
		}
		fmt.Fprintf(out, "  %s:%d: client %d: %s, from %d %s\n", o.File, o.Line, o.Client, o.Text, o.Call, end)
	}
	switch {
	case f.Picture != "":
		fmt.Fprintf(out, "  Porcupine finds it too; its picture of %s operations is in %s\n", count(uint64(f.Drawn)), f.Picture)
	case f.Confirmed:
		fmt.Fprintf(out, "  Porcupine finds it too\n")
	}
}

// verdict is the error that the command ends with.
func (r *checkReport) verdict() error {
	wrong, open := 0, 0
	var first *checkFinding
	for i := range r.Findings {
		if f := &r.Findings[i]; f.Verdict == linearizability.Violation.String() {
			if wrong++; wrong == 1 {
				first = f
			}
		} else {
			if open++; first == nil {
				first = f
			}
		}
	}
	if first == nil {
		return nil
	}
	at := first.Name
	if len(first.Contradiction) > 0 {
		at = fmt.Sprintf("%s (%s:%d)", first.Name, first.Contradiction[0].File, first.Contradiction[0].Line)
	}
	if wrong > 0 {
		return fmt.Errorf("violation: %d words, locks or names are not linearizable, the first is %s", wrong, at)
	}
	return fmt.Errorf("cannot decide: %d words, locks or names are not judged, the first is %s: %s", open, at, first.Why)
}
