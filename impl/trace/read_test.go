package trace

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/protocol"
)

const goodHeader = `{"format":7,"spec":"strong","node":1,"shard":0,"slots":null}`

const (
	n      = `"n":{"node":1,"tag":1},"s":0`
	action = `{"lc":5,` + n + `,"seq":1,"act":"RecvReq","p":0,"post":{},"t":1}`
	end1   = `{"end":1}`
)

// Each malformed log is refused, at its line.
func TestReadErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		want  error
		line  int
	}{
		{"empty", nil, ndjson.ErrTruncated, 1},
		{"no_header", []string{action}, ndjson.ErrMalformed, 1},
		{"not_json", []string{"hello"}, ndjson.ErrMalformed, 1},
		{"other_format", []string{`{"format":1,"new":1}`}, ndjson.ErrFormat, 1},
		{"unknown_in_header", []string{`{"format":7,"new":1}`}, ndjson.ErrMalformed, 1},
		{"header_only", []string{goodHeader}, ndjson.ErrTruncated, 2},
		{"no_end", []string{goodHeader, action}, ndjson.ErrTruncated, 3},
		{"gap", []string{goodHeader, strings.Replace(action, `"seq":1`, `"seq":2`, 1), `{"end":2}`}, ndjson.ErrGap, 2},
		{"twice", []string{goodHeader, action, action, end1}, ndjson.ErrGap, 3},
		{"gap_at_end", []string{goodHeader, action, `{"end":2}`}, ndjson.ErrGap, 3},
		{"after_end", []string{goodHeader, action, end1, action}, ndjson.ErrMalformed, 4},
		{"odd_end", []string{goodHeader, action, `{"end":1,"t":1}`}, ndjson.ErrMalformed, 3},
		{"half_json", []string{goodHeader, action[:30], end1}, ndjson.ErrMalformed, 2},
		{"two_values", []string{goodHeader, action + action, end1}, ndjson.ErrMalformed, 2},
		{"unknown_field", []string{goodHeader, `{"x":1}`, end1}, ndjson.ErrMalformed, 2},
		{"empty_record", []string{goodHeader, `{}`, end1}, ndjson.ErrMalformed, 2},
		{"no_kind", []string{goodHeader, `{"lc":1,` + n + `,"seq":1}`}, ndjson.ErrMalformed, 2},
		{"two_kinds", []string{goodHeader, strings.Replace(action, `"act"`, `"conf":1,"act"`, 1)}, ndjson.ErrMalformed, 2},
		{"other_node", []string{goodHeader, strings.Replace(action, `"node":1`, `"node":2`, 1)}, ndjson.ErrMalformed, 2},
		{"other_shard", []string{goodHeader, strings.Replace(action, `"s":0`, `"s":1`, 1)}, ndjson.ErrMalformed, 2},
		{"no_page", []string{goodHeader, strings.Replace(action, `"p":0,`, ``, 1)}, ndjson.ErrMalformed, 2},
		{"no_post", []string{goodHeader, strings.Replace(action, `"post":{},`, ``, 1)}, ndjson.ErrMalformed, 2},
		{"big_page", []string{goodHeader, strings.Replace(action, `"p":0`, `"p":4294967296`, 1)}, ndjson.ErrMalformed, 2},
		{"odd_action", []string{goodHeader, strings.Replace(action, `RecvReq`, `Recv Req`, 1)}, ndjson.ErrMalformed, 2},
		{"odd_input", []string{goodHeader, `{` + n + `,"seq":1,"in":"Sneeze","p":0}`}, ndjson.ErrMalformed, 2},
		{"input_without_message", []string{goodHeader, `{` + n + `,"seq":1,"in":"Message","p":0}`}, ndjson.ErrMalformed, 2},
		{"odd_moment", []string{goodHeader, `{` + n + `,"seq":1,"content":"invalid","p":0,"digest":"0000000000000000"}`}, ndjson.ErrMalformed, 2},
		{"short_out", []string{goodHeader, `{` + n + `,"seq":1,"out":"00","p":0}`}, ndjson.ErrMalformed, 2},
		{"out_without_page", []string{goodHeader, `{` + n + `,"seq":1,"out":"0000000000000000"}`}, ndjson.ErrMalformed, 2},
		{"effects_of_action", []string{goodHeader, strings.Replace(action, `"t":1`, `"effects":[]`, 1)}, ndjson.ErrMalformed, 2},
		{"refused_action", []string{goodHeader, strings.Replace(action, `"t":1`, `"refused":"x"`, 1)}, ndjson.ErrMalformed, 2},
		{"short_digest", []string{goodHeader, `{` + n + `,"seq":1,"content":"give","p":0,"digest":"00"}`}, ndjson.ErrMalformed, 2},
		{"digest_of_action", []string{goodHeader, strings.Replace(action, `"t":1`, `"digest":"00"`, 1)}, ndjson.ErrMalformed, 2},
		{"odd_phase", []string{goodHeader, strings.Replace(action, `"t":1`, `"phase":"asleep"`, 1)}, ndjson.ErrMalformed, 2},
		{"phase_of_input", []string{goodHeader, `{` + n + `,"seq":1,"in":"Evict","p":0,"phase":"serving"}`}, ndjson.ErrMalformed, 2},
		{"odd_kind_of_message", []string{goodHeader, strings.Replace(action, `"t":1`, `"m":{"kind":"Rec"}`, 1)}, ndjson.ErrMalformed, 2},
		{"message_without_kind", []string{goodHeader, strings.Replace(action, `"t":1`, `"m":{}`, 1)}, ndjson.ErrMalformed, 2},
		{"odd_sender", []string{goodHeader, strings.Replace(action, `"t":1`, `"f":{"node":1},"m":{"kind":"Req"}`, 1)}, ndjson.ErrMalformed, 2},
		{"clock_backwards", []string{goodHeader, action,
			strings.NewReplacer(`"seq":1`, `"seq":2`, `"lc":5`, `"lc":4`).Replace(action)}, ndjson.ErrMalformed, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := ""
			for _, line := range c.lines {
				text += line + "\n"
			}
			wantReadError(t, text, c.want, c.line)
		})
	}
	// Cut anywhere, a log is truncated.
	whole := goodHeader + "\n" + action + "\n" + end1 + "\n"
	if _, err := readAll(whole); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		wantReadError(t, whole[:i], ndjson.ErrTruncated, 1+strings.Count(whole[:i], "\n"))
	}
}

