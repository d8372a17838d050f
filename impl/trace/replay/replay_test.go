package replay

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/sim"
	"github.com/mome-dsm/mome/impl/trace"
)

// worlds are simulated runs. Between them every action is taken, and messages
// come too early.
var worlds = []sim.Config{
	{Seed: 3, Nodes: 2, Fanout: 64, Pages: 2, Processes: 2, Breaks: true},
	{Seed: 3, Nodes: 4, Fanout: 2, Pages: 3, Breaks: true, Residence: 5},
	{Seed: 3, Nodes: 4, Fanout: 64, Pages: 1, Greedy: true, Lateral: true},
	{Seed: 7, Nodes: 6, Fanout: 2, Pages: 1, Lateral: true},
	{Seed: 3, Nodes: 10, Fanout: 2, Pages: 1, Lateral: true},
	{Seed: 3, Nodes: 3, Fanout: 2, Pages: 2, Recreate: true, Lateral: true, Breaks: true},
}

// record runs a world and returns the directory with its logs.
func record(t testing.TB, cfg sim.Config, steps int) string {
	t.Helper()
	dir := t.TempDir()
	if err := sim.Recorded(dir, cfg, steps); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A run replays exactly, and every record is counted.
func TestAgrees(t *testing.T) {
	for _, cfg := range worlds {
		t.Run(fmt.Sprintf("nodes=%d,fanout=%d,pages=%d", cfg.Nodes, cfg.Fanout, cfg.Pages), func(t *testing.T) {
			dir := record(t, cfg, 4000)
			got, err := Run(dir)
			if err != nil {
				t.Fatal(err)
			}
			files, err := trace.Read(dir)
			if err != nil {
				t.Fatal(err)
			}
			want := Summary{Nodes: cfg.Nodes, Logs: len(files)}
			for _, f := range files {
				for rec, err := range f.Records() {
					if err != nil {
						t.Fatal(err)
					}
					switch rec.Kind {
					case trace.KindConfigure:
						want.Configurations++
					case trace.KindInput:
						want.Steps++
					case trace.KindAction:
						want.Actions++
					case trace.KindOutput:
						want.Effects += len(rec.Out.Effects)
						if rec.Out.Refused != "" {
							want.Refused++
						}
					}
				}
			}
			if got != want {
				t.Errorf("%+v was replayed, the logs have %+v", got, want)
			}
			if got.Steps == 0 || got.Actions == 0 || cfg.Recreate && (got.Refused == 0 || got.Configurations <= got.Logs) {
				t.Errorf("the run has too little in it: %+v", got)
			}
		})
	}
}

// recordLocks runs a world of locks and returns the directory with its logs.
func recordLocks(t testing.TB, seed uint64) string {
	t.Helper()
	return recordSyncs(t, sim.NewLocks(sim.SyncConfig{Nodes: 3, Objects: 2, Seed: seed}).Syncs)
}

// recordSyncs runs a world of locks or barriers.
func recordSyncs(t testing.TB, w *sim.Syncs) string {
	t.Helper()
	dir := t.TempDir()
	if err := w.Recorded(dir, 4000); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Locks replay as pages do, and a change in their logs is found.
func TestLocks(t *testing.T) {
	dir := recordLocks(t, 1)
	got, err := Run(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Steps < 1000 || got.Actions < 1000 || got.Effects < 1000 || got.Logs != 6 || got.Nodes != 3 {
		t.Errorf("%+v", got)
	}
	path := filepath.Join(dir, "node00001-i1-sync.ndjson")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, old, new string
		texts          []string
		what           string
		below          int
	}{
		{"state", `"post":{"fence":`, `"post":{"fence":9`, nil, "state after HomeRec", 0},
		{"party", `"party":`, `"party":9`, []string{`"act":"AcquireLock"`}, "action", 0},
		{"protocol", `"of":"lock"`, `"of":"barrier"`, []string{`"act":"AcquireLock"`}, "action", 0},
		{"call", `"request":`, `"request":9`, []string{`"act":"AcquireLock"`}, "call of AcquireLock", 0},
		{"input", `"request":`, `"request":9`, []string{`"in":"LockAcquire"`}, "call of AcquireLock", 1},
		{"sync", `"request":`, `"request":9`, []string{`"in":"Sync"`, `"kind":"Acquire"`}, "message of HomeRecvAcquire", 1},
		{"output", `"effects":["Send`, `"effects":["Sent`, nil, "batch", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines := strings.SplitAfter(string(whole), "\n")
			i := find(t, lines, len(lines)/2, append(c.texts, c.old)...)
			lines[i] = strings.Replace(lines[i], c.old, c.new, 1)
			if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o644); err != nil {
				t.Fatal(err)
			}
			wantDifference(t, dir, i+1+c.below, c.what)
		})
	}
}

