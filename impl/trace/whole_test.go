package trace_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/sim"
	"github.com/mome-dsm/mome/impl/trace"
)

// recordPages and recordLocks leave the logs of a simulated run that has come to
// rest.
func recordPages(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := sim.Recorded(dir, sim.Config{Nodes: 3, Fanout: 2, Pages: 4, Seed: 1}, 500); err != nil {
		t.Fatal(err)
	}
	return dir
}

func recordLocks(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := sim.NewLocks(sim.SyncConfig{Nodes: 3, Objects: 2, Seed: 1}).Recorded(dir, 300); err != nil {
		t.Fatal(err)
	}
	return dir
}

// readAll reads a run as one does who judges it.
func readAll(dir string) (*trace.Run, error) {
	run, err := trace.OpenRun(dir)
	if err != nil {
		return nil, err
	}
	if err := run.Whole(); err != nil {
		return nil, err
	}
	for _, events := range []iter.Seq2[*trace.Event, error]{run.Events(), run.SyncEvents()} {
		for _, err := range events {
			if err != nil {
				return nil, err
			}
		}
	}
	return run, nil
}

// changeManifest changes the manifest of a node.
func changeManifest(t *testing.T, dir string, node int, change func(*trace.Manifest)) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("node%05d-i*-manifest.json", node)))
	if err != nil || len(paths) != 1 {
		t.Fatal(paths, err)
	}
	text, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	var m trace.Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	change(&m)
	if text, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(paths[0], append(text, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
}

// forget takes lines out of all logs as a recorder would that has never written
// them: what is left is numbered without a gap.
func forget(t *testing.T, dir, pattern string, which func(line string) bool) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitAfter(string(text), "\n")
		out, seq := []string{lines[0]}, 0
		for _, line := range lines[1 : len(lines)-2] {
			if which(line) {
				continue
			}
			seq++
			before, rest, _ := strings.Cut(line, `"seq":`)
			_, rest, _ = strings.Cut(rest, ",")
			out = append(out, fmt.Sprintf(`%s"seq":%d,%s`, before, seq, rest))
		}
		out = append(out, fmt.Sprintf("{\"end\":%d}\n", seq))
		if err := os.WriteFile(path, []byte(strings.Join(out, "")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(t *testing.T, dir, pattern string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhole: what a whole run cannot lack is missed, and the error is one line
// that says where.
func TestWhole(t *testing.T) {
	for _, record := range []func(*testing.T) string{recordPages, recordLocks} {
		run, err := readAll(record(t))
		if err != nil {
			t.Fatal(err)
		}
		if text := run.UnderWay(); text != "" {
			t.Errorf("the run has come to rest, but %s", text)
		}
	}
	of := func(texts ...string) func(string) bool {
		return func(line string) bool {
			for _, text := range texts {
				if !strings.Contains(line, text) {
					return false
				}
			}
			return true
		}
	}
	for name, c := range map[string]struct {
		record func(*testing.T) string
		damage func(t *testing.T, dir string)
		want   error
		says   string
	}{
		"a node was killed": {recordPages, func(t *testing.T, dir string) { remove(t, dir, "node00001-*-manifest.json") },
			trace.ErrMissing, "node 1 has left no node00001-i3-manifest.json: it was killed, or has not ended"},
		"the sync log of one node is missing": {recordLocks, func(t *testing.T, dir string) { remove(t, dir, "node00001-i1-sync.ndjson") },
			trace.ErrMissing, "there is no node00001-i1-sync.ndjson"},
		"all sync logs are missing": {recordLocks, func(t *testing.T, dir string) { remove(t, dir, "*-sync.ndjson") },
			trace.ErrMissing, "there is no node00000-i1-sync.ndjson"},
		"a log that nobody knows": {recordLocks, func(t *testing.T, dir string) {
			for node := range 3 {
				changeManifest(t, dir, node, func(m *trace.Manifest) { m.Logs = m.Logs[:1] })
			}
		}, ndjson.ErrMalformed, "node00000-i1-sync.ndjson: no node's manifest knows it"},
		"all events of one page":    {recordPages, func(t *testing.T, dir string) { forget(t, dir, "*.ndjson", of(`,"p":2,`)) }, ndjson.ErrGap, "the core has taken "},
		"all events of one lock":    {recordLocks, func(t *testing.T, dir string) { forget(t, dir, "*-sync.ndjson", of(`,"p":1,`)) }, ndjson.ErrGap, "the core has taken "},
		"the actions of one page":   {recordPages, func(t *testing.T, dir string) { forget(t, dir, "*.ndjson", of(`,"p":2,`, `"act":`)) }, ndjson.ErrGap, "actions, the log has"},
		"the inputs of one page":    {recordPages, func(t *testing.T, dir string) { forget(t, dir, "*.ndjson", of(`,"p":2,`, `"in":`)) }, ndjson.ErrGap, "inputs, the log has"},
		"the outputs of one page":   {recordPages, func(t *testing.T, dir string) { forget(t, dir, "*.ndjson", of(`,"p":2,`, `"out":`)) }, ndjson.ErrGap, "of them have put out"},
		"the contents of all pages": {recordPages, func(t *testing.T, dir string) { forget(t, dir, "*.ndjson", of(`"content":`)) }, ndjson.ErrGap, "records, the log has"},
		"a message that was never sent": {recordPages, func(t *testing.T, dir string) {
			changeManifest(t, dir, 0, func(m *trace.Manifest) { m.Links[1].Sent-- })
		}, ndjson.ErrGap, "node 0 has sent "},
		"a message that no core took": {recordPages, func(t *testing.T, dir string) {
			changeManifest(t, dir, 2, func(m *trace.Manifest) { m.Links[0].Received++ })
		},
			ndjson.ErrGap, "node 2 has received "},
		"a lock's message that no core took": {recordLocks, func(t *testing.T, dir string) {
			changeManifest(t, dir, 2, func(m *trace.Manifest) { m.Links[0].SyncsReceived++ })
		},
			ndjson.ErrGap, "node 2 has received "},
		"a link that is missing": {recordPages, func(t *testing.T, dir string) {
			changeManifest(t, dir, 2, func(m *trace.Manifest) { m.Links = m.Links[:1] })
		}, ndjson.ErrMalformed, "1 links of one of 3 nodes"},
		"a link with itself": {recordPages, func(t *testing.T, dir string) {
			changeManifest(t, dir, 2, func(m *trace.Manifest) { m.Links[0].Peer = 2 })
		},
			ndjson.ErrMalformed, "a link of node 2 with node 2"},
		"the manifest of another node": {recordPages, func(t *testing.T, dir string) { changeManifest(t, dir, 2, func(m *trace.Manifest) { m.Node = 1 }) },
			ndjson.ErrMalformed, "it is that of node 1"},
		"another format": {recordPages, func(t *testing.T, dir string) { changeManifest(t, dir, 2, func(m *trace.Manifest) { m.Format = 9 }) },
			ndjson.ErrFormat, "format 9, this build reads"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := c.record(t)
			c.damage(t, dir)
			_, err := readAll(dir)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v; want %v: %s", err, c.want, c.says)
			}
		})
	}
}

// TestUnderWay: a run has come to rest if its nodes say so.
func TestUnderWay(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*trace.Manifest)
		says   string
	}{
		"a node that has failed":      {func(m *trace.Manifest) { m.Failed = "no memory" }, "node 0 has failed: no memory"},
		"a message under way":         {func(m *trace.Manifest) { m.Links[0].Sent++ }, "messages from node 0 to node 1, "},
		"a lock's message under way":  {func(m *trace.Manifest) { m.Links[1].SyncsSent++ }, "messages from node 0 to node 2, "},
		"a message that was too soon": {func(m *trace.Manifest) { m.Links[1].Early = 2 }, "node 0 had not taken 2 messages of node 2"},
		"a recall that is held back":  {func(m *trace.Manifest) { m.Logs[0].Held = 3 }, "node 0 held 3 recalls back"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := recordPages(t)
			changeManifest(t, dir, 0, c.change)
			run, err := trace.OpenRun(dir)
			if err == nil {
				err = run.Whole()
			}
			if err != nil {
				t.Fatal(err)
			}
			if text := run.UnderWay(); !strings.Contains(text, c.says) {
				t.Errorf("%q, want %q", text, c.says)
			}
		})
	}
}

// TestManifestOfAnotherRun: logs are not begun beside a manifest that would speak
// for them.
func TestManifestOfAnotherRun(t *testing.T) {
	dir := recordPages(t)
	remove(t, dir, "*.ndjson")
	if err := sim.Recorded(dir, sim.Config{Nodes: 3, Fanout: 2, Pages: 4, Seed: 1}, 10); err == nil || !strings.Contains(err.Error(), "give an empty directory") {
		t.Errorf("beside an old manifest: %v", err)
	}
}
