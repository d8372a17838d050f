package e2e

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/trace"
	"github.com/mome-dsm/mome/impl/trace/validate"
	"github.com/mome-dsm/mome/impl/wire"
	"github.com/mome-dsm/mome/spec/tlc"
)

func init() { programs["touch"] = touch }

// touch loads and stores as the test says: a line is a verb and a page.
func touch(p *program) {
	w := words(p.open(2*pageSize, mome.WithHome(mome.Block)))
	p.say("ready")
	for p.in.Scan() {
		var verb string
		var page int
		if _, err := fmt.Sscan(p.in.Text(), &verb, &page); err != nil {
			fatalf("%q: %v", p.in.Text(), err)
		}
		word := &w[page*pageWords]
		if verb == "store" {
			p.say("saw", atomic.AddInt64(word, 1))
		} else {
			p.say("saw", atomic.LoadInt64(word))
		}
	}
}

// contested are what two processes on each of two nodes do to a page one after
// another, so that they take it from each other in every way. Ranks 0 and 2 are
// on node 0.
var contested = []struct {
	rank int
	verb string
}{
	{0, "store"}, {2, "store"}, // two writers of a node,
	{1, "load"}, {3, "load"}, // protected for two readers of the other
	{1, "store"}, {3, "store"}, // which take the copy
	{2, "load"}, {0, "load"}, // and must be protected too
	{0, "store"}, {1, "load"},
	{0, "store"}, {3, "store"}, // and from who writes to who writes.
}

// touched does that to a page of each home. It returns what each access saw: a
// store adds 1, and sees the sum.
func touched(c *cluster) (saw []string) {
	var apps []*app
	for r := range 4 { // one after another: so a node's mappings have one order
		a := c.rank(r%2, r, 4, "touch")
		a.at("ready")
		apps = append(apps, a)
	}
	for page := range 2 {
		for _, do := range contested {
			apps[do.rank].tell(fmt.Sprint(do.verb, " ", page))
			saw = append(saw, apps[do.rank].at("saw")[0])
		}
	}
	for _, a := range apps {
		a.stdin.Close()
	}
	allOK(apps)
	return saw
}

// judgeTrace has TLC follow all objects of one kind in a recorded run.
func judgeTrace(t *testing.T, dir string, kind validate.Kind) *validate.Verdict {
	t.Helper()
	tool, err := tlc.Find()
	if err != nil {
		t.Fatal(err)
	}
	run, err := trace.OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	v, err := validate.Run(t.Context(), run, kind, validate.Options{Tool: tool})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// What nodes do with the frames of their pages is what the specification says:
// two processes a node that take pages from each other, rewrite whole pages with
// random hints, and are killed.
func TestFrames(t *testing.T) {
	requireUserfaultfd(t)
	s := two
	s.trace = t.TempDir()
	if !t.Run("record", func(t *testing.T) {
		c := start(t, wire.TCP, s)
		want := "1 2 2 2 3 4 4 4 5 5 6 7"
		if saw := strings.Join(touched(c), " "); saw != want+" "+want {
			t.Errorf("the processes saw %s, want %s of each page", saw, want)
		}
		killed := c.run(0, "touch")
		killed.at("ready")
		killed.tell("store 0")
		killed.at("saw")
		killed.kill()
		if saw := touched(c)[0]; saw != "9" {
			t.Errorf("after the last store of a process that was killed another one saw %s, want 9", saw)
		}
		c.remove()
		var apps []*app
		for r := range 4 {
			apps = append(apps, c.rank(r%2, r, 4, "integrity", c.seed, 30))
		}
		allOK(apps)
	}) {
		return
	}
	v := judgeTrace(t, s.trace, validate.Frames)
	if !v.Accepted {
		t.Fatalf("%s: %s of %s: %s\n%s", v.Refusal.Event.Where(), v.Refusal.Event.Act, v.Refusal.Object,
			strings.Join(v.Refusal.Reasons, "; "), v.Refusal.State)
	}
	for _, act := range []string{"Attach", "Exit", "TakeFault", "Expect", "Copy", "ZeroPage", "Continue", "Unprotect", "Wake",
		"Protect", "SendData", "Punch", "SendAck"} {
		if v.Acts[act] == 0 {
			t.Errorf("there was no %s", act)
		}
	}
	t.Logf("frames: %d events of %d frames, accepted in %.1f s", v.Events, v.Objects, v.Checking.Seconds())
}
