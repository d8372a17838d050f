//go:build mutants

package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/wire"
)

// TestBrokenMemory runs nodes whose memory layer has a mistake. Each run must be
// refused, at a step that the mistake leaves out or brings forward.
func TestBrokenMemory(t *testing.T) {
	requireUserfaultfd(t)
	for _, bug := range memory.Bugs() {
		t.Run(bug.String(), func(t *testing.T) {
			want, ok := brokenMemory[bug]
			if !ok {
				t.Fatal("nobody knows how this mistake shows")
			}
			s := two
			s.quiet, s.trace = true, t.TempDir()
			t.Setenv(memory.BugVariable, bug.String())
			var saw []string
			if !t.Run("record", func(t *testing.T) { saw = touched(start(t, wire.TCP, s)) }) {
				return
			}
			v := judgeFrames(t, s.trace)
			if v.Accepted {
				t.Fatalf("%d events of %d frames were accepted", v.Events, v.Objects)
			}
			r := v.Refusal
			t.Logf("memory %s: the processes saw %v; %s: %s: %s", bug, saw, r.Event.Where(), r.Event.Act, strings.Join(r.Reasons, "; "))
			if !slices.Contains(want, r.Event.Act) {
				t.Errorf("refused at %s, want %v\n%s", r.Event.Act, want, r.State)
			}
		})
	}
}

// brokenMemory is the steps at which a mistake shows. What is left out is missed
// by the step that follows it: the acknowledgement, or, where that is no message,
// whatever the page is needed for next.
var brokenMemory = map[memory.Bug][]string{
	memory.BugForgetMapping:     {"give"},
	memory.BugSkipProtect:       {"give"},
	memory.BugLetStoresThrough:  {"Copy"},
	memory.BugSkipWake:          {"TakeFault", "WriteFault", "LeafRecvRecall"},
	memory.BugSkipPunch:         {"SendAck", "TakeFault"},
	memory.BugSendBeforeProtect: {"SendData"},
	memory.BugPunchBeforeSend:   {"Punch"},
	memory.BugAckBeforePunch:    {"SendAck"},
	memory.BugGrantBeforeFill:   {"Copy"},
}