// So do barriers.
func TestBarriers(t *testing.T) {
	dir := recordSyncs(t, sim.NewBarriers(sim.SyncConfig{Nodes: 3, Objects: 2, Parties: 3, Seed: 1}).Syncs)
	got, err := Run(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Steps < 1000 || got.Actions < 1000 || got.Effects < 1000 || got.Logs != 6 || got.Nodes != 3 {
		t.Errorf("%+v", got)
	}
	path := filepath.Join(dir, "node00001-i1-sync.ndjson")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	i := find(t, lines, len(lines)/2, `"act":"HomeRecv`, `"arrived":1`)
	lines[i] = strings.Replace(lines[i], `"arrived":1`, `"arrived":2`, 1)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o644); err != nil {
		t.Fatal(err)
	}
	wantDifference(t, dir, i+1, "state after HomeRec")
}

// A message that no node sends is refused again, in the same words.
func TestForeign(t *testing.T) {
	dir := t.TempDir()
	conf := []byte(`{"Epoch":1,"Members":[2],"Fanout":2,"Slots":[{"Home":0,"Term":1}],"Generation":0}`)
	rec, err := trace.NewRecorder(dir, trace.Header{Spec: "strong", Node: 0, Incarnation: 2, Nodes: 1, Slots: conf}, 1)
	if err != nil {
		t.Fatal(err)
	}
	log := rec.Shard(0)
	h := trace.Header{Nodes: 1, Slots: conf}
	c, err := h.Configuration()
	if err != nil {
		t.Fatal(err)
	}
	core := protocol.NewShard(0, 2, 0, c, nil)
	in := protocol.Input{Kind: protocol.InMessage, Msg: &protocol.Message{Kind: protocol.Grant, Page: 7}}
	var b protocol.Batch
	log.Input(&in)
	refused := core.Step(in, &b)
	if !errors.Is(refused, protocol.ErrForeign) {
		t.Fatal(refused)
	}
	log.Output(&in, nil, refused)
	if err := rec.Close(&trace.Account{Shards: []trace.CoreAccount{{Work: core.Counters().Work}}}); err != nil {
		t.Fatal(err)
	}
	if got, err := Run(dir); err != nil || got.Refused != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	edit(t, dir, 0, func(lines []string) []string {
		lines[2] = strings.Replace(lines[2], "ill-formed", "well-formed", 1)
		return lines
	})
	wantDifference(t, dir, 3, "refusal")
}

