package validate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/sim"
	"github.com/mome-dsm/mome/impl/trace"
)

// recordLocks lets simulated locks run for so many steps and returns their logs.
func recordLocks(t *testing.T, cfg sim.SyncConfig, steps int) string {
	t.Helper()
	return recordWorld(t, sim.NewLocks(cfg).Syncs, steps)
}

func recordWorld(t *testing.T, w *sim.Syncs, steps int) string {
	t.Helper()
	dir := t.TempDir()
	if err := w.Recorded(dir, steps); err != nil {
		t.Fatal(err)
	}
	return dir
}

func judgeLocks(t *testing.T, dir string) *Verdict {
	t.Helper()
	return judgeKind(t, dir, Locks)
}

func judgeKind(t *testing.T, dir string, kind Kind) *Verdict {
	t.Helper()
	run, err := trace.OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	v, err := Run(t.Context(), run, kind, Options{Tool: tool(t)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestAcceptsLocks: every action of a lock occurs, and the run is accepted.
func TestAcceptsLocks(t *testing.T) {
	dir := recordLocks(t, sim.SyncConfig{Nodes: 3, Objects: 2, Seed: 1}, 2000)
	v := judgeLocks(t, dir)
	if !v.Accepted {
		t.Fatalf("%s: %s of %s: %s\n%s", v.Refusal.Event.Where(), v.Refusal.Event.Act, v.Refusal.Object,
			strings.Join(v.Refusal.Reasons, "; "), v.Refusal.State)
	}
	if v.Objects != 2 || len(v.Acts) != 10 {
		t.Errorf("verdict %+v", v)
	}
}

// TestRejectsLocks changes one line of a run, and the event of that line must be
// refused. spec/heaplock/MCTraceHeapLock has more of them.
func TestRejectsLocks(t *testing.T) {
	for name, c := range map[string]struct{ pattern, with, act, reason string }{
		"a fence that stands still":   {`("act":"HomeRecvRelease".*"post":{"fence":)([2-9]|\d\d+)`, `${1}1`, "HomeRecvRelease", "fence: "},
		"a death that nobody is told": {`("act":"RecvGrant".*"code":")OwnerDied`, `${1}OK`, "RecvGrant", "at the head of its channel"},
		"a lock that is kept":         {`("act":"ReleaseLock".*"post":{"dead":false),"calls":\[\d+\]`, `$1,"calls":[]`, "ReleaseLock", "calls: "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := recordLocks(t, sim.SyncConfig{Nodes: 3, Objects: 1, Seed: 3}, 1000)
			path, line := rewrite(t, dir, c.pattern, c.with)
			v := judgeLocks(t, dir)
			r := v.Refusal
			if v.Accepted || r.Event.Where() != fmt.Sprintf("%s:%d", path, line) || r.Event.Act != c.act ||
				!strings.Contains(strings.Join(r.Reasons, "\n"), c.reason) {
				t.Fatalf("changed %s:%d, and %+v", path, line, r)
			}
		})
	}
}
