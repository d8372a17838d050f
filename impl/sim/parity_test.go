package sim

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/trace"
)

// TestInvariantNames compares the state invariants of StrongInvs.tla with
// Invariants, both ways. ProcessInv and VersionInv are the code's.
func TestInvariantNames(t *testing.T) {
	text, err := os.ReadFile("../../spec/strong/StrongInvs.tla")
	if err != nil {
		t.Fatal(err)
	}
	var spec []string
	for _, m := range regexp.MustCompile(`(?m)^(\w+Inv) *==`).FindAllSubmatch(text, -1) {
		spec = append(spec, string(m[1]))
	}
	code := []string{}
	for _, inv := range Invariants {
		code = append(code, inv.Name)
		if inv.Name != "ProcessInv" && inv.Name != "VersionInv" && !slices.Contains(spec, inv.Name) {
			t.Errorf("StrongInvs.tla has no %s", inv.Name)
		}
	}
	for _, name := range spec {
		if !slices.Contains(code, name) {
			t.Errorf("nothing checks %s", name)
		}
	}
}

// segmentChecks are the properties of SegmentInvs.tla, and what checks each of them:
// in this package by the name that a Failure has.
var segmentChecks = map[string]string{
	"TypeInv":          "", // types
	"NothingInv":       "NothingInv",
	"BytesInv":         "BytesInv, and DataValueInv of each access",
	"HomeBytesInv":     "HomeFreshInv",
	"SingleWriterInv":  "SingleWriterInv",
	"RecordedInv":      "InclusionInv",
	"EarlyInv":         "EarlyInv",
	"NoLostRequestInv": "QuietInv",
	"WaitsInv":         "NothingInv",
	"NoEffectProp":     "NoEffectProp",
	"StaysProp":        "StaysProp",
	"ReadProp":         "DataValueInv",
	"AccessServedProp": "FaultServedProp",
	"EarlyTakenProp":   "RestInv",
	"GenerationInv":    "linearizability: a name's generations",
	"ViewProp":         "impl/node: TestSuccession",
	"GoneProp":         "impl/node: TestSuccession",
	"AnsweredProp":     "impl/node: TestSuccession",
}

// TestSegmentInvariantNames compares them with the module, both ways.
func TestSegmentInvariantNames(t *testing.T) {
	text, err := os.ReadFile("../../spec/segment/SegmentInvs.tla")
	if err != nil {
		t.Fatal(err)
	}
	var spec []string
	for _, m := range regexp.MustCompile(`(?m)^(\w+(Inv|Prop)) *==`).FindAllSubmatch(text, -1) {
		spec = append(spec, string(m[1]))
		if _, ok := segmentChecks[string(m[1])]; !ok {
			t.Errorf("nothing checks %s", m[1])
		}
	}
	for name := range segmentChecks {
		if !slices.Contains(spec, name) {
			t.Errorf("SegmentInvs.tla has no %s", name)
		}
	}
}

// shownFields are the records of the state in Manager.tla and Strong.tla: where the
// module makes one, and the fields of a trace's state that show each field of it.
var shownFields = []struct {
	module string
	record string // a regular expression up to its first field
	key    string // where it is in a recorded state; empty: it is that state
	shown  map[string][]string
}{
	{"Manager", `mgr = \[m \\in Managers \|-> \[`, "", map[string][]string{"right": {"right"}, "recorded": {"marked", "owner", "ownerRight"},
		"busy": {"busy"}, "recall": {"recall"}, "queue": {"queue"}}},
	{"Manager", `busy = \[`, "busy", map[string][]string{"op": {"op"}, "child": {"child"}, "have": {"have"}, "phase": {"up"}, "source": {"source"},
		"wait": {"wait"}, "homeDue": {"homeDue"}, "keep": {"keep"}, "dst": {"dst"}, "leaf": {"leaf"}, "hit": {"hit"}}},
	{"Manager", `recall = \[`, "recall", map[string][]string{"wait": {"wait"}, "homeDue": {"homeDue"}, "keep": {"keep"}, "dst": {"dst"},
		"leaf": {"leaf"}, "hit": {"hit"}}},
	// The content is the shell's.
	{"Strong", `leaf = \[l \\in Leaves \|-> \[`, "", map[string][]string{"right": {"right"}, "req": {"req", "have"}, "val": nil, "arrived": {"arrived"}}},
}

// codeFields are those of a trace's state that the module does not have.
var codeFields = []string{"version", "home", "active"}

// TestStateNames compares the fields of the modules' records with those that a
// recorded run shows, both ways.
func TestStateNames(t *testing.T) {
	dir := t.TempDir()
	if err := Recorded(dir, Config{Nodes: 6, Fanout: 2, Pages: 1, Check: 1}, 2000); err != nil {
		t.Fatal(err)
	}
	run, err := trace.OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range shownFields {
		text, err := os.ReadFile("../../spec/strong/" + c.module + ".tla")
		if err != nil {
			t.Fatal(err)
		}
		at := regexp.MustCompile(c.record).FindIndex(text)
		if at == nil {
			t.Fatalf("%s.tla has no %s", c.module, c.record)
		}
		spec := recordFields(string(text[at[1]:]))
		recorded := make(map[string]bool)
		for e, err := range run.Events() {
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind != trace.KindAction || (e.At.Tag == addr.Leaf) != (c.module == "Strong") {
				continue
			}
			post := e.Post
			if c.key != "" {
				var outer map[string]json.RawMessage
				if err := json.Unmarshal(post, &outer); err != nil {
					t.Fatal(err)
				}
				if post = outer[c.key]; post == nil {
					continue
				}
			}
			var fields map[string]json.RawMessage
			if err := json.Unmarshal(post, &fields); err != nil {
				t.Fatal(err)
			}
			for f := range fields {
				recorded[f] = true
			}
		}
		for _, f := range spec {
			if _, ok := c.shown[f]; !ok {
				t.Errorf("%s: the module has %s, nothing shows it", c.record, f)
			}
		}
		for f, keys := range c.shown {
			if !slices.Contains(spec, f) {
				t.Errorf("%s: %v shows %s, the module has %v", c.record, keys, f, spec)
			}
			for _, k := range keys {
				if !recorded[k] {
					t.Errorf("%s: no record has %s", c.record, k)
				}
				delete(recorded, k)
			}
		}
		for f := range recorded {
			if !slices.Contains(codeFields, f) {
				t.Errorf("%s: a record has %s, the module has nothing like it", c.record, f)
			}
		}
	}
}

// recordFields are the names in a TLA+ record, whose first bracket is open.
func recordFields(text string) (names []string) {
	field := regexp.MustCompile(`^(\w+) +\|->`)
	depth, begins := 0, true
	for i, r := range text {
		switch {
		case r == '[' || r == '{' || r == '<':
			depth++
		case r == ']' && depth == 0:
			return names
		case r == ']' || r == '}' || r == '>' && text[i-1] != '-':
			depth--
		case r == ',' && depth == 0:
			begins = true
		case begins && r != ' ' && r != '\n':
			if m := field.FindStringSubmatch(text[i:]); m != nil {
				names = append(names, m[1])
			}
			begins = false
		}
	}
	return names
}
