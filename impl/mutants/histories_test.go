//go:build mutants

package mutants

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"testing"

	"github.com/mome-dsm/mome/impl/clock"
	"github.com/mome-dsm/mome/impl/history"
	"github.com/mome-dsm/mome/linearizability"
)

// How long the history of broken recorders is: steps of clients, each of which
// begins an operation, or lets it take effect, or ends it.
const (
	historySteps     = 900
	historyProcesses = 2
	historyClients   = 3 // of each process
	historyWords     = 4
)

// recorded is an operation as it happened, and the moments between which the
// recorder was told that it begins and that it has ended.
type recorded struct {
	history.Operation
	called, returned [2]int64
}

// differs is the first part of the operation that a line of a history has
// otherwise.
func (r *recorded) differs(o *history.Operation) string {
	within := func(t int64, moments [2]int64) bool { return moments[0] <= t && t <= moments[1] }
	switch {
	case o.Client != r.Client:
		return "client"
	case o.Seq != r.Seq:
		return "seq"
	case o.Op != r.Op, o.Object != r.Object, o.Word != r.Word, o.Old != r.Old:
		return "operation"
	case o.Value != r.Value, o.Result != r.Result:
		return "answer"
	case !within(o.Call, r.called):
		return "call"
	case !within(o.Return, r.returned):
		return "return"
	}
	return ""
}

// threadOfControl is a client and its operation.
type threadOfControl struct {
	client *history.Client
	number int // in the history
	op     recorded
	begun  bool
	done   bool // it has taken effect
	seq    uint64
}

// process is a history, and what should stand in it.
type process struct {
	path    string
	history *history.Recorder
	threads []*threadOfControl
	numbers int // clients that there were
	want    []recorded
}

// moment is a time that no other moment of the test has, nor any stamp before it.
func moment() int64 {
	for now := clock.Now(); ; {
		if next := clock.Now(); next > now {
			return next
		}
	}
}

// recordHistories has clients of several processes use words in turn, on plain
// memory: they do so in one order, and what they see is right.
func recordHistories(t *testing.T, dir string) (all []*process) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	words := make([]uint64, historyWords)
	next := uint64(1)
	for i := range historyProcesses {
		p := &process{path: filepath.Join(dir, fmt.Sprintf("history-%d.ndjson", i))}
		var err error
		if p.history, err = history.New(p.path, history.Header{Model: "strong", Run: "recorded", Process: fmt.Sprint(i),
			Program: "clients", Rank: i, Ranks: historyProcesses, Reading: clock.Local()}); err != nil {
			t.Fatal(err)
		}
		for range historyClients {
			p.threads = append(p.threads, &threadOfControl{client: p.history.Client(), number: p.numbers})
			p.numbers++
		}
		all = append(all, p)
	}
	for range historySteps {
		p := all[rng.IntN(len(all))]
		switch c := p.threads[rng.IntN(historyClients)]; {
		case !c.begun:
			*c = threadOfControl{client: c.client, number: c.number, seq: c.seq + 1, begun: true}
			c.op.Operation = history.Operation{Client: c.number, Seq: c.seq, Op: []string{history.OpRead, history.OpRead, history.OpWrite, history.OpCAS}[rng.IntN(4)],
				Object: "words@1", Word: rng.Uint64N(historyWords)}
			o := c.op.Operation
			if o.Op != history.OpRead {
				o.Value = next
				next++
			}
			if o.Op == history.OpCAS {
				o.Old = words[o.Word]
			}
			c.op.Operation = o
			c.op.called[0] = moment()
			c.client.Begin(o)
			c.op.called[1] = moment()
		case !c.done:
			c.done = true
			switch o, at := &c.op.Operation, &words[c.op.Word]; o.Op {
			case history.OpRead:
				o.Value = atomic.LoadUint64(at)
			case history.OpWrite:
				atomic.StoreUint64(at, o.Value)
			case history.OpCAS:
				if atomic.CompareAndSwapUint64(at, o.Old, o.Value) {
					o.Result = 1
				}
			}
		default:
			answered := rng.IntN(20) > 0
			if !answered {
				c.op.Result = 0
				if c.op.Op == history.OpRead {
					c.op.Value = 0
				}
			} else {
				c.op.returned[0] = moment()
			}
			c.client.End(answered, func(o *history.Operation) { o.Value, o.Result = c.op.Value, c.op.Result })
			p.want = append(p.want, c.op)
			if c.begun = false; answered {
				p.want[len(p.want)-1].returned[1] = moment()
			} else {
				c.number, c.seq = p.numbers, 0
				p.numbers++
			}
		}
	}
	for _, p := range all {
		for _, c := range p.threads {
			if c.begun { // it has no answer
				if c.op.Result = 0; c.op.Op == history.OpRead {
					c.op.Value = 0
				}
				p.want = append(p.want, c.op)
			}
		}
		moment()
		if err := p.history.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// operationsOf are the operations that stand in a history, whatever else is
// wrong with it.
func operationsOf(t *testing.T, path string) (all []history.Operation) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var o history.Operation
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatal(err)
		}
		if o.Op != "" {
			all = append(all, o)
		}
	}
	return all
}

