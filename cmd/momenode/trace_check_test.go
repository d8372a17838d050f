package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/history"
)

// writeHistory writes a history of which operation i goes from 10i to 10i+5.
func writeHistory(t *testing.T, path string, h history.Header, ops ...history.Operation) {
	t.Helper()
	var all []history.Operation
	for i, o := range ops {
		o.Object = "x@1"
		o.Call += int64(10*i + 10)
		o.Return = o.Call + 5
		all = append(all, o)
	}
	if err := history.Write(path, h, all); err != nil {
		t.Fatal(err)
	}
}

func writes(value uint64) history.Operation {
	return history.Operation{Op: history.OpWrite, Value: value}
}
func reads(value uint64) history.Operation {
	return history.Operation{Op: history.OpRead, Value: value}
}

// TestTraceCheck: a verdict, or one line that says why there is none, at which
// file and line.
func TestTraceCheck(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	h := history.Header{Model: "strong", Run: "r", Process: "1", Program: "p", Rank: 0, Ranks: 1}
	writeHistory(t, at("good"), h, writes(1), reads(1), writes(2), reads(2))
	writeHistory(t, at("stale"), h, writes(1), writes(2), reads(1))
	made, removed := history.Operation{Op: history.OpCreate, Value: 3, Result: 1}, history.Operation{Op: history.OpRemove, Result: 1}
	found, none := history.Operation{Op: history.OpOpen, Value: 3}, history.Operation{Op: history.OpOpen}
	writeHistory(t, at("names"), h, made, found, removed, none)
	writeHistory(t, at("stale name"), h, made, found, removed, found)
	var again []history.Operation
	for range 30 {
		again = append(again, writes(1), reads(1))
	}
	writeHistory(t, at("again"), h, again...)
	two := h
	two.Ranks = 2
	writeHistory(t, at("half"), two, reads(1))
	two.Rank, two.Process = 1, "2"
	early := writes(1)
	early.Call = -5
	writeHistory(t, at("other half"), two, early)
	text, err := os.ReadFile(at("good"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for name, text := range map[string]string{
		"truncated":      strings.Join(lines[:4], ""),
		"gap":            strings.Join(append(append([]string{}, lines[:2]...), lines[3:]...), ""),
		"other version":  strings.Replace(string(text), `"format":3`, `"format":1`, 1),
		"no history":     "hello\n",
		"early":          strings.Replace(string(text), `"clock_bound_ns":0,"begin_ns":0`, `"clock_bound_ns":0,"begin_ns":1000000000000`, 1),
		"late":           strings.Replace(string(text), `"return_ns":45`, `"return_ns":1000000000045`, 1),
		"at once":        strings.Replace(string(text), `"call_ns":30`, `"call_ns":21`, 1),
		"half an object": strings.Replace(string(text), `"op":"write","object"`, `"op":"write","objec`, 1),
	} {
		if err := os.WriteFile(at(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	picture := at("violation.html")
	for _, c := range []struct {
		files  []string
		status int
		says   []string // on standard error
		prints []string
	}{
		{[]string{"good"}, 0, nil, []string{"4 operations of 1 client in 1 file", "register", "zone 1", "linearizable"}},
		{[]string{"half", "other half"}, 0, nil, []string{"2 operations of 2 clients in 2 files"}},
		{[]string{"stale name"}, 1, []string{"violation: 1 words, locks or names", `name "x@1"`, at("stale name") + ":5"},
			[]string{at("stale name") + ":5: client 0: open -> generation 3"}},
		{[]string{"stale"}, 1, []string{"violation: 1 words", `word 0 of "x@1"`, at("stale") + ":2"},
			[]string{at("stale") + ":4: client 0: read -> 1", at("stale") + ":3: client 0: write 2", "the value 1 must come before the value 2", picture}},
		{[]string{"names"}, 0, nil, []string{"4 operations of 1 client in 1 file", "name", "search 1", "linearizable"}},
		{[]string{"again"}, 0, nil, []string{"search 1"}},
		{[]string{"again", "--search", "59"}, 1, []string{"cannot decide", "60 operations are too many"}, []string{"cannot decide"}},
		{[]string{"half"}, 1, []string{"cannot decide: the history of rank 1 of p is missing"}, nil},
		{[]string{"good", "good"}, 1, []string{"cannot decide", "named twice"}, nil},
		{[]string{"good", "stale"}, 1, []string{"cannot decide", "of the same process"}, nil},
		{[]string{"truncated"}, 1, []string{"truncated", at("truncated") + ":5"}, nil},
		{[]string{"gap"}, 1, []string{"gap", at("gap") + ":3: operation 3 of client 0 follows its operation 1"}, nil},
		{[]string{"early"}, 1, []string{"malformed", at("early") + ":2: it is called at 10, and the history begins at 1000000000000"}, nil},
		{[]string{"late"}, 1, []string{"malformed", at("late") + ":6: client 0 is there until 45"}, nil},
		{[]string{"at once"}, 1, []string{"malformed", at("at once") + ":4: client 0 is called at 21, and its operation in line 3 returns at 25"}, nil},
		{[]string{"other version"}, 1, []string{"another format", at("other version") + ":1"}, nil},
		{[]string{"no history"}, 1, []string{"malformed", at("no history") + ":1"}, nil},
		{[]string{"half an object"}, 1, []string{"malformed", at("half an object") + ":2"}, nil},
	} {
		t.Run(strings.Join(c.files, ","), func(t *testing.T) {
			args := []string{"trace", "check", "--picture", picture}
			for _, f := range c.files {
				if _, err := os.Stat(at(f)); err == nil {
					f = at(f)
				}
				args = append(args, f)
			}
			status, stdout, stderr := run(t, args...)
			if c.status == 0 {
				if status != 0 || stderr != "" {
					t.Fatalf("status %d: %s", status, stderr)
				}
			} else {
				failure(t, status, stderr, c.status, c.says...)
			}
			for _, want := range c.prints {
				if !strings.Contains(stdout, want) {
					t.Errorf("no %q in\n%s", want, stdout)
				}
			}
			if c.prints == nil && stdout != "" {
				t.Errorf("a verdict without a history: %s", stdout)
			}
		})
	}
	if page, err := os.ReadFile(picture); err != nil || !strings.Contains(string(page), "<html") || !strings.Contains(string(page), "stale:3") {
		t.Errorf("the picture: %d bytes, %v", len(page), err)
	}
	status, stdout, _ := run(t, "trace", "check", "--json", "--picture", "", at("stale"))
	var r checkReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || status != 1 || r.Verdict != "violation" ||
		len(r.Findings) != 1 || !r.Findings[0].Confirmed || r.Findings[0].Contradiction[0].Line == 0 {
		t.Errorf("status %d, %v, %s", status, err, stdout)
	}
}

// TestClusterHistory records a program's operations in a cluster and judges them;
// then one answer is changed.
func TestClusterHistory(t *testing.T) {
	needNode(t)
	dir := t.TempDir()
	status, _, stderr := run(t, "cluster", "--nodes", "2", "--trace", dir, "--", childProgram(t, "tickets"))
	if status != 0 || stderr != "" {
		t.Fatalf("status %d: %s", status, stderr)
	}
	status, stdout, stderr := run(t, "trace", "check", dir)
	if status != 0 || stderr != "" {
		t.Fatalf("status %d: %s\n%s", status, stderr, stdout)
	}
	for _, want := range []string{"500 operations of 2 clients in 2 files", "counter", "register", "lock"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	paths, err := histories([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(paths[1])
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		var o history.Operation
		if json.Unmarshal([]byte(line), &o) == nil && o.Op == history.OpAdd && o.Result > 1 {
			was := fmt.Sprintf(`"result":%d`, o.Result)
			lines[i] = strings.Replace(line, was, fmt.Sprintf(`"result":%d`, o.Result-1), 1)
			break
		}
	}
	if err := os.WriteFile(paths[1], []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr = run(t, "trace", "check", "--picture", filepath.Join(dir, "v.html"), dir)
	failure(t, status, stderr, 1, "violation", `word 0 of "tickets@`)
	if !strings.Contains(stdout, "was replaced 2 times") {
		t.Error(stdout)
	}
}
