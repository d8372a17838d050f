package trace

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/protocol"
)

// recordRun writes the logs of two nodes with two shards each: what[i] lists the
// Lamport clocks of the actions of node i/2, shard i%2.
func recordRun(t *testing.T, what [4][]uint64, change func(node int, h *Header)) string {
	t.Helper()
	dir := t.TempDir()
	members := protocol.Founders(2)
	slots, err := SlotsOf(&protocol.Configuration{Epoch: 1, Fanout: 2, Members: members, Slots: protocol.DealSlots(4, members)})
	if err != nil {
		t.Fatal(err)
	}
	for node := range 2 {
		h := Header{Spec: "strong", Node: addr.NodeID(node), Incarnation: 1, Nodes: 2, PageSize: addr.PageSize, Slots: slots}
		if change != nil {
			change(node, &h)
		}
		r, err := NewRecorder(dir, h, 2)
		if err != nil {
			t.Fatal(err)
		}
		at := addr.Place{Node: h.Node, Tag: addr.Leaf}
		for shard := range 2 {
			for _, lc := range what[2*node+shard] {
				r.Shard(shard).Action(&protocol.Event{Action: protocol.ActEvict, At: at, Lamport: lc}, states(`{}`))
			}
		}
		if err := r.Close(nil); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestEvents(t *testing.T) {
	dir := recordRun(t, [4][]uint64{{1, 5, 5, 9}, {2, 5}, {1, 5, 6}, nil}, nil)
	run, err := OpenRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(run.Files) != 4 || run.Conf.Fanout != 2 {
		t.Fatalf("%d files, %+v", len(run.Files), run.Conf)
	}
	var got []string
	for ev, err := range run.Events() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d:%d.%d", ev.Lamport, ev.At.Node, ev.File.Header.Shard))
		if line := fmt.Sprintf(":%d", ev.Seq+1); !strings.HasSuffix(ev.Where(), ev.File.Path[len(dir):]+line) {
			t.Errorf("record %d is at %s", ev.Seq, ev.Where())
		}
	}
	want := strings.Fields("1:0.0 1:1.0 2:0.1 5:0.0 5:0.0 5:0.1 5:1.0 6:1.0 9:0.0")
	if !slices.Equal(got, want) {
		t.Fatalf("order %v, want %v", got, want)
	}
	// Whoever has seen enough stops.
	for range run.Events() {
		break
	}

	// Compressed logs are the same run.
	compress(t, dir)
	if run, err = OpenRun(dir); err != nil {
		t.Fatal(err)
	}
	n := 0
	for ev, err := range run.Events() {
		if err != nil || !strings.Contains(ev.Where(), ".gz:") {
			t.Fatal(ev, err)
		}
		n++
	}
	if n != len(want) {
		t.Errorf("%d events of compressed logs, want %d", n, len(want))
	}
}

// compress compresses every log of a run.
func compress(t *testing.T, dir string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(z.Close(), os.WriteFile(path+compressed, b.Bytes(), 0o644), os.Remove(path)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIncompleteRuns(t *testing.T) {
	clocks := [4][]uint64{{1, 2, 3}, {1}, {2, 4}, {3}}
	edit := func(name string, change func(string) string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			old, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(change(string(old))), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	withoutLine := func(n int) func(string) string {
		return func(s string) string {
			lines := strings.SplitAfter(s, "\n")
			return strings.Join(slices.Delete(lines, n-1, n), "")
		}
	}
	const log = "node00000-i1-s000.ndjson"
	for name, c := range map[string]struct {
		change func(node int, h *Header)
		damage func(*testing.T, string)
		err    error
		text   string
	}{
		"missing node": {damage: func(t *testing.T, dir string) {
			for _, s := range []string{"0", "1"} {
				if err := os.Remove(filepath.Join(dir, "node00001-i1-s00"+s+".ndjson")); err != nil {
					t.Fatal(err)
				}
			}
		}, err: ErrMissing, text: "there is no node00001-i1-s000.ndjson"},
		"missing shard": {damage: func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "node00001-i1-s001.ndjson")); err != nil {
				t.Fatal(err)
			}
		}, err: ErrMissing, text: "there is no node00001-i1-s001.ndjson"},
		"no end line": {damage: edit(log, withoutLine(5)), err: ndjson.ErrTruncated, text: log + ":5"},
		"half a line": {damage: edit(log, func(s string) string { return s[:len(s)-5] }), err: ndjson.ErrTruncated, text: log + ":5"},
		"half a compressed log": {damage: func(t *testing.T, dir string) {
			compress(t, dir)
			edit(log+compressed, func(s string) string { return s[:len(s)-20] })(t, dir)
		}, err: ndjson.ErrTruncated, text: log + compressed},
		"twice": {damage: func(t *testing.T, dir string) {
			text, err := os.ReadFile(filepath.Join(dir, log))
			if err != nil {
				t.Fatal(err)
			}
			compress(t, dir)
			if err := os.WriteFile(filepath.Join(dir, log), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}, err: ndjson.ErrMalformed, text: "again"},
		"not compressed": {damage: func(t *testing.T, dir string) {
			if err := os.Rename(filepath.Join(dir, log), filepath.Join(dir, log+compressed)); err != nil {
				t.Fatal(err)
			}
		}, err: ndjson.ErrMalformed, text: log + compressed},
		"a record gone": {damage: edit(log, withoutLine(3)), err: ndjson.ErrGap, text: log + ":3"},
		"other format": {damage: edit(log, func(s string) string { return strings.Replace(s, `"format":7`, `"format":1`, 1) }),
			err: ndjson.ErrFormat, text: log + ":1"},
		"no trace": {damage: edit(log, func(string) string { return "GIF89a\n" }), err: ndjson.ErrMalformed, text: log + ":1"},
		"other slots": {change: func(node int, h *Header) {
			h.Slots = json.RawMessage(strings.Replace(string(h.Slots), `"Home":1`, fmt.Sprintf(`"Home":%d`, node), 1))
		}, err: ndjson.ErrMalformed, text: "the configuration is not that of"},
		"no slots":    {change: func(_ int, h *Header) { h.Slots = nil }, err: ndjson.ErrMalformed, text: "slots: "},
		"incarnation": {change: func(node int, h *Header) { h.Incarnation += addr.Incarnation(node) }, err: ndjson.ErrMalformed, text: "no member"},
		"other spec": {change: func(node int, h *Header) {
			if node == 1 {
				h.Spec = "weak"
			}
		}, err: ndjson.ErrMalformed, text: "not of the same run"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := recordRun(t, clocks, c.change)
			if c.damage != nil {
				c.damage(t, dir)
			}
			run, err := OpenRun(dir)
			if err == nil {
				for _, err = range run.Events() {
				}
			}
			if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("error %v, want %v with %q", err, c.err, c.text)
			}
		})
	}
}
