package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../../.."

// TestMutants demands that each mutant applies to the sources as they are, and is a row
// of a table.
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
			list, err := readMutants(dir)
			if err != nil || len(list) == 0 {
				t.Fatal(len(list), err)
			}
			if _, err := mutate(dir, list); err != nil {
				t.Error(err)
			}
			for _, m := range list {
				if !regexp.MustCompile(`(?m)^` + m.name + ` `).MatchString(tables.String()) {
					t.Errorf("mutant %s is in no table", m.name)
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
		{"twice", block("}", "\tpanic(1)\n    }"), "occurs 2 times"},
		{"part of a line", block("return a + two", "return a"), "occurs 0 times"},
		{"no change", block("\treturn a + two", "\treturn a + two"), "changes nothing"},
		{"outside", block("const two = 2", "const two = 3"), "outside of its functions"},
		{"arguments", block("func f(a int) int {", "func f(a int8) int {"), "changes the arguments of f"},
		{"nameless", block("\treturn two", "\treturn 0"), "without a name"},
		{"no Go", block("\treturn a + two", "\treturn )"), "expected operand"},
		{"open", strings.TrimSuffix(good, "end\n"), "not closed by end"},
		{"name twice", good + good, "has no place here"},
		{"nothing to find", strings.Replace(good, "    \treturn a + two\n", "", 1), "has no place here"},
		{"no replace", "mutant M\nfile p.go\nfind\n    \treturn two\nend\n", "has no place here"},
		{"not indented", strings.Replace(good, "    \treturn a\n", "return a\n", 1), "has no place here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{"p.go": code, mutantsFile: c.text} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			list, err := readMutants(dir)
			if err == nil {
				_, err = mutate(dir, list)
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
