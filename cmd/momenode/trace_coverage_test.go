package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/sim"
)

// A simulated run is counted, as text and as JSON; what it never did is named;
// a run with a log that is cut is not counted.
func TestTraceCoverage(t *testing.T) {
	dir := t.TempDir()
	w := sim.New(sim.Config{Nodes: 4, Fanout: 2, Pages: 1})
	if err := w.Record(dir); err != nil {
		t.Fatal(err)
	}
	for node := range 4 {
		w.Access(0, 0, 0, node%2 == 0)
		w.Settle()
	}
	if err := w.EndRecord(); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := run(t, "trace", "coverage", dir)
	if status != 0 || stderr != "" || !strings.Contains(stdout, "strong: ") || !strings.Contains(stdout, "never taken: Evict at leaf\n") ||
		strings.Contains(stdout, "never taken: WriteFault") {
		t.Errorf("status %d: %s\n%s", status, stdout, stderr)
	}
	status, stdout, stderr = run(t, "trace", "coverage", dir, dir, "--json")
	var specs []specCoverage
	if err := json.Unmarshal([]byte(stdout), &specs); err != nil || status != 0 {
		t.Fatalf("status %d, %v: %s\n%s", status, err, stdout, stderr)
	}
	s := specs[0]
	faults := 0
	for _, c := range s.Counts {
		if c.Action == "WriteFault" {
			faults += c.Phases["idle"]
		}
	}
	if s.Spec != "strong" || s.Nodes != 4 || s.Depth != 2 || s.Logs != 8 || faults != 2 || len(s.Never) == 0 {
		t.Errorf("%+v", s)
	}
	log := filepath.Join(dir, "node00003-i5-s000.ndjson")
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(log, text[:len(text)-4], 0o666); err != nil {
		t.Fatal(err)
	}
	if status, stdout, stderr := run(t, "trace", "coverage", dir); status != 1 || stdout != "" || !strings.Contains(stderr, log+":") {
		t.Errorf("a log that is cut: status %d: %s\n%s", status, stdout, stderr)
	}
}
