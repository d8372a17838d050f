package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mome-dsm/mome/spec/tlc"
)

// task is one run of TLC: a model, or a mutant on a model.
type task struct {
	name   string
	model  *Model
	mutant *Mutant
}

// verdict is what the table says of a task.
type verdict struct {
	Name      string  `json:"name"`
	Result    string  `json:"result"`
	Expected  string  `json:"expected"`
	Pass      bool    `json:"pass"`
	Distinct  int64   `json:"distinct,omitempty"`
	Generated int64   `json:"generated,omitempty"`
	Depth     int64   `json:"depth,omitempty"`
	Seconds   float64 `json:"seconds"`
	Reason    string  `json:"reason,omitempty"`
	Log       string  `json:"log,omitempty"`
	State     string  `json:"state,omitempty"`

	outcome tlc.Outcome
}

type summary struct {
	Summary string  `json:"summary"`
	Models  int     `json:"models"`
	Mutants int     `json:"mutants"`
	Failed  int     `json:"failed"`
	Seconds float64 `json:"seconds"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "spec/check:", err)
		os.Exit(1)
	}
}

func run() error {
	var (
		class  = flag.String("class", classCI, "what to run: ci, or nightly (everything)")
		only   = flag.String("only", "", "run only what has a name that this `regexp` matches")
		asJSON = flag.Bool("json", false, "print one JSON object a line")
		jobs   = flag.Int("jobs", 2, "how many runs of TLC at a time")
		limit  = flag.Duration("limit", 20*time.Minute, "how long one run may take")
		update = flag.Bool("update", false, "record the counts found in manifest.json, and in the table of README.md")
	)
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if *class != classCI && *class != classNightly {
		return fmt.Errorf("-class %s: it is ci or nightly", *class)
	}
	if *jobs < 1 {
		return errors.New("-jobs: at least 1")
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	root, err := findRoot()
	if err != nil {
		return err
	}
	manifest, err := readManifest(root)
	if err != nil {
		return err
	}
	tasks, err := plan(root, manifest, *class, pattern)
	if err != nil {
		return err
	}
	if len(tasks) == 0 {
		return errors.New("nothing to run: no name matches")
	}
	if *only == "" {
		missing, err := manifest.unlisted(root)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			return fmt.Errorf("manifest.json has no row for %s", strings.Join(missing, ", "))
		}
	}
	c, err := newChecker(root, *limit)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return runTasks(ctx, c, tasks, *jobs, *asJSON, *update)
}

// plan lists the runs: the models in the manifest's order, then the mutants.
func plan(root string, manifest *Manifest, class string, only *regexp.Regexp) ([]task, error) {
	wanted := func(c, name string) bool {
		return (class == classNightly || c == classCI) && only.MatchString(name)
	}
	var (
		models  []task
		mutants []task
		folders []string
	)
	for _, row := range manifest.Models {
		if wanted(row.Class, row.Name) {
			models = append(models, task{name: row.Name, model: row})
		}
		if !slices.Contains(folders, row.Folder) {
			folders = append(folders, row.Folder)
		}
	}
	for _, folder := range folders {
		list, err := readMutants(root, folder)
		if err != nil {
			return nil, err
		}
		for _, m := range list {
			all := slices.Concat(m.Models, m.Nightly)
			for i, on := range all {
				name := folder + "/mutant/" + m.Name
				if len(all) > 1 {
					name += "@" + on
				}
				of := m.Class
				if i >= len(m.Models) {
					of = classNightly
				}
				row := manifest.find(on)
				if row == nil {
					return nil, fmt.Errorf("%s/mutants.txt:%d: manifest.json has no model %q", folder, m.Line, on)
				}
				if wanted(of, name) {
					mutants = append(mutants, task{name: name, model: row, mutant: m})
				}
				for _, p := range m.Alone {
					if i == 0 && wanted(of, name+"/"+p) {
						mutants = append(mutants, task{name: name + "/" + p, model: row, mutant: m.aloneWith(p)})
					}
				}
			}
		}
	}
	return append(models, mutants...), nil
}

func runTasks(ctx context.Context, c *checker, tasks []task, jobs int, asJSON, update bool) error {
	start := time.Now()
	print := printTable
	if asJSON {
		print = printJSON
	} else {
		printHead(tasks)
	}
	queue := make(chan task)
	results := make(chan verdict)
	var workers sync.WaitGroup
	for range jobs {
		workers.Go(func() {
			for t := range queue {
				results <- judge(ctx, c, t, update)
			}
		})
	}
	go func() {
		defer close(results)
		defer workers.Wait()
		defer close(queue)
		for _, t := range tasks {
			select {
			case queue <- t:
			case <-ctx.Done():
				return
			}
		}
	}()

	var sum summary
	counts := make(map[string]tlc.Outcome)
	for v := range results {
		if ctx.Err() != nil {
			continue
		}
		print(v)
		if !v.Pass {
			sum.Failed++
		}
		if strings.Contains(v.Name, "/mutant/") {
			sum.Mutants++
		} else {
			sum.Models++
			if v.Pass && v.Expected == tlc.OK {
				counts[v.Name] = v.outcome
			}
		}
	}
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	sum.Seconds = time.Since(start).Seconds()
	if update {
		if err := updateManifest(c.root, counts); err != nil {
			return err
		}
		if err := updateReadme(c.root); err != nil {
			return err
		}
	}
	sum.Summary = "pass"
	if sum.Failed > 0 {
		sum.Summary = "fail"
	}
	if asJSON {
		printLine(sum)
	} else {
		fmt.Printf("\n%s: %d models, %d mutants, %d failed, %.0f s\n",
			strings.ToUpper(sum.Summary), sum.Models, sum.Mutants, sum.Failed, sum.Seconds)
	}
	if sum.Failed > 0 {
		return fmt.Errorf("%d of %d runs failed", sum.Failed, sum.Models+sum.Mutants)
	}
	return nil
}

// judge runs a task and compares what came of it with what was expected.
func judge(ctx context.Context, c *checker, t task, update bool) verdict {
	start := time.Now()
	o, log, err := c.run(ctx, t.name, t.model, t.mutant)
	v := verdict{
		Name: t.name, Result: o.String(), Log: log, Seconds: time.Since(start).Seconds(),
		Distinct: o.Distinct, Generated: o.Generated, Depth: o.Depth, outcome: o,
	}
	if t.mutant != nil {
		v.Expected = "violation:" + strings.Join(t.mutant.Expect, "|")
	} else {
		v.Expected = t.model.Expect
	}
	switch {
	case err != nil:
		v.Result, v.Reason = tlc.Error, err.Error()
	case t.mutant != nil:
		v.Reason = mutantReason(t.mutant, o)
	default:
		v.Reason = modelReason(t.model, o, update)
	}
	v.Pass = v.Reason == ""
	if !v.Pass {
		v.State = o.LastState
	}
	return v
}

// mutantReason says why a mutant's run fails, or nothing.
func mutantReason(m *Mutant, o tlc.Outcome) string {
	switch {
	case m.killedBy(o):
		return ""
	case o.Result == tlc.OK:
		return "the mutant survived"
	case o.Result == tlc.Error:
		return "TLC could not judge the mutant: " + o.Error
	default:
		return "the mutant died of something else"
	}
}

// modelReason says why a model's run fails, or nothing.
func modelReason(m *Model, o tlc.Outcome, update bool) string {
	if o.Result == tlc.Error {
		return o.Error
	}
	if !meets(o, m.Expect) {
		return "another result than expected"
	}
	if m.Expect != tlc.OK || update {
		return ""
	}
	if m.Distinct == 0 {
		return "manifest.json has no counts for it: record them with -update"
	}
	var changed []string
	for _, n := range []struct {
		name     string
		old, new int64
	}{
		{"distinct", m.Distinct, o.Distinct},
		{"generated", m.Generated, o.Generated},
		{"depth", m.Depth, o.Depth},
	} {
		if n.old != n.new {
			changed = append(changed, fmt.Sprintf("%s %d, was %d", n.name, n.new, n.old))
		}
	}
	if changed == nil {
		return ""
	}
	return "changed counts: " + strings.Join(changed, "; ") + " (a deliberate change is recorded with -update)"
}

var nameWidth = 20

func printHead(tasks []task) {
	for _, t := range tasks {
		nameWidth = max(nameWidth, len(t.name))
	}
	fmt.Printf("%-4s  %-*s %10s %11s %6s %8s  %-28s %s\n",
		"", nameWidth, "name", "distinct", "generated", "depth", "seconds", "result", "expected")
}

func printTable(v verdict) {
	mark := "ok"
	if !v.Pass {
		mark = "FAIL"
	}
	fmt.Printf("%-4s  %-*s %10d %11d %6d %8.1f  %-28s %s\n",
		mark, nameWidth, v.Name, v.Distinct, v.Generated, v.Depth, v.Seconds, v.Result, v.Expected)
	if v.Pass {
		return
	}
	fmt.Printf("      %s\n", v.Reason)
	if v.Log != "" {
		fmt.Printf("      log: %s\n", v.Log)
	}
	if v.State != "" {
		fmt.Println("      " + strings.ReplaceAll(v.State, "\n", "\n      "))
	}
}

func printJSON(v verdict) { printLine(v) }

func printLine(v any) {
	e := json.NewEncoder(os.Stdout)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		fmt.Fprintln(os.Stderr, "spec/check:", err)
	}
}
