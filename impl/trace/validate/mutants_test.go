//go:build mutants

package validate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/sim"
	"github.com/mome-dsm/mome/impl/trace"
	"github.com/mome-dsm/mome/impl/trace/replay"
)

// brokenWorlds are where broken cores run: one page, so that there is one first
// event to be refused.
var brokenWorlds = []sim.Config{
	{Nodes: 3, Fanout: 4, Pages: 1, Lateral: true},
	{Nodes: 4, Fanout: 2, Pages: 1, Lateral: true},
	{Nodes: 6, Fanout: 2, Pages: 1, Lateral: true},
	{Nodes: 3, Fanout: 4, Pages: 1, Recreate: true, Breaks: true},
}

// brokenSeeds is how many runs of each world a mistake may need to make a
// difference.
const brokenSeeds = 40

// recordBroken runs a broken core until the simulator notices, or for so many
// steps, and closes the logs in order.
func recordBroken(t *testing.T, bug protocol.Bug, cfg sim.Config) string {
	t.Helper()
	dir := runDir(t, bug.String())
	protocol.Break(bug)
	defer protocol.Break(0)
	w := sim.New(cfg)
	if err := w.Record(dir); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if r := recover(); r != nil {
				if _, ok := r.(*sim.Failure); !ok {
					panic(r)
				}
			}
		}()
		for range 4000 {
			w.Random()
		}
		w.Settle()
	}()
	if err := w.EndRecord(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// judged are the mistakes whose runs are judged here: recalls that are dropped or
// not waited for, and what a leaf does wrong. impl/mutants has a table of all.
var judged = []string{"SkipAckWait", "ForgetChild", "GrantEarly", "GrantBeforeData", "EvictOwned",
	"KeepsWriteOnDowngrade", "HitWithoutData"}

// TestMutants records runs of broken cores, with correct sequence numbers and
// clocks, and has TLC judge one in which a replay shows that the mistake made a
// difference. It is refused, at the event where the broken core first did what
// the specification does not. testdata/mutants is the table: the mistake, the
// event, what does not hold.
//
// With HitWithoutData something never arrives, which is wrong of no event. It is
// under way at the end of a run that came to rest, and that is what is refused.
func TestMutants(t *testing.T) {
	type broken struct {
		bug  protocol.Bug
		dir  string
		line string
	}
	var all []*broken
	for _, bug := range protocol.Bugs("pages") {
		if !slices.Contains(judged, bug.String()) {
			continue
		}
		b := &broken{bug: bug}
		for i := 0; b.dir == "" && i < brokenSeeds*len(brokenWorlds); i++ {
			cfg := brokenWorlds[i%len(brokenWorlds)]
			cfg.Seed = uint64(i / len(brokenWorlds))
			dir := recordBroken(t, bug, cfg)
			var d *replay.Difference
			// That a message is refused which was not, or the reverse, is no action.
			if _, err := replay.Run(dir); errors.As(err, &d) && d.What != "refusal" {
				b.dir = dir
			}
		}
		if b.dir == "" {
			t.Fatalf("no run shows a difference with %v", bug)
		}
		all = append(all, b)
	}
	if len(all) != len(judged) {
		t.Fatalf("%d of %d mistakes are in the core", len(all), len(judged))
	}
	tlc := tool(t)
	next := make(chan *broken)
	var judges sync.WaitGroup
	for range 2 {
		judges.Go(func() {
			for b := range next {
				b.line = func() string {
					run, err := trace.OpenRun(b.dir)
					if err != nil {
						return err.Error()
					}
					v, err := Run(t.Context(), run, Pages, Options{Tool: tlc, Workers: 1})
					switch {
					case err != nil:
						return "no verdict: " + strings.ReplaceAll(err.Error(), b.dir, "DIR")
					case v.Accepted:
						return fmt.Sprintf("accepted, with %d messages under way at the end", v.UnderWay)
					}
					e := v.Refusal.Event
					return fmt.Sprintf("event %d, %s at %v:\n    %s", v.Refusal.Number, e.Act, e.At, strings.Join(v.Refusal.Reasons, "\n    "))
				}()
			}
		})
	}
	for _, b := range all {
		next <- b
	}
	close(next)
	judges.Wait()
	refused := 0
	for _, b := range all {
		if strings.HasPrefix(b.line, "event ") {
			refused++
		}
	}
	t.Logf("validate: %d of %d broken cores refused", refused, len(all))
	datadriven.RunTest(t, "testdata/mutants", func(t *testing.T, d *datadriven.TestData) string {
		var text strings.Builder
		for _, b := range all {
			fmt.Fprintf(&text, "%v: %s\n", b.bug, b.line)
		}
		return text.String()
	})
}