// findByModel compares what stands in the histories with what happened.
func findByModel(t *testing.T, all []*process) Finding {
	for _, p := range all {
		got := operationsOf(t, p.path)
		for i := range p.want {
			if i == len(got) {
				return Finding{"missing", fmt.Sprintf("%s: %d operations, %d have happened", p.path, len(got), len(p.want))}
			}
			if what := p.want[i].differs(&got[i]); what != "" {
				return Finding{what, fmt.Sprintf("%s:%d: %+v, want %+v", p.path, i+2, got[i], p.want[i])}
			}
		}
		if len(got) > len(p.want) {
			return Finding{"too many", fmt.Sprintf("%s: %d operations, %d have happened", p.path, len(got), len(p.want))}
		}
	}
	return Finding{}
}

var digits = regexp.MustCompile(`\d+`)

// findByReader reads the histories as they are read to be judged.
func findByReader(all []*process) Finding {
	var paths []string
	for _, p := range all {
		paths = append(paths, p.path)
	}
	_, err := linearizability.Read(paths...)
	if err == nil {
		return Finding{}
	}
	_, text, _ := bytes.Cut([]byte(err.Error()), []byte(".ndjson:"))
	_, text, _ = bytes.Cut(text, []byte(": "))
	return Finding{digits.ReplaceAllString(string(text), "N"), err.Error()}
}

// findByChecker judges the operations alone, as if the histories were well
// formed.
func findByChecker(t *testing.T, all []*process) Finding {
	var ops []linearizability.Operation
	for i, p := range all {
		for k, o := range operationsOf(t, p.path) {
			if o.Return == 0 {
				o.Return = linearizability.Never
			}
			o.Client += i * 1000
			ops = append(ops, linearizability.Operation{Operation: o, File: p.path, Line: k + 2})
		}
	}
	r := linearizability.Check(ops, linearizability.Limits{})
	if r.Verdict == linearizability.Linearizable {
		return Finding{}
	}
	return Finding{r.Verdict.String(), fmt.Sprintf("%v: %s", r.Findings[0].Key, r.Findings[0].Why)}
}

// TestHistories puts each mistake into the recorder of histories.
func TestHistories(t *testing.T) {
	defer history.Break(0)
	tb := Table{Name: "histories", Package: "./impl/mutants", Checks: []string{"model", "reader", "checker"}}
	for _, bug := range append([]history.Bug{0}, history.Bugs("")...) {
		if !Wanted(bug.String()) {
			continue
		}
		history.Break(bug)
		all := recordHistories(t, t.TempDir())
		history.Break(0)
		tb.Rows = append(tb.Rows, Row{bug.String(), []Finding{findByModel(t, all), findByReader(all), findByChecker(t, all)}})
	}
	tb.Compare(t, "testdata")
}