func wantReadError(t *testing.T, text string, want error, line int) {
	t.Helper()
	_, err := readAll(text)
	if !errors.Is(err, want) || !strings.Contains(err.Error(), fmt.Sprintf("file:%d:", line)) {
		t.Errorf("reading %q: %v, want %v at line %d", text, err, want, line)
	}
}

func readAll(text string) ([]Record, error) {
	_, all, err := ReadLog("file", strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	var recs []Record
	for rec, err := range all {
		if err != nil {
			return recs, err
		}
		recs = append(recs, rec)
	}
	return recs, nil
}

// The configuration of a log is the one that was recorded, and what cannot be
// one is refused.
func TestConfiguration(t *testing.T) {
	members := protocol.NewMembers(map[addr.NodeID]addr.Incarnation{0: 1, 1: 4})
	want := &protocol.Configuration{Epoch: 3, Members: members, Fanout: 2, Slots: protocol.DealSlots(4, members)}
	slots, err := SlotsOf(want)
	if err != nil {
		t.Fatal(err)
	}
	h := Header{Nodes: 2, Slots: slots}
	got, err := h.Configuration()
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v, want %+v", got, err, want)
	}
	segments := []protocol.Segment{{First: 64, Pages: 64, Generation: 5}}
	conf, err := json.Marshal(Change{Epoch: 4, Generation: 6, Segments: segments})
	if err != nil {
		t.Fatal(err)
	}
	r := Record{Conf: conf}
	got, err = r.Configure(got)
	if err != nil || got.Epoch != 4 || got.Generation != 6 || !reflect.DeepEqual(got.Segments(), segments) ||
		!reflect.DeepEqual([]any{got.Members, got.Fanout, got.Slots}, []any{want.Members, want.Fanout, want.Slots}) {
		t.Fatalf("%+v with the segments %+v, %v, want %+v", got, got.Segments(), err, segments)
	}
	for _, bad := range []string{`null`, `{}`, `{"Slot":[]}`, strings.Replace(string(slots), `"Fanout":2`, `"Fanout":1`, 1),
		strings.Replace(string(slots), `"Home":1`, `"Home":2`, 1), strings.Replace(string(slots), `[1,4]`, `[1]`, 1),
		strings.Replace(string(slots), `[1,4]`, `[1,0]`, 1)} {
		h.Slots = json.RawMessage(bad)
		if got, err := h.Configuration(); err == nil {
			t.Errorf("%s is %+v", bad, got)
		}
	}
	for _, bad := range []string{`{"Epoc":1}`, `{"Segments":[{"First":1}]}`} {
		r.Conf = json.RawMessage(bad)
		if got, err := r.Configure(want); err == nil {
			t.Errorf("%s is %+v", bad, got)
		}
	}
}

func TestReadDirErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(dir); !errors.Is(err, ErrNoTrace) {
		t.Errorf("an empty directory: %v", err)
	}
	if err := newTestRecorder(t, dir, 1).Close(nil); err != nil {
		t.Fatal(err)
	}
	h := testHeader()
	h.Node, h.Seed = 2, 8
	r, err := NewRecorder(dir, h, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); !errors.Is(err, ndjson.ErrMalformed) {
		t.Errorf("logs of two runs: %v", err)
	}
	h.Shard = 0
	if err := os.Rename(filepath.Join(dir, h.fileName()), filepath.Join(dir, "node00009-i1-s000.ndjson")); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); !errors.Is(err, ndjson.ErrMalformed) {
		t.Errorf("a renamed log: %v", err)
	}
}