// Without the manifest of a node there is no verdict, whatever its log says.
func TestNoManifest(t *testing.T) {
	dir := record(t, sim.Config{Nodes: 4, Fanout: 2, Pages: 3, Seed: 5}, 1000)
	if err := os.Remove(filepath.Join(dir, "node00002-i4-manifest.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(dir); !errors.Is(err, trace.ErrMissing) || !strings.Contains(err.Error(), "node00002-i4-manifest.json") ||
		!strings.Contains(err.Error(), "of the logs that are here agree") {
		t.Errorf("the logs of a node that may have been killed: %v", err)
	}
	edit(t, dir, 2, func(lines []string) []string {
		i := find(t, lines, 40, `"in"`)
		return renumber(append(lines[:i+1:i+1], "{\"end\":0}\n"))
	})
	if _, err := Run(dir); !errors.Is(err, ndjson.ErrMalformed) || !strings.Contains(err.Error(), "before the log's end") {
		t.Errorf("a log that ends in a step: %v", err)
	}
}

// logFile is the log of a node in a simulated run.
func logFile(dir string, node int) string {
	return filepath.Join(dir, fmt.Sprintf("node%05d-i%d-s000.ndjson", node, node+2))
}

// edit changes the lines of a node's log.
func edit(t testing.TB, dir string, node int, change func([]string) []string) {
	t.Helper()
	text, err := os.ReadFile(logFile(dir, node))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	text = []byte(strings.Join(change(lines), ""))
	if err := os.WriteFile(logFile(dir, node), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func wantDifference(t testing.TB, dir string, line int, what string) {
	t.Helper()
	_, err := Run(dir)
	var d *Difference
	if !errors.As(err, &d) || d.Line != line || d.Then == d.Now || !strings.HasPrefix(d.What, what) {
		t.Fatalf("%v, want a difference of the %s in line %d", err, what, line)
	}
	if text := err.Error(); strings.Contains(text, "\n") || !strings.Contains(text, fmt.Sprintf(":%d, step %d (", line, d.Step)) {
		t.Errorf("the error does not name its place in one line: %s", text)
	}
}

// find is the first line from a place on that has all the texts.
func find(t testing.TB, lines []string, from int, texts ...string) int {
	t.Helper()
next:
	for i := from; i < len(lines); i++ {
		for _, text := range texts {
			if !strings.Contains(lines[i], text) {
				continue next
			}
		}
		return i
	}
	t.Fatalf("no line with %q", texts)
	return 0
}

// A log in which one thing is not as it was is rejected, at that place.
func TestRejects(t *testing.T) {
	replace := func(old, new string, texts ...string) func(testing.TB, []string) ([]string, int) {
		return func(t testing.TB, lines []string) ([]string, int) {
			i := find(t, lines, len(lines)/2, append(texts, old)...)
			lines[i] = strings.Replace(lines[i], old, new, 1)
			return lines, i + 1
		}
	}
	// The sequence is made whole again, so that only the core can tell.
	drop := func(kind string) func(testing.TB, []string) ([]string, int) {
		return func(t testing.TB, lines []string) ([]string, int) {
			i := find(t, lines, len(lines)/2, kind)
			lines = append(lines[:i:i], lines[i+1:]...)
			return renumber(lines), i + 1
		}
	}
	for _, c := range []struct {
		name   string
		change func(testing.TB, []string) (changed []string, line int)
		what   string
		below  int // how many lines below the change the difference is
	}{
		{"state", replace(`"version":`, `"version":9`, `"act"`), "state after", 0},
		{"clock", replace(`{"lc":`, `{"lc":9999`, `"act":"LeafRecvGrant"`), "clock of LeafRecvGrant", 0},
		{"action", replace(`"act":"RecvReq"`, `"act":"RecvAck"`), "action", 0},
		{"message", replace(`"ver":`, `"ver":9`, `"act":"LeafRecvGrant"`), "message of LeafRecvGrant", 0},
		{"phase", replace(`"phase":"climbing"`, `"phase":"serving"`, `"act":"LeafRecvGrant"`), "phase before LeafRecvGrant", 0},
		{"page", replace(`"p":1`, `"p":0`, `"act"`), "action", 0},
		{"input", replace(`"in":"ReadFault"`, `"in":"WriteFault"`), "action", 1},
		{"input_message", replace(`"ver":`, `"ver":9`, `"in"`, `"kind":"Ack"`), "message of RecvAck", 1},
		{"digest", replaceDigest, "batch", 0},
		{"effects", replace(`"effects":["`, `"effects":["FrameDrop","`), "batch", 0},
		{"refusal", replace(`"effects":`, `"refused":"no","effects":`), "refusal", 0},
		{"no_action", drop(`"act"`), "action", 0},
		{"configuration", func(t testing.TB, lines []string) ([]string, int) {
			i := find(t, lines, 0, `"conf"`)
			lines[i] = strings.ReplaceAll(lines[i], `"Generation":1`, `"Generation":2`)
			return lines, i + 1
		}, "message", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := record(t, sim.Config{Nodes: 4, Fanout: 2, Pages: 3, Seed: 5}, 3000)
			var line int
			edit(t, dir, 1, func(lines []string) []string {
				lines, line = c.change(t, lines)
				return lines
			})
			wantDifference(t, dir, line+c.below, c.what)
		})
	}
}

func replaceDigest(t testing.TB, lines []string) ([]string, int) {
	i := find(t, lines, len(lines)/2, `"out":"`, `"effects"`)
	at := strings.Index(lines[i], `"out":"`) + len(`"out":"`)
	digit := "0"
	if lines[i][at] == '0' {
		digit = "1"
	}
	lines[i] = lines[i][:at] + digit + lines[i][at+1:]
	return lines, i + 1
}

// renumber makes the sequence of a log whole.
func renumber(lines []string) []string {
	n := 0
	for i := 1; i < len(lines); i++ {
		if before, after, ok := strings.Cut(lines[i], `"seq":`); ok {
			n++
			lines[i] = before + fmt.Sprintf(`"seq":%d`, n) + strings.TrimLeft(after, "0123456789")
		} else if strings.HasPrefix(lines[i], `{"end":`) {
			lines[i] = fmt.Sprintf("{\"end\":%d}\n", n)
		}
	}
	return lines
}

// What cannot be replayed is an error that names the place, and no verdict.
func TestNoVerdict(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(testing.TB, []string) []string
		want   error
		says   string
	}{
		{"truncated", func(_ testing.TB, lines []string) []string { return lines[:len(lines)/2] }, ndjson.ErrTruncated, "steps before it agree"},
		{"killed", func(_ testing.TB, lines []string) []string { return lines[:len(lines)-2] }, ndjson.ErrTruncated, "steps before it agree"},
		{"dropped", func(_ testing.TB, lines []string) []string { return append(lines[:40:40], lines[41:]...) }, ndjson.ErrGap, ":41:"},
		{"no_out", func(t testing.TB, lines []string) []string {
			i := find(t, lines, 40, `"out"`)
			return renumber(append(lines[:i:i], lines[i+1:]...))
		}, ndjson.ErrMalformed, "has no out record"},
		{"no_in", func(t testing.TB, lines []string) []string {
			i := find(t, lines, 40, `"in"`)
			return renumber(append(lines[:i:i], lines[i+1:]...))
		}, ndjson.ErrMalformed, "no in record has begun a step"},
		{"ends_in_a_step", func(t testing.TB, lines []string) []string {
			i := find(t, lines, 40, `"in"`)
			return renumber(append(lines[:i+1:i+1], "{\"end\":0}\n"))
		}, ndjson.ErrGap, "the core has taken"},
		{"other_out", func(t testing.TB, lines []string) []string {
			i := find(t, lines, 40, `"out"`, `"p":1`)
			lines[i] = strings.Replace(lines[i], `"p":1`, `"p":0`, 1)
			return lines
		}, ndjson.ErrMalformed, "the output is not of the page"},
		{"other_input", func(t testing.TB, lines []string) []string {
			i := find(t, lines, 40, `"in":"Message"`, `"p":1`)
			lines[i] = strings.Replace(lines[i], `"p":1`, `"p":0`, 1)
			return lines
		}, ndjson.ErrMalformed, "an input of page 0"},
		{"odd_configuration", func(t testing.TB, lines []string) []string {
			i := find(t, lines, 0, `"conf"`)
			lines[i] = strings.Replace(lines[i], `"Segments"`, `"Parts"`, 1)
			return lines
		}, ndjson.ErrMalformed, ":2:"},
		{"odd_slots", func(t testing.TB, lines []string) []string {
			lines[0] = strings.Replace(lines[0], `"Fanout":2`, `"Fanout":0`, 1)
			return lines
		}, ndjson.ErrMalformed, ":1:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := record(t, sim.Config{Nodes: 4, Fanout: 2, Pages: 3, Seed: 5}, 1000)
			edit(t, dir, 2, func(lines []string) []string { return c.change(t, lines) })
			_, err := Run(dir)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), logFile(dir, 2)) {
				t.Errorf("%v", err)
			}
			var d *Difference
			if errors.As(err, &d) {
				t.Error("that is a verdict")
			}
		})
	}
	if _, err := Run(t.TempDir()); !errors.Is(err, trace.ErrNoTrace) {
		t.Errorf("an empty directory: %v", err)
	}
	w := sim.New(worlds[0])
	idle := t.TempDir()
	if err := errors.Join(w.Record(idle), w.EndRecord()); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(idle); !errors.Is(err, ErrNoStep) {
		t.Errorf("a run without steps: %v", err)
	}
	dir := record(t, worlds[0], 10)
	for node := range 2 {
		edit(t, dir, node, func(lines []string) []string {
			lines[0] = strings.Replace(lines[0], `"strong"`, `"weak"`, 1)
			return lines
		})
	}
	if _, err := Run(dir); err == nil || !strings.Contains(err.Error(), `no core for the specification "weak"`) {
		t.Errorf("a log of another specification: %v", err)
	}
}

// FuzzReplay: whatever a log says, the replay comes to a result and does not
// panic.
func FuzzReplay(f *testing.F) {
	dir := record(f, sim.Config{Nodes: 4, Fanout: 2, Pages: 3, Seed: 5, Recreate: true}, 60)
	text, err := os.ReadFile(logFile(dir, 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		h, _, err := trace.ReadLog("fuzz", bytes.NewReader(text))
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		_, _ = File(&trace.File{Path: path, Header: h})
	})
}

func BenchmarkReplay(b *testing.B) {
	dir := record(b, sim.Config{Nodes: 4, Fanout: 2, Pages: 3, Seed: 5}, 5000)
	steps := 0
	for b.Loop() {
		sum, err := Run(dir)
		if err != nil {
			b.Fatal(err)
		}
		steps += sum.Steps
	}
	b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
}
