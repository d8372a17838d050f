package coverage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// state is the post state of a recorded action.
type state string

func (s state) AppendState(b []byte, _ addr.PageNum, _ addr.Place) []byte { return append(b, s...) }

// recorder begins the log of the only node of a run, and returns the directory.
// Its tree is root and leaf.
func recorder(t *testing.T) (*trace.Recorder, string) {
	t.Helper()
	dir := t.TempDir()
	r, err := trace.NewRecorder(dir, trace.Header{Spec: "strong", Incarnation: 1, Nodes: 1, PageSize: addr.PageSize,
		Slots: []byte(`{"Epoch":1,"Members":[1],"Fanout":2,"Slots":[{"Home":0,"Term":1}],"Generation":0}`)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return r, dir
}

// record writes a log of these events.
func record(t *testing.T, events ...protocol.Event) string {
	t.Helper()
	r, dir := recorder(t)
	for i := range events {
		post := state(`{"right":"none"}`)
		if events[i].Message != nil && events[i].Message.Version > 0 {
			post = `{"right":"read"}`
		}
		r.Shard(0).Action(&events[i], post)
	}
	if err := r.Close(&trace.Account{Shards: []trace.CoreAccount{{Work: protocol.Work{Actions: uint64(len(events))}}}}); err != nil {
		t.Fatal(err)
	}
	return dir
}

var leafPlace, rootPlace = addr.Place{Tag: addr.Leaf}, addr.Place{Tag: addr.Root}

// everything is one event of each action that a tree of root and leaf has.
func everything() []protocol.Event {
	read := &protocol.Message{Kind: protocol.Req, Op: protocol.OpRead, Envelope: protocol.Envelope{From: leafPlace, To: rootPlace}}
	fetch := &protocol.Message{Kind: protocol.Recall, Keep: protocol.Read, Dst: protocol.ToHome,
		Envelope: protocol.Envelope{From: rootPlace, To: leafPlace}}
	kept := *fetch
	kept.Version = 1 // record gives a state with a copy
	return []protocol.Event{
		{Action: protocol.ActReadFault, At: leafPlace, Message: read},
		{Action: protocol.ActWriteFault, At: leafPlace, Before: protocol.Recalled},
		{Action: protocol.ActWriteback, At: leafPlace},
		{Action: protocol.ActEvict, At: leafPlace},
		{Action: protocol.ActRecvData, At: leafPlace, Before: protocol.Climbing},
		{Action: protocol.ActLeafRecvGrant, At: leafPlace, Before: protocol.Climbing},
		{Action: protocol.ActLeafRecvRecall, At: leafPlace, Before: protocol.Recalled, Message: fetch},
		{Action: protocol.ActLeafRecvRecall, At: leafPlace, Before: protocol.Recalled, Message: &kept},
		{Action: protocol.ActRecvReq, At: rootPlace, Message: read},
		{Action: protocol.ActRecvReq, At: rootPlace, Before: protocol.Serving, Message: read},
		{Action: protocol.ActRecvAck, At: rootPlace, Before: protocol.Serving},
		{Action: protocol.ActHomeRecvData, At: rootPlace, Before: protocol.Serving},
	}
}

// TestRead: what was recorded is counted, of several runs together, and a leaf
// that was recalled for an evicted copy has missed.
func TestRead(t *testing.T) {
	runs, err := Read(record(t, everything()...), record(t, everything()[8:10]...))
	if err != nil || len(runs) != 4 {
		t.Fatal(runs, err)
	}
	r := runs[0]
	if r.Name != "strong" || r.Logs != 2 || r.Nodes != 1 || r.Depth != 1 || r.Total() != 14 {
		t.Errorf("%s, %d logs, %d nodes, depth %d, %d actions", r.Name, r.Logs, r.Nodes, r.Depth, r.Total())
	}
	if never := r.Never(r.Depth); never != nil {
		t.Errorf("never: %v", never)
	}
	for _, k := range []Cell{{"RecvReq", Root, protocol.Idle}, {"RecvReq", Root, protocol.Serving},
		{"LeafRecvRecall", Leaf, protocol.Recalled}} {
		if n := r.Cells[k]; n != 2 {
			t.Errorf("%+v: %d, want 2", k, n)
		}
	}
	cases := make(map[string]int)
	for _, k := range r.SortedCases() {
		cases[k.Action+": "+k.Message()] = r.Cases[k]
	}
	want := map[string]int{"ReadFault: read, have none": 1, "RecvReq: read, have none": 4,
		"LeafRecvRecall: keep read, to home": 1, "LeafRecvRecall: keep read, to home, missed": 1}
	if d := cmp.Diff(want, cases); d != "" {
		t.Error(d)
	}
	// A line for each of the ten actions, below the title.
	if lines := strings.Split(strings.TrimSpace(r.String()), "\n"); len(lines) != 11 ||
		strings.Join(strings.Fields(lines[8]), " ") != "RecvReq root 2 2 - - -" {
		t.Errorf("the table is\n%v", r)
	}
}

// TestSteps: the steps on frames are counted, and what the kernel refused.
func TestSteps(t *testing.T) {
	recorder, dir := recorder(t)
	for _, answer := range []string{"", "EEXIST", ""} {
		recorder.Shard(0).Step(&trace.Step{Step: trace.Copy, Process: 1, Answer: answer})
	}
	if err := recorder.Close(&trace.Account{Shards: make([]trace.CoreAccount, 1)}); err != nil {
		t.Fatal(err)
	}
	runs, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	frame := runs[1]
	if frame.Spec != Frame || frame.At("Copy", Leaf) != 3 || frame.Total() != 3 ||
		len(frame.Never(1)) != len(trace.FrameSteps())-2 {
		t.Errorf("%s: %v, never %v", frame.Name, frame.Cells, frame.Never(1))
	}
	if d := cmp.Diff(map[Case]int{{Action: "Copy", Answer: "EEXIST"}: 1}, frame.Cases); d != "" {
		t.Error(d)
	}
}

// TestNever: what a run leaves out is named.
func TestNever(t *testing.T) {
	all := everything()
	for i, e := range all {
		if e.Action == protocol.ActRecvReq || e.Action == protocol.ActLeafRecvRecall {
			continue // there are two of them
		}
		runs, err := Read(record(t, append(append([]protocol.Event(nil), all[:i]...), all[i+1:]...)...))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]Row{{e.Action.String(), LevelOf(e.At.Tag)}}, runs[0].Never(1)); d != "" {
			t.Errorf("without %v: %s", e.Action, d)
		}
	}
}

