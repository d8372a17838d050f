package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/trace"
)

// recordRun runs SOR on a cluster and returns the directory with the logs.
func recordRun(t *testing.T, cluster ...string) string {
	t.Helper()
	needNode(t)
	dir := filepath.Join(t.TempDir(), "run")
	args := append(append([]string{"cluster", "--trace", dir}, cluster...), "--", sorPath, "--rows", "96", "--cols", "96", "--iterations", "10", "--phases", "2")
	status, stdout, stderr := run(t, args...)
	if status != 0 || stderr != "" || !strings.Contains(stdout, "verified") {
		t.Fatalf("status %d: %s\n%s", status, stdout, stderr)
	}
	return dir
}

// A run of real processes replays exactly, and none of its logs can be changed
// without that the replay names the place.
func TestTraceReplay(t *testing.T) {
	for _, shape := range []string{"--nodes 2", "--nodes 4 --fanout 2"} {
		t.Run(strings.ReplaceAll(shape, " ", "_"), func(t *testing.T) {
			dir := recordRun(t, strings.Fields(shape)...)
			status, stdout, stderr := run(t, "trace", "replay", dir, "--json")
			if status != 0 || stderr != "" {
				t.Fatalf("status %d: %s\n%s", status, stdout, stderr)
			}
			var got replayReport
			if err := json.Unmarshal([]byte(stdout), &got); err != nil {
				t.Fatal(err)
			}
			recorded, err := trace.OpenRun(dir)
			if err != nil {
				t.Fatal(err)
			}
			if len(recorded.Sync) == 0 {
				t.Error("there is no log of locks and barriers")
			}
			files := slices.Concat(recorded.Sync, recorded.Files)
			var path string // of a log with an output
			var line, steps, actions int
			for _, f := range files {
				for rec, err := range f.Records() {
					if err != nil {
						t.Fatal(err)
					}
					switch rec.Kind {
					case trace.KindAction:
						actions++
					case trace.KindOutput:
						steps++
						path, line = f.Path, rec.Line
					}
				}
			}
			if got.Verdict != "agrees" || got.Steps != steps || got.Actions != actions || got.Logs != len(files) || steps < 300 {
				t.Errorf("%+v of %d steps and %d actions in %d logs", got, steps, actions, len(files))
			}
			status, stdout, stderr = run(t, "trace", "replay", dir)
			if status != 0 || stderr != "" || !strings.HasPrefix(stdout, "replay agrees: ") {
				t.Errorf("status %d: %s\n%s", status, stdout, stderr)
			}

			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.SplitAfter(string(text), "\n")
			record := lines[line-1]
			at := strings.Index(record, `"out":"`) + len(`"out":"`)
			digit := "0"
			if record[at] == '0' {
				digit = "1"
			}
			lines[line-1] = record[:at] + digit + record[at+1:]
			rewrite(t, path, strings.Join(lines, ""))
			status, stdout, stderr = run(t, "trace", "replay", dir)
			failure(t, status, stderr, 1, fmt.Sprintf("%s:%d: the replay differs", path, line), "batch")
			if !strings.Contains(stdout, "first difference: step") || !strings.Contains(stdout, "  now  ") {
				t.Errorf("the difference is not shown: %s", stdout)
			}

			// A node that was killed leaves a log like this.
			rewrite(t, path, strings.Join(lines[:line-1], ""))
			status, stdout, stderr = run(t, "trace", "replay", dir)
			failure(t, status, stderr, 1, "truncated", path, "no verdict")
			if stdout != "" {
				t.Errorf("standard output: %s", stdout)
			}
		})
	}
}

func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
