package tlc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseOutcome(t *testing.T) {
	both := []string{"RestartsProp", "UpProp"}
	tests := []struct {
		file     string
		want     string // as Outcome.String
		is       string
		distinct int64
		depth    int64
		state    string // the end of the last state
		err      string
	}{
		{file: "ok", want: "ok", distinct: 6, depth: 6},
		{file: "invariant", want: "violation:BoundInv", is: "BoundInv", distinct: 7, depth: 7, state: "clock = 6"},
		{file: "initial", want: "violation:BoundInv", is: "BoundInv", state: "clock = 9"},
		{file: "action", want: "violation:UpProp", is: "UpProp", distinct: 6, depth: 6, state: "clock = 1"},
		{file: "place", want: "violation:RestartsProp|UpProp", is: "UpProp", distinct: 6, depth: 6, state: "clock = 5"},
		{file: "temporal", want: "violation:RestartsProp|UpProp", is: "RestartsProp", distinct: 6,
			state: "Back to state 2: <Reset line 11, col 3 to line 12, col 15 of module Toy>"},
		{file: "stutter", want: "violation:RestartsProp|UpProp", is: "RestartsProp", distinct: 6, state: "State 6: Stuttering"},
		{file: "deadlock", want: "deadlock", is: "deadlock", distinct: 5, depth: 5, state: "clock = 4"},
		{file: "semantic", want: "error", err: "Unknown operator: `clok'"},
		{file: "syntax", want: "error", err: "Parse Error"},
		{file: "evaluation", want: "error", distinct: 6, state: "clock = 5", err: "A non-function"},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			out, err := os.ReadFile(filepath.Join("testdata", "out", tt.file+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			o := ParseOutcome(string(out), both)
			if o.String() != tt.want {
				t.Errorf("result %q, want %q", o, tt.want)
			}
			if tt.is != "" && !o.Is(tt.is) {
				t.Errorf("%v is not %s", o, tt.is)
			}
			if o.Is("OtherInv") {
				t.Errorf("%v is OtherInv", o)
			}
			if o.Distinct != tt.distinct || o.Depth != tt.depth {
				t.Errorf("distinct %d, depth %d, want %d, %d", o.Distinct, o.Depth, tt.distinct, tt.depth)
			}
			if tt.want != "ok" && !strings.HasSuffix(o.LastState, tt.state) || strings.Contains(o.LastState, "\n\n") {
				t.Errorf("last state %q, want the end %q", o.LastState, tt.state)
			}
			if !strings.Contains(o.Error, tt.err) {
				t.Errorf("error %q, want %q in it", o.Error, tt.err)
			}
		})
	}
	if o := ParseOutcome("", nil); o.Result != Error {
		t.Errorf("no output at all: %v, want an error", o)
	}
}

func TestParseOutcomeTruncated(t *testing.T) {
	out, err := os.ReadFile(filepath.Join("testdata", "out", "ok.txt"))
	if err != nil {
		t.Fatal(err)
	}
	cut := strings.Index(string(out), "Model checking completed")
	if o := ParseOutcome(string(out[:cut]), nil); o.Result != Error {
		t.Errorf("a run that was cut short: %v, want an error", o)
	}
}

func TestProperties(t *testing.T) {
	cfg := `SPECIFICATION Spec
PROPERTY AProp \* BProp
(* PROPERTY
   CProp *)
INVARIANTS XInv YInv
PROPERTIES
  DProp
  EProp
CONSTANT N = 3`
	if got := strings.Join(Properties(cfg), " "); got != "AProp DProp EProp" {
		t.Errorf("properties %q", got)
	}
}