// TestHoles: a cell that is empty and need not be is a hole, one that is full and
// cannot be a contradiction.
func TestHoles(t *testing.T) {
	c := New(Strong)
	if n := len(c.Holes(1)); n != 18 {
		t.Errorf("%d holes in nothing, want 18", n)
	}
	for _, e := range everything() {
		c.Event(&e, protocol.None)
	}
	want := []Cell{{"ReadFault", Leaf, protocol.Recalled}, {"WriteFault", Leaf, protocol.Idle}, {"Writeback", Leaf, protocol.Recalled},
		{"Evict", Leaf, protocol.Recalled}, {"RecvData", Leaf, protocol.RecalledClimbing}, {"LeafRecvGrant", Leaf, protocol.RecalledClimbing},
		{"LeafRecvRecall", Leaf, protocol.RecalledClimbing}}
	if d := cmp.Diff(want, c.Holes(1)); d != "" {
		t.Error(d)
	}
	if bad := c.Contradictions(); bad != nil {
		t.Errorf("contradictions: %v", bad)
	}
	c.Event(&protocol.Event{Action: protocol.ActRecvReq, At: rootPlace, Before: protocol.Climbing}, protocol.None)
	if d := cmp.Diff([]Cell{{"RecvReq", Root, protocol.Climbing}}, c.Contradictions()); d != "" {
		t.Error(d)
	}
}

// TestReadErrors: a part of a run is not counted.
func TestReadErrors(t *testing.T) {
	good := record(t, everything()...)
	log := filepath.Join(good, "node00000-i1-s000.ndjson")
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, from, to string
		want           error
		where          string
	}{
		{"cut", `{"end":12}` + "\n", "", ndjson.ErrTruncated, ":14:"},
		{"gap", `"seq":5,`, `"seq":6,`, ndjson.ErrGap, ":6:"},
		{"format", `"format":7`, `"format":1`, ndjson.ErrFormat, ":1:"},
		{"action", `"act":"Evict"`, `"act":"Vanish"`, ndjson.ErrMalformed, ":5:"},
		{"right", `"post":{"right":"read"}`, `"post":{"right":"some"}`, ndjson.ErrMalformed, ":9:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			bad := strings.Replace(string(text), c.from, c.to, 1)
			if bad == string(text) {
				t.Fatalf("the log has no %s", c.from)
			}
			if err := errors.Join(os.CopyFS(dir, os.DirFS(good)), os.WriteFile(filepath.Join(dir, filepath.Base(log)), []byte(bad), 0o666)); err != nil {
				t.Fatal(err)
			}
			runs, err := Read(good, dir)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), c.where) {
				t.Errorf("%v, %v; want %v at %s", runs, err, c.want, c.where)
			}
		})
	}
	if err := os.Remove(filepath.Join(good, "node00000-i1-manifest.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(good); !errors.Is(err, trace.ErrMissing) {
		t.Errorf("without a manifest: %v", err)
	}
	if _, err := Read(t.TempDir()); !errors.Is(err, trace.ErrNoTrace) {
		t.Errorf("an empty directory: %v", err)
	}
}

// TestImpossible: the levels and the reasons are of actions that there are, and
// leave something to be done by each.
func TestImpossible(t *testing.T) {
	for _, s := range Specs {
		for _, a := range s.Actions {
			for _, l := range s.Levels(a, 4) {
				possible := 0
				for _, ph := range s.Phases {
					if s.Impossible(Cell{a, l, ph}) == "" {
						possible++
					}
				}
				if possible == 0 {
					t.Errorf("%v at %v is never possible", a, l)
				}
			}
		}
	}
}
