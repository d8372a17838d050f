package main

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A run that was recorded here and now is accepted; that of a broken core is
// rejected with its line, its state and what does not hold.
func TestTraceValidate(t *testing.T) {
	dir := recordRun(t, "--nodes", "4", "--fanout", "2")
	status, stdout, stderr := run(t, "trace", "validate", dir, "--json")
	if status != 0 || stderr != "" {
		t.Fatalf("status %d: %s\n%s", status, stdout, stderr)
	}
	for d := json.NewDecoder(strings.NewReader(stdout)); d.More(); {
		var got validation
		if err := d.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.Verdict != "accepted" || got.Nodes != 4 || got.Depth != 2 || got.Events < 100 || got.Refusal != nil {
			t.Errorf("%+v", got)
		}
	}

	const broken = "../../traces/dropped-invalidation"
	status, stdout, stderr = run(t, "trace", "validate", broken)
	want := regexp.MustCompile(`(?s)^rejected: \d+ events of 1 page .*\n` +
		broken + `/node00000-i2-s000.ndjson.gz:\d+: RecvReq at root@0 is no step of the specification: event 17 of page 0 .*\n` +
		`  busy: .*wait \|-> {leaf@0, leaf@2}.* by the specification, .*wait \|-> {leaf@2}.* in the log\n` +
		`the state before it .*\n  /\\ .*leaf@1 \|->`)
	if status != statusFailure || stderr != "" || !want.MatchString(stdout) {
		t.Errorf("status %d: %s\n%s", status, stdout, stderr)
	}
}

// Of what is no whole run there is no verdict, but an error that says where.
func TestTraceValidateUndecided(t *testing.T) {
	// edit changes the lines of a log of a good run.
	edit := func(change func([]string) []string) func(*testing.T) string {
		return func(t *testing.T) string {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS("../../traces/recreate")); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "node00001-i3-s000.ndjson")
			text := gunzip(t, path+".gz")
			if err := os.Remove(path + ".gz"); err != nil {
				t.Fatal(err)
			}
			lines := change(strings.SplitAfter(text, "\n"))
			if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o644); err != nil {
				t.Fatal(err)
			}
			return dir
		}
	}
	const log = "node00001-i3-s000.ndjson"
	for name, c := range map[string]struct {
		dir  func(*testing.T) string
		text string
		env  []string
	}{
		"no directory": {dir: func(*testing.T) string { return "/nonexistent" }, text: "no trace in /nonexistent"},
		"no logs":      {dir: func(t *testing.T) string { return t.TempDir() }, text: "no trace in "},
		"a log is missing": {dir: func(t *testing.T) string {
			dir := edit(func(l []string) []string { return l })(t)
			if err := os.Remove(filepath.Join(dir, log)); err != nil {
				t.Fatal(err)
			}
			return dir
		}, text: "there is no " + log},
		"a node was killed": {dir: func(t *testing.T) string {
			dir := edit(func(l []string) []string { return l })(t)
			if err := os.Remove(filepath.Join(dir, "node00001-i3-manifest.json")); err != nil {
				t.Fatal(err)
			}
			return dir
		}, text: "node 1 has left no node00001-i3-manifest.json: it was killed"},
		"a page is in no log": {dir: edit(func(l []string) []string {
			kept, seq := l[:1:1], 0
			for _, line := range l[1 : len(l)-2] {
				if !strings.Contains(line, `"p":0,`) {
					seq++
					kept = append(kept, regexp.MustCompile(`"seq":\d+`).ReplaceAllString(line, fmt.Sprintf(`"seq":%d`, seq)))
				}
			}
			return append(kept, fmt.Sprintf("{\"end\":%d}\n", seq))
		}), text: "the core has taken "},
		"truncated":     {dir: edit(func(l []string) []string { return l[:len(l)-2] }), text: "truncated log: "},
		"a line is cut": {dir: edit(func(l []string) []string { l[99] = l[99][:20]; return l[:100] }), text: log + ":100: the line ends"},
		"gap":           {dir: edit(func(l []string) []string { return append(l[:41], l[42:]...) }), text: log + ":42: record 42 follows record 40"},
		"other version": {dir: edit(func(l []string) []string {
			l[0] = strings.Replace(l[0], `"format":7`, `"format":8`, 1)
			return l
		}), text: log + ":1: format 8, this build reads 7"},
		"no trace": {dir: edit(func([]string) []string { return []string{"PK\x03\x04\n"} }), text: log + ":1: this is no header"},
		"another run": {dir: edit(func(l []string) []string {
			l[0] = strings.Replace(l[0], `"seed":2`, `"seed":3`, 1)
			return l
		}), text: "not of the same run"},
		"no such action": {dir: edit(func(l []string) []string {
			for i := range l {
				if strings.Contains(l[i], `"content":"take"`) {
					return append(l[:i:i], strings.Replace(l[i], `"p":`, `"p":1`, 1))
				}
			}
			return l
		}), text: "no action explains that content"},
		"no java": {dir: edit(func(l []string) []string { return l }), env: []string{"PATH=/nonexistent"}, text: "java is missing: install"},
		"no TLC": {dir: edit(func(l []string) []string { return l }), env: []string{"TLA2TOOLS_JAR=/nonexistent"},
			text: "TLA2TOOLS_JAR: stat /nonexistent"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, e := range c.env {
				key, value, _ := strings.Cut(e, "=")
				t.Setenv(key, value)
			}
			status, stdout, stderr := run(t, "trace", "validate", c.dir(t))
			if status != statusFailure || stdout != "" || !strings.HasPrefix(stderr, "momenode: cannot decide: ") ||
				!strings.Contains(stderr, c.text) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("status %d: %q\n%q, want %q", status, stdout, stderr, c.text)
			}
		})
	}
}

func gunzip(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
