package validate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// A story is what a log tells of one page, a line each: what the leaf does
// (ask, grant, recall, evict), contents by a letter of their own (take, give; Z
// are zeros), and the steps on the frame. A step has the process, r or w, the
// content, and the kernel's answer if it refuses.
type story string

const storyPages = 16

var leaf0 = addr.Place{Node: 0, Tag: addr.Leaf}

// tell writes the log of a node with one story for each page.
func tell(t *testing.T, stories ...story) (dir string) {
	t.Helper()
	dir = t.TempDir()
	slots, err := trace.SlotsOf(&protocol.Configuration{Epoch: 1, Fanout: 2, Members: protocol.Founders(1), Slots: protocol.DealSlots(1, protocol.Founders(1))})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := trace.NewRecorder(dir, trace.Header{Spec: "strong", Node: 0, Incarnation: 1, Nodes: 1, PageSize: addr.PageSize, Slots: slots}, 1)
	if err != nil {
		t.Fatal(err)
	}
	log := rec.Shard(0)
	change, err := json.Marshal(trace.Change{Epoch: 1, Generation: 1, Segments: []protocol.Segment{{Pages: storyPages, Generation: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	log.Configure(change)
	for _, p := range []uint64{1, 2} {
		log.Step(&trace.Step{Step: trace.Attach, Pages: storyPages, Process: p})
	}
	account := trace.Account{Shards: make([]trace.CoreAccount, 1)}
	for p, s := range stories {
		for _, line := range lines(s) {
			if tellLine(t, log, addr.PageNum(p), line) {
				account.Shards[0].Actions++
			}
		}
	}
	if err := rec.Close(&account); err != nil {
		t.Fatal(err)
	}
	return dir
}

// firstLine is that of the first story in the log.
const firstLine = 5

func lines(s story) []string { return strings.Split(strings.TrimSpace(string(s)), "\n") }

// state is what no judge of frames looks at.
type state struct{}

func (state) AppendState(b []byte, _ addr.PageNum, _ addr.Place) []byte { return append(b, "{}"...) }

// tellLine writes one line, and says whether it is an action of the leaf.
func tellLine(t *testing.T, log *trace.Log, p addr.PageNum, line string) (acted bool) {
	t.Helper()
	words := strings.Fields(line)
	verb, words := words[0], words[1:]
	next := func() (w string) {
		if len(words) > 0 {
			w, words = words[0], words[1:]
		}
		return w
	}
	content := func() []byte {
		letter := next()
		if len(letter) != 1 {
			t.Fatalf("%q: content %q", line, letter)
		}
		if letter == "Z" {
			return make([]byte, addr.PageSize)
		}
		return bytes.Repeat([]byte(letter), addr.PageSize)
	}
	act := func(a protocol.Action, m *protocol.Message) {
		acted = true
		if m != nil {
			m.Page, m.Generation, m.To = p, 1, leaf0
		}
		log.Action(&protocol.Event{Action: a, At: leaf0, Page: p, Lamport: 1, Message: m}, state{})
	}
	parent := addr.Place{Node: 1, Tag: addr.Root}
	switch verb {
	case "ask":
		if next() == "write" {
			act(protocol.ActWriteFault, nil)
		} else {
			act(protocol.ActReadFault, nil)
		}
	case "grant":
		op, source := next(), next()
		act(protocol.ActLeafRecvGrant, &protocol.Message{Kind: protocol.Grant, Envelope: protocol.Envelope{From: parent},
			Op:     map[string]protocol.Op{"read": protocol.OpRead, "write": protocol.OpWrite}[op],
			Source: map[string]protocol.Source{"have": protocol.Have, "zero": protocol.Zero, "sent": protocol.Sent}[source]})
	case "recall":
		keep, send := next(), next()
		m := &protocol.Message{Kind: protocol.Recall, Envelope: protocol.Envelope{From: parent},
			Keep: map[string]protocol.Right{"none": protocol.None, "read": protocol.Read, "owned": protocol.Owned}[keep]}
		if send == "send" {
			m.Dst = protocol.ToLeaf
		}
		if next() == "here" {
			m.From.Node = 0
		}
		act(protocol.ActLeafRecvRecall, m)
	case "evict":
		act(protocol.ActEvict, nil)
	case "take":
		log.Content(trace.Take, p, leaf0, content())
	case "give":
		log.Content(trace.Give, p, leaf0, content())
	default:
		i := slices.IndexFunc(trace.FrameSteps(), func(s trace.FrameStep) bool { return s.String() == verb })
		if i < 0 {
			t.Fatalf("%q: there is no such step", line)
		}
		s := &trace.Step{Step: trace.FrameSteps()[i], Page: p}
		switch s.Step {
		case trace.Fill, trace.SendData:
			s.Digest = trace.DigestOf(content())
		case trace.Punch, trace.SendAck:
		default:
			fmt.Sscan(next(), &s.Process)
		}
		switch s.Step {
		case trace.TakeFault, trace.Expect, trace.Continue, trace.Copy, trace.ZeroPage:
			s.Write = next() == "w"
		}
		if s.Step == trace.Copy {
			s.Digest = trace.DigestOf(content())
		}
		s.Answer = next()
		log.Step(s)
	}
	return acted
}

func judgeFrames(t *testing.T, dir string) *Verdict {
	t.Helper()
	run, err := trace.OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	v, err := Run(t.Context(), run, Frames, Options{Tool: tool(t)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// granted is how process 1 comes to read A, and written to write A.
const (
	granted = `
		TakeFault 1 r
		ask read
		take A
		grant read sent
		Copy 1 r A`
	written = `
		TakeFault 1 w
		ask write
		take A
		grant write sent
		Copy 1 w A`
)

func TestFramesAccepted(t *testing.T) {
	stories := map[string]story{
		"a copy is dropped": granted + `
			recall none
			Punch
			SendAck`,
		"what was stored goes out, and the page stays to be read": written + `
			recall owned send
			Protect 1
			Protect 2
			give B
			SendData B
			SendAck
			TakeFault 2 r
			Continue 2 r`,
		"a clean copy supplies another node": granted + `
			recall read send
			SendData A
			SendAck`,
		"zeros, and a recall by this node's own manager": `
			TakeFault 1 w
			ask write
			grant write zero
			ZeroPage 1 w
			recall none send here
			Protect 1
			Protect 2
			give Z
			SendData Z
			Punch
			TakeFault 1 r
			ask read`,
		"the content comes before its grant, nobody waits": `
			ask read
			take A
			Fill A
			Expect 2 r
			grant read sent
			Continue 2 r
			evict
			Punch`,
		"a copy becomes writable": granted + `
			TakeFault 2 r
			Continue 2 r
			TakeFault 1 w
			ask write
			TakeFault 2 w
			grant write have
			Continue 1 w EEXIST
			Unprotect 1
			Wake 1
			Unprotect 2
			Continue 2 w EEXIST
			Wake 2`,
		"a grant to read answers who wants to write": `
			TakeFault 1 r
			ask read
			TakeFault 2 w
			take A
			grant read sent
			Copy 1 r A
			Continue 2 r
			TakeFault 2 w
			ask write`,
		"the kernel dropped an entry": granted + `
			TakeFault 1 r
			Continue 1 r`,
		"a process waits twice, for a fault and for read-ahead": `
			TakeFault 1 r
			ask read
			Expect 1 r
			take A
			grant read sent
			Copy 1 r A
			Continue 1 r EEXIST
			Wake 1`,
		"a process has unmapped the page": `
			TakeFault 1 r
			ask read
			take A
			grant read sent
			Copy 1 r A ENOENT
			Fill A
			Continue 1 r ENOENT`,
		"a process is dead and still attached": written + `
			recall none send
			Protect 1 ESRCH
			Protect 2
			give A
			SendData A
			Punch
			SendAck`,
		"a mapping is busy, and woken later": granted + `
			TakeFault 2 r
			Continue 2 r EAGAIN
			Wake 2
			TakeFault 2 r
			Continue 2 r`,
		"a page comes with its recall, and nobody waits": `
			ask read
			take A
			grant read sent
			recall none
			Punch
			SendAck
			ask read
			grant read zero
			recall none unsent here
			Punch`,
		"a recall misses": granted + `
			evict
			Punch
			recall none send
			SendAck`,
	}
	var all []story
	events := 0
	for _, s := range stories {
		all = append(all, s)
		events += len(lines(s)) + 3 // two that attach, and the end
	}
	v := judgeFrames(t, tell(t, all...))
	if !v.Accepted {
		t.Fatalf("%s, %s of event %d: %s\n%s\n%v", v.Refusal.Object, v.Refusal.Event.Act, v.Refusal.Number,
			strings.Join(v.Refusal.Reasons, "; "), v.Refusal.State, all)
	}
	if v.Objects != len(stories) || v.Events != events {
		t.Errorf("%d events of %d frames, want %d of %d", v.Events, v.Objects, events, len(stories))
	}
}

// Each story is wrong at the line that begins with "!", and nowhere before.
func TestFramesRefused(t *testing.T) {
	for name, c := range map[string]struct {
		story  story
		reason string
	}{
		"a content that nobody can have stored": {granted + `
			recall read send
			!SendData B`, "the content is what was stored"},
		"a store after the protection": {written + `
			recall none send
			Protect 1
			Protect 2
			give B
			!SendData C`, "the content is what was stored"},
		"a mapping that is not protected": {written + `
			recall owned send
			Protect 1
			!give B`, `job.step = "read"`},
		"an entry where there can be none": {granted + `
			TakeFault 2 r
			!Continue 2 r EEXIST`, "the answer fits pte[p]"},
		"a recall that the frame does not follow": {granted + `
			TakeFault 2 r
			Continue 2 r
			recall none here
			!TakeFault 2 r`, "job = NoJob"},
	} {
		t.Run(name, func(t *testing.T) {
			at := slices.IndexFunc(lines(c.story), func(l string) bool { return strings.Contains(l, "!") })
			v := judgeFrames(t, tell(t, story(strings.ReplaceAll(string(c.story), "!", ""))))
			if v.Accepted {
				t.Fatal("accepted")
			}
			r := v.Refusal
			if reasons := strings.Join(r.Reasons, "; "); r.Event.Line != firstLine+at || !strings.Contains(reasons, c.reason) {
				t.Errorf("refused at line %d, %s: %s; want line %d: %s\n%s", r.Event.Line, r.Event.Act, reasons, firstLine+at, c.reason, r.State)
			}
		})
	}
}

// Every step has the name of an action of Frame, and every action of the daemon
// is a step, or has a reason to be none.
func TestFrameStepsAreActions(t *testing.T) {
	text, err := os.ReadFile("../../../spec/frame/Frame.tla")
	if err != nil {
		t.Fatal(err)
	}
	section := func(name string) map[string]bool {
		_, rest, ok := strings.Cut(string(text), "\n"+name+" ==\n")
		if !ok {
			t.Fatalf("no %s in Frame.tla", name)
		}
		body, _, _ := strings.Cut(rest, "\n\n")
		all := make(map[string]bool)
		for _, m := range regexp.MustCompile(`(?:\\/|:) ([A-Z][A-Za-z]+)\b`).FindAllStringSubmatch(body, -1) {
			all[m[1]] = true
		}
		return all
	}
	actions := section("Daemon")
	for name := range section("Application") {
		actions[name] = true
	}
	other := map[string]string{
		"FillBegin": "Fill", "FillEnd": "Fill", "ReadContent": "SendData",
		"Request": "an act of the leaf", "Fetch": "an act of the leaf", "Evict": "an act of the leaf",
		"Serve": "shown by Continue or Copy", "Again": "shown by Wake", "ProtectEnd": "shown by the content that is given up",
		"Access": "not seen", "Load": "not seen", "Store": "not seen", "Bus": "not seen", "Fault": "not seen",
		"Interrupt": "not seen", "DropEntry": "not seen",
	}
	for _, s := range trace.FrameSteps() {
		if !actions[s.String()] && s != trace.Fill {
			t.Errorf("%s is no action of Frame", s)
		}
		delete(actions, s.String())
	}
	for name := range actions {
		if other[name] == "" {
			t.Errorf("Frame's %s is no step", name)
		}
		delete(other, name)
	}
	for name := range other {
		t.Errorf("Frame has no %s that is no step", name)
	}
}
