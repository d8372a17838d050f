//go:build mutants

package mutants

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/mome-dsm/mome/impl/history"
	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/trace"
	"github.com/mome-dsm/mome/impl/trace/replay"
	"github.com/mome-dsm/mome/impl/trace/validate"
	"github.com/mome-dsm/mome/linearizability"
	"github.com/mome-dsm/mome/spec/tlc"
)

func judgeHistory(history []history.Operation) *linearizability.Report {
	ops := make([]linearizability.Operation, len(history))
	for i, o := range history {
		if o.Return == 0 {
			o.Return = linearizability.Never
		}
		ops[i] = linearizability.Operation{Operation: o, File: "simulated", Line: i + 1}
	}
	return linearizability.Check(ops, linearizability.Limits{})
}

// recording is the logs of a run of a broken core.
type recording struct {
	dir   string
	ended bool // by the core, perhaps in the middle of a step
	finds func(short, full string) Finding
}

// replays are those of recorded runs, one after another, on the correct core.
type replays struct {
	found   Finding // of the first run that differs
	differs recording
	// judged is the first run in which an action differs, for TLC: whether a
	// message is refused is no action.
	judged recording
}

// look replays a run. It finds something where an action differs.
func (p *replays) look(t *testing.T, r recording) Finding {
	_, err := replay.Run(r.dir)
	var d *replay.Difference
	if !errors.As(err, &d) {
		// A log may end in the step that the core panicked in.
		if err != nil && !r.ended {
			t.Fatal(err)
		}
		os.RemoveAll(r.dir)
		return Finding{}
	}
	what, _, _ := strings.Cut(d.What, " of ")
	f := r.finds(fmt.Sprintf("step %d %s", d.Step, what), err.Error())
	if p.found.Short == "" {
		p.found, p.differs = f, r
	}
	if d.What == "refusal" {
		return Finding{}
	}
	p.judged = r
	return f
}

// findTLC is TLC, which Maven brings if need be. Without it there is no table.
func findTLC(t *testing.T) *tlc.Tool {
	t.Helper()
	tool, err := tlc.Find()
	if err != nil {
		t.Fatal(err)
	}
	return tool
}

// findInTrace has TLC judge the objects of one kind in a run.
func findInTrace(t *testing.T, tool *tlc.Tool, kind validate.Kind, r recording) Finding {
	run, err := trace.OpenRun(r.dir)
	if err != nil {
		t.Error(err)
		return Finding{}
	}
	v, err := validate.Run(t.Context(), run, kind, validate.Options{Tool: tool, Workers: 1})
	switch {
	case errors.Is(err, ndjson.ErrMalformed):
		return r.finds("no whole log", err.Error())
	case errors.Is(err, validate.ErrNothing) && kind.Optional:
		return Finding{}
	case err != nil:
		t.Errorf("no verdict: %v", err)
		return Finding{}
	case v.Accepted:
		return Finding{}
	}
	return r.finds(refused(v.Refusal))
}

// firstInTrace is what the first of the runs shows in which TLC finds something.
func firstInTrace(t *testing.T, tool *tlc.Tool, kind validate.Kind, runs []recording) (f Finding) {
	for _, r := range runs {
		if f = findInTrace(t, tool, kind, r); f.Short != "" {
			break
		}
	}
	return f
}

// refused names the event, and of a guard that does not hold its text, of parts
// of the state that differ their names.
func refused(r *validate.Refusal) (short, full string) {
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

// judges run TLC on recorded runs beside everything else: most of its time is
// that of a process that starts.
type judges struct {
	jobs chan func()
	done sync.WaitGroup
}

func newJudges() *judges {
	j := &judges{jobs: make(chan func(), 100)}
	for range 2 {
		j.done.Go(func() {
			for job := range j.jobs {
				job()
			}
		})
	}
	return j
}

func (j *judges) add(job func()) { j.jobs <- job }

func (j *judges) wait() {
	close(j.jobs)
	j.done.Wait()
}
