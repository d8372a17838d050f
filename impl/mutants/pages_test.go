//go:build mutants

package mutants

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/sim"
	"github.com/mome-dsm/mome/impl/trace"
	"github.com/mome-dsm/mome/impl/trace/replay"
	"github.com/mome-dsm/mome/impl/trace/validate"
	"github.com/mome-dsm/mome/linearizability"
	"github.com/mome-dsm/mome/spec/tlc"
)

// The bounds of what a link may need for a mutant.
const (
	pageSeeds = 20 // of each world
	pageSteps = 2000
)

// world is a simulated cluster, and with a seed a run of it.
type world struct {
	name string
	cfg  sim.Config
}

func (wd world) String() string { return fmt.Sprintf("%s/%d", wd.name, wd.cfg.Seed) }

func (wd world) finds(short, full string) finding { return finding{wd.String() + " " + short, full} }

// worlds are where mutants of the pages' core run: one page, so that nodes meet
// often and a recorded run has one first event to be refused.
var worlds = []world{
	{"root3", sim.Config{Nodes: 3, Fanout: 64, Pages: 1, Processes: 2, Lateral: true}},
	{"pair3", sim.Config{Nodes: 4, Fanout: 2, Pages: 1, Processes: 2, Lateral: true}},
	{"deep4", sim.Config{Nodes: 6, Fanout: 2, Pages: 1, Lateral: true}},
	{"recreate", sim.Config{Nodes: 3, Fanout: 64, Pages: 1, Recreate: true, Breaks: true}},
}

// firstRun is what the first run shows in which look finds something.
func firstRun(look func(world) finding) finding {
	for seed := range uint64(pageSeeds) {
		for _, wd := range worlds {
			wd.cfg.Seed = seed
			if f := look(wd); f.short != "" {
				return f
			}
		}
	}
	return finding{}
}

// isInvariant says whether a property is one that only somebody can check who
// looks at all nodes at once.
func isInvariant(property string) bool { return strings.HasSuffix(property, "Inv") }

// findByInvariants ends a run as well where the core refuses a message, since
// there is no going on; but then it has found nothing.
func findByInvariants(wd world) finding {
	wd.cfg.Check = 1
	if f := sim.New(wd.cfg).Play(pageSteps, false); f != nil && isInvariant(f.Property) {
		return wd.finds(f.Property, fmt.Sprintf("step %d: %s", f.Step, f.Text))
	}
	return finding{}
}

func findBySimulator(wd world) finding {
	wd.cfg.Blind = true
	if f := sim.New(wd.cfg).Play(pageSteps, true); f != nil {
		return wd.finds(f.Property, fmt.Sprintf("step %d: %s", f.Step, f.Text))
	}
	return finding{}
}

func findInHistory(wd world) finding {
	w := sim.New(wd.cfg)
	h := w.RecordHistory()
	w.Play(pageSteps, false)
	ops := make([]linearizability.Operation, len(h.Operations))
	for i := range h.Operations {
		ops[i] = linearizability.Operation{Operation: h.Operations[i], File: "simulated", Line: i + 1}
	}
	r := linearizability.Check(ops, linearizability.Limits{})
	if r.Verdict != linearizability.Violation {
		return finding{}
	}
	return wd.finds(r.Verdict.String(), r.Findings[0].Why)
}

// recording is the logs of a simulated run, and what ended it if something did.
type recording struct {
	world
	dir   string
	ended *sim.Failure
}

// record lets a broken core run and write logs, as nodes do.
func record(t *testing.T, bug protocol.Bug, wd world) recording {
	t.Helper()
	protocol.Break(bug)
	defer protocol.Break(0)
	wd.cfg.Blind = true
	r := recording{world: wd, dir: t.TempDir()}
	w := sim.New(wd.cfg)
	if err := w.Record(r.dir); err != nil {
		t.Fatal(err)
	}
	r.ended = w.Play(pageSteps, false)
	if err := w.EndRecord(); err != nil {
		t.Fatal(err)
	}
	return r
}

// findByReplay replays what the broken core has recorded on the correct one. It
// returns the run as well that TLC is to judge: the first one in which an action
// differs. Of the correct core there is none, and it is the first run of all.
func findByReplay(t *testing.T, bug protocol.Bug) (found finding, judged recording) {
	t.Helper()
	action := firstRun(func(wd world) finding {
		r := record(t, bug, wd)
		_, err := replay.Run(r.dir)
		var d *replay.Difference
		if !errors.As(err, &d) {
			// A log may end in the step that the core panicked in.
			if err != nil && r.ended == nil {
				t.Fatal(err)
			}
			os.RemoveAll(r.dir)
			return finding{}
		}
		what, _, _ := strings.Cut(d.What, " of page")
		f := wd.finds(fmt.Sprintf("step %d %s", d.Step, what), err.Error())
		// Whether a message is refused is no action.
		if d.What == "refusal" {
			if found.short == "" {
				found = f
			}
			return finding{}
		}
		judged = r
		return f
	})
	if found.short == "" {
		found = action
	}
	if judged.dir == "" {
		judged = record(t, bug, worlds[0])
	}
	return found, judged
}

// findInTrace has TLC judge a run.
func findInTrace(ctx context.Context, tool *tlc.Tool, r recording) (finding, error) {
	run, err := trace.OpenRun(r.dir)
	if err != nil {
		return finding{}, err
	}
	v, err := validate.Run(ctx, run, validate.Pages, validate.Options{Tool: tool, Workers: 1})
	if err != nil || v.Accepted {
		return finding{}, err
	}
	return r.finds(refusal(v.Refusal)), nil
}

// refusal names the event, and of a guard that does not hold its text, of parts
// of the state that differ their names.
func refusal(r *validate.Refusal) (short, full string) {
	var parts []string
	for _, reason := range r.Reasons {
		name, value, _ := strings.Cut(reason, ": ")
		if name == "does not hold" {
			name = value
		}
		parts = append(parts, name)
	}
	return fmt.Sprintf("event %d %s: %s", r.Number, r.Event.Act, strings.Join(parts, ", ")),
		fmt.Sprintf("%s: %s\n%s", r.Event.Where(), strings.Join(r.Reasons, "\n"), r.State)
}

// The links that pages go through, in the order of the columns.
var pageLinks = []string{"explorer", "invariants", "simulator", "history", "replay", "trace"}

// TestPages puts each mistake into the core of pages.
func TestPages(t *testing.T) {
	defer protocol.Break(0)
	tool := findTLC(t)
	tb := table{name: "pages", links: pageLinks}
	judges := newJudges()
	for _, bug := range append([]protocol.Bug{0}, protocol.Bugs()...) {
		if !wanted(bug.String()) {
			continue
		}
		r := row{mutant: bug.String(), found: make([]finding, len(pageLinks))}
		tb.rows = append(tb.rows, r)
		protocol.Break(bug)
		var links sync.WaitGroup
		links.Go(func() { r.found[0] = findByExplorer(t) })
		links.Go(func() { r.found[1] = firstRun(findByInvariants) })
		links.Go(func() { r.found[2] = firstRun(findBySimulator) })
		links.Go(func() { r.found[3] = firstRun(findInHistory) })
		links.Wait()
		var judged recording
		r.found[4], judged = findByReplay(t, bug)
		judges.add(func() {
			var err error
			if r.found[5], err = findInTrace(t.Context(), tool, judged); err != nil {
				t.Errorf("%v: no verdict: %v", bug, err)
			}
		})
	}
	judges.wait()
	tb.compare(t)
}
