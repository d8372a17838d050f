package fuzz

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestScript runs scripts/fuzz on a module with a target that passes and one
// that fails: both have their row, the status is 1, and the command that is
// printed fails as well.
func TestScript(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a module")
	}
	script, err := os.ReadFile("../scripts/fuzz")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for path, text := range map[string]string{
		"scripts/fuzz": string(script),
		"go.mod":       "module example.org/m\n\ngo 1.26\n",
		"a/a_test.go": `package a
import "testing"
func FuzzGood(f *testing.F) { f.Fuzz(func(t *testing.T, b []byte) {}) }
`,
		"b/b_test.go": `package b
import "testing"
func FuzzBad(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) { if len(b) > 0 { t.Fatal("found") } })
}
`,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(filepath.Join(dir, "scripts", "fuzz"), "2s").CombinedOutput()
	text := string(out)
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 {
		t.Fatalf("%v, want status 1\n%s", err, text)
	}
	for _, row := range []string{`(?m)^fuzz: 2 targets, 1s each$`, `(?m)^fuzz: ./a +FuzzGood +[1-9]\d* execs .* ok$`,
		`(?m)^fuzz: ./b +FuzzBad .* FAILED$`, `(?m)^fuzz: 1 of 2 targets failed$`} {
		if !regexp.MustCompile(row).MatchString(text) {
			t.Errorf("no line is like %s:\n%s", row, text)
		}
	}
	again := regexp.MustCompile(`(?m)^fuzz: again: (go test .*)$`).FindStringSubmatch(text)
	if again == nil {
		t.Fatalf("no command to run it again:\n%s", text)
	}
	c := exec.Command("bash", "-c", again[1])
	c.Dir = dir
	if out, err := c.CombinedOutput(); err == nil || !strings.Contains(string(out), "found") {
		t.Errorf("%s: %v\n%s", again[1], err, out)
	}
	for _, bad := range []string{"soon", "10", "-1s"} {
		c := exec.Command(filepath.Join(dir, "scripts", "fuzz"), bad)
		if out, err := c.CombinedOutput(); err == nil || c.ProcessState.ExitCode() != 2 {
			t.Errorf("TIME %q: %v\n%s", bad, err, out)
		}
	}
}
