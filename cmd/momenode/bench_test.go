package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/bench"
)

func runBench(args ...string) (stdout, stderr string, err error) {
	var out, errs strings.Builder
	cmd := exec.Command(momenodePath, append([]string{"bench"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// TestBench checks that bench starts its processes by itself, measures, and
// leaves nothing behind. It judges no figure.
func TestBench(t *testing.T) {
	needNode(t)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	report := filepath.Join(t.TempDir(), "report.md")
	const mine = "\nNot for bench to touch, and before any heading.\n\n## Mine\n\nNor this.\n"
	if err := os.WriteFile(report, []byte("# Benchmarks\n\nA report "+strings.Repeat("of long ago ", 1000)+"\n\n"+bench.ReportEnd+"\n"+mine), 0o600); err != nil {
		t.Fatal(err)
	}
	out, stderr, err := runBench("--quick", "--json", "--case", "^read-fault", "--report", report)
	if err != nil || stderr != "" {
		t.Fatalf("%v\n%s", err, stderr)
	}
	var results []struct {
		Name, Unit, Floor, Help string
		P50, P99, Ratio         float64
		N                       uint64
		FloorP50                float64 `json:"floor_p50"`
	}
	if err := json.Unmarshal([]byte(out), &results); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if len(results) != 3 {
		t.Fatalf("%d results\n%s", len(results), out)
	}
	for i, name := range []string{"read-fault/threads=1", "read-fault/threads=4", "read-fault/threads=16"} {
		r := results[i]
		if r.Name != name || r.Unit != "us" || r.Floor != "1 uffd + 1 tcp" || r.Help == "" ||
			r.P50 <= 0 || r.P99 < r.P50 || r.N == 0 || r.FloorP50 <= 0 || r.Ratio <= 0 {
			t.Errorf("result %d: %+v", i, r)
		}
	}
	text, err := os.ReadFile(report)
	if err != nil || !strings.Contains(string(text), "momenode bench --quick") || !strings.Contains(string(text), "| read-fault/threads=16 | us |") ||
		strings.Contains(string(text), "of long ago") || !strings.HasSuffix(string(text), mine) {
		t.Errorf("report: %v\n%s", err, text)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestOpenReport checks what of a report stays.
func TestOpenReport(t *testing.T) {
	for _, c := range []struct{ text, rest string }{
		{"", ""},
		{"# Benchmarks\n\nold\n", ""},
		{"# Benchmarks\n\nold\n\n## A\nmine\n", "\n## A\nmine\n"},
		{"# Benchmarks\n\nold\n" + bench.ReportEnd + "\nmine\n\n## A\nmine\n", "mine\n\n## A\nmine\n"},
		{"# Benchmarks\n\nold\n" + bench.ReportEnd + "\n", ""},
		{"# Benchmarks\n\nold\n" + bench.ReportEnd, ""},
	} {
		path := filepath.Join(t.TempDir(), "report.md")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		file, rest, err := (&benchFlags{report: path}).openReport()
		if err != nil || string(rest) != c.rest {
			t.Errorf("%q: %v, %q stays, not %q", c.text, err, rest, c.rest)
		}
		file.Close()
	}
}

// A report that is no file is not read: some never end.
func TestOpenReportOfADevice(t *testing.T) {
	if file, _, err := (&benchFlags{report: "/dev/full"}).openReport(); err == nil || !strings.Contains(err.Error(), "/dev/full is not a file") {
		t.Errorf("%v, %v", file, err)
	}
}

func TestBenchUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--nodes", "1"}, "--nodes 1"},
		{[]string{"--case", "("}, "--case"},
		{[]string{"--case", "no such case"}, "matches no case"},
		{[]string{"--transport", "pigeon"}, `--transport "pigeon"`},
		{[]string{"now"}, `unexpected argument "now"`},
	} {
		out, stderr, err := runBench(c.args...)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != statusUsage || out != "" || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("bench %v: %v, %q, %q", c.args, err, out, stderr)
		}
	}
}
