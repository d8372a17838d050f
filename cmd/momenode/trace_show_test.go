package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/sim"
)

// simulatedRun is the directory with the logs of a simulated run.
func simulatedRun(t *testing.T, steps int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	if err := sim.Recorded(dir, sim.Config{Nodes: 4, Fanout: 2, Pages: 2, Seed: 5}, steps); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What is printed, as text and as JSON, is what the flags choose, and a diagram
// is one file. impl/trace/show tests what is in them.
func TestTraceShow(t *testing.T) {
	dir := simulatedRun(t, 400)
	file := filepath.Join(t.TempDir(), "run.html")
	whole := func(args ...string) []string {
		status, stdout, stderr := run(t, append([]string{"trace", "show", dir}, args...)...)
		if status != 0 || stderr != "" {
			t.Fatalf("%v: status %d: %s", args, status, stderr)
		}
		return strings.Split(strings.TrimSpace(stdout), "\n")
	}
	text, objects := whole(), whole("--json")
	if len(text) != len(objects)+1 || len(objects) < 100 || !strings.Contains(text[0], "manager") {
		t.Errorf("%d lines of text, %d of JSON", len(text), len(objects))
	}
	for i, line := range objects {
		var e shownEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{e.Manager, e.Action, e.Message, e.State} {
			if !strings.Contains(text[i+1], word) {
				t.Fatalf("line %d has no %q: %s", i+1, word, text[i+1])
			}
		}
	}
	for _, line := range whole("--page", "1", "--node", "2,3", "--clock", "10:40")[1:] {
		f := strings.Fields(line)
		if f[3] != "1" || !strings.HasSuffix(f[2], "@2") && !strings.HasSuffix(f[2], "@3") || len(f[0]) != 2 || f[0] > "40" {
			t.Errorf("not asked for: %s", line)
		}
	}
	if n := len(whole("--all")); n <= len(text) {
		t.Errorf("%d lines with --all, %d without", n, len(text))
	}
	for _, args := range [][]string{{"--time", "1h:"}, {"--node", "7"}, {"--page", "99999999"}, {"--lock", "nope"}, {"--node", "7", "--json"}, {"--node", "7", "--html", file}} {
		status, stdout, stderr := run(t, append([]string{"trace", "show", dir}, args...)...)
		failure(t, status, stderr, 1, "nothing matches", "--node")
		if stdout != "" {
			t.Errorf("%v: %s", args, stdout)
		}
	}
	said := whole("--html", file)
	html, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(html), "<!DOCTYPE html>") || !strings.Contains(string(html), "Each page of 4 nodes") ||
		len(said) != 1 || !strings.HasPrefix(said[0], file+": ") {
		t.Errorf("%v: %s", err, said)
	}

	// A world of locks beside it.
	locks := filepath.Join(t.TempDir(), "locks")
	if err := sim.NewLocks(sim.SyncConfig{Nodes: 2, Objects: 2, Seed: 1}).Recorded(locks, 300); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := run(t, "trace", "show", locks, "--locks")
	if n := strings.Count(stdout, "AcquireLock"); status != 0 || stderr != "" || n < 10 {
		t.Errorf("status %d, %d acquires: %s", status, n, stderr)
	}
	status, _, stderr = run(t, "trace", "show", locks, "--lock", "none of them")
	failure(t, status, stderr, 1, "nothing matches", "--lock")

	status, stdout, stderr = run(t, "trace", "show", simulatedRun(t, 16000), "--html", file)
	failure(t, status, stderr, 1, "too many events", "--page", "has")
	if stdout != "" {
		t.Errorf("standard output: %q", stdout)
	}
	status, _, stderr = run(t, "trace", "show", dir, "--html", filepath.Join(t.TempDir(), "no", "x.html"))
	failure(t, status, stderr, 1, "--html", "no such file", "name another file")
	log := filepath.Join(dir, "node00003-i5-s000.ndjson")
	if err := os.Truncate(log, 20000); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr = run(t, "trace", "show", dir)
	failure(t, status, stderr, 1, "truncated", log)
	if n := strings.Count(stdout, "\n"); n < 10 || n >= len(text) {
		t.Errorf("%d lines before the end of a log", n)
	}
	status, _, stderr = run(t, "trace", "show", dir, "--html", file)
	failure(t, status, stderr, 1, "truncated", file+" shows what comes before")
}
