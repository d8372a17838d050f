package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestApply demands that each mutant of the core applies and is in a table, and that
// the core as it is has none.
func TestApply(t *testing.T) {
	const dir = "../../protocol"
	text, err := os.ReadFile(filepath.Join(dir, "mutants.txt"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := parse(string(text))
	if err != nil || len(list) == 0 {
		t.Fatal(len(list), err)
	}
	if _, err := apply(dir, list); err != nil {
		t.Error(err)
	}
	var tables strings.Builder
	for _, name := range []string{"pages", "segments", "locks", "barriers", "nodes"} {
		table, err := os.ReadFile(filepath.Join("../testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		tables.Write(table)
	}
	for _, m := range list {
		if !regexp.MustCompile(`(?m)^` + m.name + ` `).MatchString(tables.String()) {
			t.Errorf("mutant %s is in no table", m.name)
		}
		for _, c := range m.changes {
			if !strings.Contains(c.replace, "bug"+m.name) {
				t.Errorf("mutant %s does not ask for itself in %s", m.name, c.file)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), "broken(") {
			t.Errorf("%s has a mistake in it", file)
		}
	}
}
