package node

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/trace"
)

// unrecorded are the actions of Frame.tla that are no step in a log, and why.
var unrecorded = map[string]string{
	"Access":        "the application's: nobody sees it",
	"Load":          "the application's",
	"Store":         "the application's",
	"Bus":           "the application's",
	"Interrupt":     "the application's",
	"Fault":         "the kernel's: TakeFault is when it is read",
	"DropEntry":     "the kernel's: nobody sees it",
	"Serve":         "a decision: its first step is Continue, Unprotect or Poison",
	"Again":         "a decision: its step is Wake",
	"ProtectEnd":    "a decision: the next step is ReadContent, Punch or SendAck",
	"Request":       "of the core: ReadFault or WriteFault",
	"Fetch":         "of the core: ReadFault or WriteFault",
	"Evict":         "of the core: Evict",
	"RecvGrantData": "of the core: LeafRecvGrant",
	"RecvGrantHave": "of the core: LeafRecvGrant",
	"RecvGrantLost": "the end of a segment: there is no core for its pages any more",
	"RecvRecall":    "of the core: LeafRecvRecall",

	"RecvRecallUnfilled": "of the core: LeafRecvRecall",
}

// several are the steps in a log that are more than one action, one behind the
// other under one lock.
var several = map[string][]string{
	"Fill":     {"FillBegin", "FillEnd"},
	"SendData": {"ReadContent", "SendData"},
}

// frameActions are the actions of Next in Frame.tla.
func frameActions(t *testing.T) (all []string) {
	text, err := os.ReadFile("../../spec/frame/Frame.tla")
	if err != nil {
		t.Fatal(err)
	}
	action := regexp.MustCompile(`(?:\\/|:)\s*([A-Z]\w*)`)
	next := regexp.MustCompile(`(?m)^Next == (.*)$`).FindSubmatch(text)
	if next == nil {
		t.Fatal("Frame.tla has no Next")
	}
	for part := range strings.SplitSeq(string(next[1]), `\/`) {
		_, body, ok := strings.Cut(string(text), "\n"+strings.TrimSpace(part)+" ==\n")
		if !ok {
			t.Fatalf("Frame.tla has no %s", part)
		}
		body, _, _ = strings.Cut(body, "\n\n")
		for _, m := range action.FindAllStringSubmatch(body, -1) {
			all = append(all, m[1])
		}
	}
	return all
}

// TestFrameSteps compares the actions of Next in Frame.tla with the steps in a
// log, both ways, and the names of the memory layer's steps with theirs.
func TestFrameSteps(t *testing.T) {
	spec := frameActions(t)
	if len(spec) < 30 {
		t.Errorf("only %d actions found in Next: %v", len(spec), spec)
	}
	recorded := make(map[string]string) // action: step
	for _, s := range trace.FrameSteps() {
		actions := several[s.String()]
		if actions == nil {
			actions = []string{s.String()}
		}
		for _, a := range actions {
			recorded[a] = s.String()
			if !slices.Contains(spec, a) {
				t.Errorf("a log has %v, Next has no %s", s, a)
			}
		}
	}
	for _, a := range spec {
		switch step, why := recorded[a], unrecorded[a]; {
		case step == "" && why == "":
			t.Errorf("Next has %s, a log has not", a)
		case step != "" && why != "":
			t.Errorf("%s is the step %s of a log, and listed as none: %s", a, step, why)
		}
	}
	for a := range unrecorded {
		if !slices.Contains(spec, a) {
			t.Errorf("%s is listed as unrecorded, Next has it not", a)
		}
	}
	for op, step := range frameSteps {
		if memory.Op(op).String() != step.String() {
			t.Errorf("the step %v of the memory layer is %v in a log", memory.Op(op), step)
		}
	}
}
