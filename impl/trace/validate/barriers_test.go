package validate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/sim"
)

// TestAcceptsBarriers: every action of a barrier occurs, and the run is accepted.
func TestAcceptsBarriers(t *testing.T) {
	dir := recordWorld(t, sim.NewBarriers(sim.SyncConfig{Nodes: 3, Objects: 2, Parties: 3, Seed: 1}).Syncs, 2000)
	v := judgeKind(t, dir, Barriers)
	if !v.Accepted {
		t.Fatalf("%s: %s of %s: %s\n%s", v.Refusal.Event.Where(), v.Refusal.Event.Act, v.Refusal.Object,
			strings.Join(v.Refusal.Reasons, "; "), v.Refusal.State)
	}
	if v.Objects != 2 || len(v.Acts) != 11 {
		t.Errorf("verdict %+v", v)
	}
}

// TestRejectsBarriers changes one line of a run, and the event of that line must
// be refused. spec/barrier/MCTraceBarrier has more of them.
func TestRejectsBarriers(t *testing.T) {
	for name, c := range map[string]struct{ pattern, with, act, reason string }{
		"a round that is over too early":     {`("act":"HomeRecvArrive".*"post":\[{"generation":\d+,"parties":3,)"arrived":1,"over":0`, `${1}"arrived":0,"over":1`, "HomeRecvArrive", "over: 0, not 1"},
		"a round that nobody ended":          {`("act":"RecvDone".*"m":{[^}]*"round":)\d+`, `${1}77`, "RecvDone", "at the head of its channel"},
		"an arrival that is forgotten":       {`("act":"HomeRecvArrive".*"arrived":)2(,"over")`, `${1}1$2`, "HomeRecvArrive", "arrived: 2, not 1"},
		"a wait that is forgotten":           {`("act":"AwaitBarrier".*"waits":\[)\d+\]`, `$1]`, "AwaitBarrier", "seats: "},
		"a dead process that keeps its seat": {`("act":"ProcessDied".*"leaving":)true`, `${1}false`, "ProcessDied", "seats: "},
		"a barrier that is not broken":       {`("act":"HomeRecvLeave".*"broken":)true`, `${1}false`, "HomeRecvLeave", "broken: TRUE, not FALSE"},
		"a seat that was left and is free":   {`("act":"HomeRecvLeave".*"left":\[)\d+`, `$1`, "HomeRecvLeave", "left: "},
		"a seat of somebody else":            {`("act":"HomeRecvJoin".*"seats":\[{"index":\d+,"node":\d+,"party":)\d+`, `${1}99`, "HomeRecvJoin", "seats: "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := recordWorld(t, sim.NewBarriers(sim.SyncConfig{Nodes: 3, Objects: 1, Parties: 3, Seed: 3}).Syncs, 1500)
			path, line := rewrite(t, dir, c.pattern, c.with)
			v := judgeKind(t, dir, Barriers)
			r := v.Refusal
			if v.Accepted || r.Event.Where() != fmt.Sprintf("%s:%d", path, line) || r.Event.Act != c.act ||
				!strings.Contains(strings.Join(r.Reasons, "\n"), c.reason) {
				t.Fatalf("changed %s:%d, and %+v", path, line, r)
			}
		})
	}
}
