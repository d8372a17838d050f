package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/internal/mutation"
)

const root = "../../.."

// TestMutants demands that each mutant applies to the sources as they are, and is a row
// of a table or in the group of a test that must find it.
func TestMutants(t *testing.T) {
	dirs, err := folders(root)
	if err != nil || len(dirs) == 0 {
		t.Fatal(dirs, err)
	}
	var tables strings.Builder
	files, err := filepath.Glob("../testdata/*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tables.Write(text)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			list, err := mutation.Read(dir)
			if err != nil || len(list) == 0 {
				t.Fatal(len(list), err)
			}
			if _, err := mutate(dir, list); err != nil {
				t.Error(err)
			}
			for _, m := range list {
				if strings.HasPrefix(m.Group, "Test") {
					continue // TestMutants of its package runs that test
				}
				if !regexp.MustCompile(`(?m)^` + m.Name + ` `).MatchString(tables.String()) {
					t.Errorf("mutant %s is in no table", m.Name)
				}
			}
		})
	}
}

// TestRefused: what does not match, or would not be a mutant of a function alone, is
// no mutant.
func TestRefused(t *testing.T) {
	const code = "package p\n\nconst two = 2\n\nfunc f(a int) int {\n\treturn a + two\n}\n\nfunc g(_ int) int {\n\treturn two\n}\n"
	block := func(find, replace string) string {
		return "mutant M\nfile p.go\nfind\n    " + find + "\nreplace\n    " + replace + "\nend\n"
	}
	good := block("\treturn a + two", "\treturn a")
	for _, c := range []struct{ name, text, want string }{
		{"applies", good, ""},
		{"gone", block("\treturn a - two", "\treturn a"), "occurs 0 times"},
		{"outside", block("const two = 2", "const two = 3"), "outside of its functions"},
		{"arguments", block("func f(a int) int {", "func f(a int8) int {"), "changes the arguments of f"},
		{"nameless", block("\treturn two", "\treturn 0"), "without a name"},
		{"no Go", block("\treturn a + two", "\treturn )"), "expected operand"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{"p.go": code, mutation.Name: c.text} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			list, err := mutation.Read(dir)
			if err == nil {
				_, err = mutate(dir, list)
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
