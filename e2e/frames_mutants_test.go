//go:build mutants

package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/history"
	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/mutants"
	"github.com/mome-dsm/mome/impl/node"
	"github.com/mome-dsm/mome/impl/trace/validate"
	"github.com/mome-dsm/mome/impl/wire"
	"github.com/mome-dsm/mome/linearizability"
)

// TestBrokenMemory runs nodes whose memory layer has a mistake, and puts down
// which check finds it. One check is impl/memory's test against a model. The
// others judge the run of a cluster: what the processes saw, the contents of
// pages as the nodes recorded them, the single steps on frames. The table is
// impl/mutants/testdata/memory.
func TestBrokenMemory(t *testing.T) {
	requireUserfaultfd(t)
	tb := mutants.Table{Name: "memory", Package: "./e2e", Checks: []string{"model", "history", "pages", "frames"}}
	model := buildModel(t)
	names := []string{mutants.None}
	for _, b := range memory.Bugs("") {
		names = append(names, "memory."+b.String())
	}
	for _, b := range node.Bugs("order") {
		names = append(names, "node."+b.String())
	}
	for _, name := range names {
		_, bug, ok := strings.Cut(name, ".")
		if !ok {
			bug = name
		}
		if !mutants.Wanted(bug) {
			continue
		}
		t.Setenv("MOME_MUTANT", name)
		s := two
		s.quiet, s.trace = true, t.TempDir()
		var saw []string
		if !t.Run(bug, func(t *testing.T) { saw = touched(start(t, wire.TCP, s)) }) {
			return
		}
		tb.Rows = append(tb.Rows, mutants.Row{Mutant: bug, Found: []mutants.Finding{
			findByModel(t, model), findInTouches(t, saw),
			findInTrace(t, s.trace, validate.Pages, nil), findInTrace(t, s.trace, validate.Frames, brokenMemory[bug]),
		}})
	}
	tb.Compare(t, "../impl/mutants/testdata")
}

// brokenMemory is the steps at which a mistake shows. What is left out is missed
// by the step that follows it: the acknowledgement, or, where that is no message,
// whatever the page is needed for next.
var brokenMemory = map[string][]string{
	"ForgetMapping":     {"give"},
	"SkipProtect":       {"give"},
	"LetStoresThrough":  {"Copy", "Continue"},
	"SkipWake":          {"TakeFault", "WriteFault", "LeafRecvRecall"},
	"SkipPunch":         {"SendAck", "TakeFault"},
	"SendBeforeProtect": {"SendData"},
	"PunchBeforeSend":   {"Punch"},
	"AckBeforePunch":    {"SendAck"},
	"GrantBeforeFill":   {"Copy"},
}

// findInTrace has TLC judge a run. Where a mistake may show at one event or
// another, by what the processes happen to do next, the table has all of them.
func findInTrace(t *testing.T, dir string, kind validate.Kind, any []string) mutants.Finding {
	v := judgeTrace(t, dir, kind)
	if v.Accepted {
		return mutants.Finding{}
	}
	r := v.Refusal
	short := r.Event.Act
	if slices.Contains(any, short) {
		short = strings.Join(any, " or ")
	}
	return mutants.Finding{Short: short, Full: fmt.Sprintf("%s: %s\n%s", r.Event.Where(), strings.Join(r.Reasons, "; "), r.State)}
}

// findInTouches judges what the accesses of touched saw, as a history in which
// each returned before the next one was called.
func findInTouches(t *testing.T, saw []string) mutants.Finding {
	var ops []linearizability.Operation
	for i, text := range saw {
		do := contested[i%len(contested)]
		value, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		o := history.Operation{Client: do.rank, Op: history.OpRead, Object: "touched", Word: uint64(i / len(contested)), Value: value,
			Call: int64(2*i + 1), Return: int64(2*i + 2)}
		if do.verb == "store" {
			o.Op, o.Value, o.Result = history.OpAdd, 1, value
		}
		ops = append(ops, linearizability.Operation{Operation: o, File: "touched", Line: i + 1})
	}
	r := linearizability.Check(ops, linearizability.Limits{})
	if r.Verdict != linearizability.Violation {
		return mutants.Finding{}
	}
	return mutants.Finding{Short: r.Verdict.String(), Full: fmt.Sprintf("%s; the processes saw %v", r.Findings[0].Why, saw)}
}

// The folder and the test of impl/memory that compares operations in any order
// with a model.
const (
	modelFolder = "../impl/memory"
	modelTest   = "TestOperationsAgainstModel"
)

func buildModel(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "model.test")
	if out, err := exec.Command("go", "test", "-c", "-o", binary, modelFolder).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// findByModel runs that test with the mistake that the environment names.
func findByModel(t *testing.T, binary string) mutants.Finding {
	c := exec.Command(binary, "-test.run", "^"+modelTest+"$", "-test.v", "-rapid.seed", "1", "-rapid.checks", "1000", "-rapid.nofailfile")
	c.Dir = modelFolder
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	switch text := string(out); {
	case err == nil && strings.Contains(text, "--- PASS: "+modelTest):
		return mutants.Finding{}
	case errors.As(err, &exit) && strings.Contains(text, "--- FAIL: "+modelTest):
		return mutants.Finding{Short: "differs", Full: text}
	default:
		t.Fatalf("%s: %v\n%s", modelTest, err, out)
		return mutants.Finding{}
	}
}
