package show

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/sim"
	"github.com/mome-dsm/mome/impl/trace"
)

// record runs a simulated world and returns the directory with its logs.
func record(t testing.TB, cfg sim.Config, steps int) string {
	t.Helper()
	dir := t.TempDir()
	if err := sim.Recorded(dir, cfg, steps); err != nil {
		t.Fatal(err)
	}
	return dir
}

// recordLocks runs a world of locks and returns the directory with its logs.
func recordLocks(t testing.TB, steps int) string {
	t.Helper()
	dir := t.TempDir()
	if err := sim.NewLocks(sim.SyncConfig{Nodes: 3, Objects: 2, Seed: 3}).Recorded(dir, steps); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t testing.TB, dir string) *trace.Run {
	t.Helper()
	run, err := trace.OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

var deep = sim.Config{Nodes: 4, Fanout: 2, Pages: 2, Seed: 5}

// The text of a run whose schedule is fixed is that of testdata/text, but for
// the times.
func TestText(t *testing.T) {
	run, locks := open(t, record(t, deep, 300)), open(t, recordLocks(t, 200))
	times := regexp.MustCompile(`(?m)^( *\d+) +\d+\.\d{3}`)
	datadriven.RunTest(t, "testdata/text", func(t *testing.T, d *datadriven.TestData) string {
		var f Filter
		for _, arg := range d.CmdArgs {
			for i := range arg.Vals {
				var n uint64
				arg.Scan(t, i, &n)
				switch arg.Key {
				case "page":
					f.Pages = append(f.Pages, addr.PageNum(n))
				case "node":
					f.Nodes = append(f.Nodes, addr.NodeID(n))
				case "from":
					f.From = n
				case "to":
					f.To = n
				}
			}
			f.All = f.All || arg.Key == "all"
		}
		run := run
		if d.Cmd == "locks" {
			f.Protocols = []*protocol.Protocol{protocol.Locks, protocol.Barriers}
			run = locks
			f.Names = map[uint64]string{1: "lock one"}
		}
		var b strings.Builder
		n, err := Text(&b, run, f)
		if err != nil {
			t.Fatal(err)
		}
		text := times.ReplaceAllString(b.String(), "$1        TIME")
		if lines := strings.Count(text, "\n") - 1; n != lines || strings.Count(text, "TIME") != lines {
			t.Errorf("%d events in %d lines:\n%s", n, lines, b.String())
		}
		return text
	})
}

// A filter takes what it says, and no filter takes every action.
func TestFilter(t *testing.T) {
	run := open(t, record(t, deep, 300))
	collect := func(f Filter) (all []*Event) {
		for e, err := range Events(run, f) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
		return all
	}
	everything := collect(Filter{All: true})
	records := 0
	for _, f := range run.Files {
		for _, err := range f.Records() {
			if err != nil {
				t.Fatal(err)
			}
			records++
		}
	}
	if len(everything) != records {
		t.Errorf("%d events of %d records", len(everything), records)
	}
	middle := everything[len(everything)/2].Age
	for name, c := range map[string]struct {
		filter Filter
		takes  func(e *Event) bool
	}{
		"actions": {Filter{}, func(e *Event) bool { return e.Kind == trace.KindAction }},
		"page":    {Filter{All: true, Pages: []addr.PageNum{1}}, func(e *Event) bool { return e.Kind != trace.KindConfigure && e.Page == 1 }},
		"nodes":   {Filter{All: true, Nodes: []addr.NodeID{1, 3}}, func(e *Event) bool { return e.At.Node%2 == 1 }},
		"clock":   {Filter{All: true, From: 5, To: 20}, func(e *Event) bool { return e.Lamport >= 5 && e.Lamport <= 20 }},
		"from":    {Filter{All: true, From: 5}, func(e *Event) bool { return e.Lamport >= 5 }},
		"since":   {Filter{All: true, Since: middle}, func(e *Event) bool { return e.Age >= middle }},
		"until":   {Filter{All: true, Until: middle}, func(e *Event) bool { return e.Age <= middle }},
	} {
		got := collect(c.filter)
		var want []string
		for _, e := range everything {
			if c.takes(e) {
				want = append(want, e.Where)
			}
		}
		var have []string
		for _, e := range got {
			have = append(have, e.Where)
		}
		if d := cmp.Diff(want, have); d != "" || len(have) == 0 || len(have) == len(everything) {
			t.Errorf("%s: %d events of %d: %s", name, len(have), len(everything), d)
		}
	}
}

// Children are called by their places, in whatever order the nodes learn that a
// segment is there, is gone and is there again.
func TestChildrenHaveNames(t *testing.T) {
	run := open(t, record(t, sim.Config{Nodes: 5, Fanout: 2, Pages: 2, Segments: 2, Recreate: true, Seed: 3}, 3000))
	changes, states := 0, 0
	for e, err := range Events(run, Filter{All: true}) {
		switch {
		case err != nil:
			t.Fatal(err)
		case e.Kind == trace.KindConfigure:
			changes++
		case strings.Contains(e.State, "copies"):
			states++
			if strings.Contains(e.State, "child") {
				t.Fatalf("%s: %s", e.Where, e.State)
			}
		}
	}
	if changes < 3*len(run.Files) || states == 0 {
		t.Errorf("%d configurations in %d logs, %d states with copies", changes, len(run.Files), states)
	}
}

// data is what the script of a page gets.
func data(t testing.TB, html string) *Diagram {
	t.Helper()
	_, rest, ok := strings.Cut(html, `<script type="application/json" id="run">`)
	text, _, end := strings.Cut(rest, `</script>`)
	if !ok || !end {
		t.Fatal("the page has no data")
	}
	d := new(Diagram)
	if err := json.Unmarshal([]byte(text), d); err != nil {
		t.Fatal(err)
	}
	return d
}

func draw(t testing.TB, d *Diagram) string {
	t.Helper()
	var b bytes.Buffer
	if err := d.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The page holds every event, each message as an arrow from the event that sent
// it, and needs nothing from elsewhere.
func TestDiagram(t *testing.T) {
	run := open(t, record(t, deep, 500))
	d, err := NewDiagram(run, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	html := draw(t, d)
	got := data(t, html)
	// The states are compact in the page, as they are in the log.
	if diff := cmp.Diff(d, got); diff != "" {
		t.Fatal(diff)
	}
	var want []*Event
	for e, err := range Events(run, Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, e)
	}
	if len(got.Events) != len(want) || len(want) < 100 {
		t.Fatalf("%d events, the run has %d", len(got.Events), len(want))
	}
	kinds := make(map[string]int)
	for i, p := range got.Events {
		e := want[i]
		kinds[p.Kind]++
		if p.Clock != e.Lamport || p.Name != e.Act || got.Objects[p.Object] != fmt.Sprint(uint32(e.Page)) || p.Where != e.Where ||
			string(p.Post) != string(e.Post) || got.Managers[p.Manager].Name != e.At.String() {
			t.Fatalf("event %d is %+v, the run has %+v", i, p, e)
		}
		if e.From == nil {
			if p.Sent != -1 || p.From != -1 || p.Kind != "local" {
				t.Errorf("event %d is a local step: %+v", i, p)
			}
			continue
		}
		if p.Sent < 0 || p.Sent >= i || got.Managers[p.From].Name != e.From.String() || p.Kind != e.Message.Kind.String() {
			t.Errorf("event %d has no arrow from %v: %+v", i, *e.From, p)
			continue
		}
		if s := want[p.Sent]; s.At != *e.From || s.Lamport != e.Message.Lamport || s.Page != e.Page {
			t.Errorf("the arrow to event %d begins at %+v", i, s)
		}
	}
	for _, kind := range []string{"local", "Req", "Grant", "Recall", "Ack", "Data"} {
		if kinds[kind] == 0 {
			t.Errorf("no event of the kind %s", kind)
		}
	}
	for _, fact := range []string{"4 nodes", "fan-out 2", "seed 5", fmt.Sprintf("%d events", len(want)), "2 pages", "build sim"} {
		if !strings.Contains(got.Title+got.Facts, fact) {
			t.Errorf("title and facts do not say %q: %s: %s", fact, got.Title, got.Facts)
		}
	}
	foreign := regexp.MustCompile(`(?i)https?://[^"]*|\bsrc=|\bhref=|url\(|@import|\bfetch\(|import\(`)
	for _, at := range foreign.FindAllString(html, -1) {
		if at != "http://www.w3.org/2000/svg" {
			t.Errorf("the page is not self-contained: %s", at)
		}
	}
}

// Locks are drawn like pages: each message is an arrow from the event that sent
// it.
func TestDiagramOfLocks(t *testing.T) {
	run := open(t, recordLocks(t, 1000))
	d, err := NewDiagram(run, Filter{Protocols: []*protocol.Protocol{protocol.Locks}, Names: map[uint64]string{0: "lock zero", 1: "lock one"}})
	if err != nil {
		t.Fatal(err)
	}
	got := data(t, draw(t, d))
	if got.Kind != "lock" || !reflect.DeepEqual(got.Objects, []string{"lock one", "lock zero"}) || len(got.Events) < 300 {
		t.Errorf("%s %v, %d events", got.Kind, got.Objects, len(got.Events))
	}
	for e := range Events(run, Filter{Protocols: []*protocol.Protocol{protocol.Barriers}}) {
		t.Fatalf("among barriers: %+v", e)
	}
	i, colours := 0, make(map[string]string)
	for e, err := range Events(run, Filter{Protocols: []*protocol.Protocol{protocol.Locks}}) {
		if err != nil {
			t.Fatal(err)
		}
		p := got.Events[i]
		i++
		if p.Where != e.Where || p.State == "" || string(p.Post) != string(e.Post) {
			t.Fatalf("event %d is %+v, the run has %+v", i, p, e)
		}
		if e.From == nil {
			if p.Kind != "local" || p.Sent >= 0 {
				t.Errorf("event %d is a call: %+v", i, p)
			}
			continue
		}
		colours[p.Kind] = p.Colour
		if p.Sent < 0 || got.Managers[got.Events[p.Sent].Manager].Name != e.From.String() || got.Events[p.Sent].Clock != e.Sync.Lamport {
			t.Errorf("event %d has no arrow from %v: %+v", i, *e.From, p)
		}
	}
	for _, kind := range []string{"Acquire", "Grant", "Release", "Released", "Cancel", "Refuse"} {
		if colours[kind] == "" {
			t.Errorf("no %s, or it has no colour: %v", kind, colours)
		}
	}
}

// A part of a run: arrows from what is not shown begin nowhere, on the side of
// their sender if its line is there.
func TestDiagramOfAPart(t *testing.T) {
	run := open(t, record(t, deep, 500))
	whole, err := NewDiagram(run, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	part, err := NewDiagram(run, Filter{From: 30, To: 60})
	if err != nil {
		t.Fatal(err)
	}
	cut := 0
	for i, p := range part.Events {
		if p.Clock < 30 || p.Clock > 60 {
			t.Fatalf("event %d has the clock %d", i, p.Clock)
		}
		if p.Kind != "local" && p.Sent < 0 {
			cut++
		}
	}
	if cut == 0 || len(part.Events) == 0 || len(part.Events) >= len(whole.Events) {
		t.Errorf("%d of %d events, %d arrows are cut", len(part.Events), len(whole.Events), cut)
	}
	none, err := NewDiagram(run, Filter{Pages: []addr.PageNum{77}})
	if err != nil {
		t.Fatal(err)
	}
	if got := data(t, draw(t, none)); len(got.Events) != 0 || got.Events == nil || got.Managers == nil || got.Objects == nil {
		t.Errorf("nothing is drawn as %+v", got)
	}
}

// More events than a diagram takes are refused, and the error says where to cut.
func TestTooMany(t *testing.T) {
	run := open(t, record(t, sim.Config{Nodes: 4, Fanout: 2, Pages: 2, Seed: 1}, 14000))
	d, err := NewDiagram(run, Filter{})
	if d != nil || !errors.Is(err, ErrTooMany) || !regexp.MustCompile(`\d+ on 2 pages, and it takes 5000: choose some \(page [01] has \d+ events\)`).MatchString(err.Error()) {
		t.Fatalf("%v", err)
	}
	if d, err := NewDiagram(run, Filter{To: 100}); err != nil || len(d.Events) == 0 {
		t.Errorf("a span of it: %v", err)
	}
}

// A log without its end is shown as far as all logs go, with an error.
func TestTruncated(t *testing.T) {
	dir := record(t, deep, 500)
	path := filepath.Join(dir, "node00002-i4-s000.ndjson")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:len(text)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	run := open(t, dir)
	d, err := NewDiagram(run, Filter{})
	if !errors.Is(err, ndjson.ErrTruncated) || d == nil || len(d.Events) == 0 || !strings.Contains(d.Note, "truncated log: "+path) {
		t.Errorf("%v, %+v", err, d)
	}
	var b strings.Builder
	n, err := Text(&b, run, Filter{})
	if !errors.Is(err, ndjson.ErrTruncated) || n != len(d.Events) || strings.Count(b.String(), "\n") != n+1 {
		t.Errorf("%d lines, %v", n, err)
	}
}

// What a log says of itself cannot leave the place that it has in the page.
func TestEscapes(t *testing.T) {
	evil := `</script><script>alert("1")</script><!--`
	d := &Diagram{Title: evil, Facts: evil, Kind: evil, Objects: []string{evil}, Managers: []manager{}, Events: []point{{Words: evil, Sent: -1, From: -1}}}
	html := draw(t, d)
	if strings.Contains(html, "alert(\"1\")") || strings.Count(html, "<script") != 2 || strings.Count(html, "</script>") != 2 {
		t.Error("a text became part of the page")
	}
	if got := data(t, html); !reflect.DeepEqual(got, d) {
		t.Errorf("%+v", got)
	}
}

// States in short, for what the runs of these tests may not reach.
func TestStateWords(t *testing.T) {
	leaf, root, mid := addr.Place{Tag: addr.Leaf}, addr.Place{Tag: addr.Root}, addr.Place{Node: 1, Tag: addr.Leaf + 1}
	for _, c := range []struct {
		at          addr.Place
		state, want string
	}{
		{leaf, `{"right":"none","version":7}`, "none"},
		{leaf, `{"right":"owned","version":7}`, "owned v7"},
		{leaf, `{"right":"read","version":2,"req":"write","have":"read","arrived":true}`, "read v2; asks write; page is here"},
		{leaf, `{"right":"none","version":0,"req":"none","have":"none","arrived":true}`, "none; page is here"},
		{root, `{"right":"write","marked":[],"owner":-1,"ownerRight":"none","version":0}`, "write; home virgin"},
		{mid, `{"right":"owned","marked":[0,2],"owner":2,"ownerRight":"owned","version":9,` +
			`"busy":{"op":"write","child":1,"have":"none","source":"sent","up":true,"wait":[0,2],"homeDue":1,"keep":"none","dst":"leaf","leaf":5,"hit":false},` +
			`"recall":{"active":true,"wait":[2],"homeDue":0,"keep":"read","dst":"leaf","leaf":3,"hit":true},"queue":[{"op":"read","child":0,"have":"none","leaf":1}]}`,
			"owned v9; copies child 0 child 2:owned; serves write for leaf@5, waits for its parent child 0 child 2 the home; " +
				"recall to read, waits for child 2; 1 queued"},
		{mid, `{"right":3}`, `{"right":3}`},
		{leaf, ``, ``},
	} {
		if got := pages.state(new(protocol.Configuration), &trace.Record{At: c.at, Post: []byte(c.state)}); got != c.want {
			t.Errorf("%s is %q, want %q", c.state, got, c.want)
		}
	}
}

// The steps on a page's frame are shown, and those on many pages with each.
func TestSteps(t *testing.T) {
	step := func(s trace.Step) *trace.Record { return &trace.Record{Kind: trace.KindStep, Page: s.Page, Step: &s} }
	for _, c := range []struct {
		record *trace.Record
		want   string
	}{
		{step(trace.Step{Step: trace.Copy, Page: 4, Process: 2, Write: true, Digest: 0xab, Answer: "EEXIST"}),
			"frame Copy: process 2, to store, digest 00000000000000ab, EEXIST"},
		{step(trace.Step{Step: trace.Attach, Page: 3, Pages: 2, Process: 1}), "frame Attach: process 1, 2 pages"},
	} {
		if got := name(c.record) + ": " + recordWords(c.record); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
		f := Filter{All: true, Pages: []addr.PageNum{4}}
		if !f.takes(c.record, 0) {
			t.Errorf("page 4 without %s", c.want)
		}
		f.Pages[0] = 5
		if f.takes(c.record, 0) {
			t.Errorf("page 5 with %s", c.want)
		}
	}
}

func TestSyncStates(t *testing.T) {
	for _, c := range []struct{ state, want string }{
		{`{"fence":0,"died":false,"overtaken":0,"queue":[]}`, "free"},
		{`{"fence":0,"died":true,"overtaken":0,"queue":[]}`, "free; the last holder died"},
		{`{"fence":4,"holder":{"node":1,"party":2,"request":3},"died":false,"overtaken":0,"queue":[{"node":0,"party":7,"request":1}]}`,
			"held by party 2 of node 1, fence 4; 1 queued"},
		{`{"dead":false,"calls":[]}`, "not asked for"},
		{`{"dead":true,"turn":{"request":1,"fence":0,"cancel":0,"canceling":false,"try":false},"calls":[]}`, "waits; the process is dead"},
		{`{"dead":false,"turn":{"request":1,"fence":0,"cancel":0,"canceling":true,"try":false},"calls":[]}`, "waits, takes it back"},
		{`{"dead":false,"turn":{"request":1,"fence":9,"cancel":0,"canceling":false,"try":true},"calls":[]}`, "has it, fence 9"},
		{`[]`, "nobody has a seat"},
		{`[{"generation":3,"parties":3,"over":4,"broken":true,"seats":[{"index":0,"party":1,"arrived":5,"leaving":false,"waits":[8]}]}]`,
			"generation 3, round 5; 1 seats, 1 arrived; broken"},
		{`[{"generation":3,"parties":3,"arrived":1,"over":4,"broken":true,"left":[],"seats":[{"index":0,"node":0,"party":1,"arrived":5},{"index":1,"node":0,"party":1,"arrived":4}]}]`,
			"generation 3, round 5; 2 seats, 1 arrived; broken"},
		{`[{"generation":3,"parties":3,"arrived":1,"over":4,"broken":false,"left":[2],"seats":[{"index":0,"node":0,"party":1,"arrived":4}]},
		   {"generation":5,"parties":3,"arrived":0,"over":0,"broken":false,"left":[],"seats":[{"index":2,"node":0,"party":1,"arrived":0}]}]`,
			"generation 3, round 5; 1 seats, 0 arrived; 1 arrived and left | generation 5, round 1; 1 seats, 0 arrived"},
		{`{"other":1}`, `{"other":1}`},
		{``, ``},
	} {
		shown, r := locks, trace.Record{At: addr.Place{Tag: addr.Root}, Post: []byte(c.state)}
		if strings.HasPrefix(c.state, "[") {
			shown = barriers
		}
		if strings.Contains(c.state, "dead") || strings.Contains(c.state, "leaving") {
			r.At.Tag = addr.Leaf
		}
		if got := shown.state(nil, &r); got != c.want {
			t.Errorf("%s is %q, want %q", c.state, got, c.want)
		}
	}
}

func TestMilliseconds(t *testing.T) {
	if got := milliseconds(1500*time.Microsecond + 499*time.Nanosecond); got != "1.500" {
		t.Error(got)
	}
}
