package trace

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mome-dsm/mome/impl/ndjson"
)

// Every step comes back as it was recorded, with all that it may carry.
func TestStepRoundTrip(t *testing.T) {
	dir := t.TempDir()
	r := newTestRecorder(t, dir, 1)
	var want []Record
	for i, name := range FrameSteps() {
		s := &Step{Step: name, Page: 7, Write: true, Answer: "EEXIST"}
		if name == Attach || name == Exit {
			s.Pages = 3
		}
		if name.ofProcess() {
			s.Process = 2
		}
		if name.carriesContent() {
			s.Digest = 0xfeed
		}
		r.Shard(0).Step(s)
		want = append(want, Record{Kind: KindStep, At: leaf1, Seq: uint64(i + 1), Line: i + 2, Page: 7, Step: s})
	}
	var off *Log
	off.Step(want[0].Step)
	if err := r.Close(nil); err != nil {
		t.Fatal(err)
	}
	_, got := readOne(t, dir)
	for i := range got {
		got[i].T = 0
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestStepMalformed(t *testing.T) {
	for _, c := range []struct{ name, fields, want string }{
		{"an unknown step", `"step":"Leap","p":1`, `"Leap" is no step`},
		{"no page", `"step":"Punch"`, "p belongs to"},
		{"a process where there is none", `"step":"Punch","p":1,"process":1`, "Punch with the process 1"},
		{"no process where there is one", `"step":"Wake","p":1`, "Wake with the process 0"},
		{"an attachment of no pages", `"step":"Attach","p":1,"process":1`, "Attach of 0 pages"},
		{"a wake of many pages", `"step":"Wake","p":1,"process":1,"pages":2`, "Wake of 2 pages"},
		{"a content without its digest", `"step":"Fill","p":1`, "is no digest"},
		{"a digest without a content", `"step":"Punch","p":1,"digest":"000000000000feed"`, "another kind"},
		{"an answer that no kernel gives", `"step":"Punch","p":1,"answer":"no"`, "no answer of the kernel"},
		{"a field of another kind", `"step":"Punch","p":1,"stamp":1`, "another kind"},
		{"a step's field elsewhere", `"in":"Evict","p":1,"write":true`, "another kind"},
		{"two kinds", `"in":"Evict","step":"Punch","p":1`, "needs one of"},
	} {
		header := `{"format":7,"spec":"strong","node":1,"incarnation":1,"shard":0,"shards":1,"nodes":1,"page_size":4096,"slots":null,"seed":0,"build":""}`
		log := fmt.Sprintf("%s\n{\"lc\":0,\"n\":{\"node\":1,\"tag\":0},\"s\":0,\"seq\":1,%s,\"t\":1}\n{\"end\":1}\n", header, c.fields)
		_, records, err := ReadLog("log", strings.NewReader(log))
		if err != nil {
			t.Fatal(err)
		}
		for _, err = range records {
		}
		if !errors.Is(err, ndjson.ErrMalformed) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
