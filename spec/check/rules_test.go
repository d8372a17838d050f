package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRules compares the list of the rules of strong pages with those who cite it:
// the sections of the mutants have its titles and the mutants that it names, and no
// file cites a rule that is not there.
func TestRules(t *testing.T) {
	const list, mutants = "../strong/RULES.md", "../strong/mutants.txt"
	heading := regexp.MustCompile(`(?m)^(?:##|#) (Rule \d+): (.*)$`)
	// sections are the texts behind the headings of a file, by their rules.
	sections := func(path string) (titles, texts map[string]string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		titles, texts = make(map[string]string), make(map[string]string)
		at := heading.FindAllSubmatchIndex(text, -1)
		for i, m := range at {
			end := len(text)
			if i+1 < len(at) {
				end = at[i+1][0]
			}
			rule := string(text[m[2]:m[3]])
			titles[rule] = string(text[m[4]:m[5]])
			texts[rule] = string(text[m[1]:end])
		}
		return titles, texts
	}
	titles, texts := sections(list)
	broken, where := sections(mutants)
	if len(titles) == 0 {
		t.Fatalf("%s has no rules", list)
	}
	mutant := regexp.MustCompile("`([a-z-]+)`")
	for rule, title := range titles {
		if broken[rule] != title {
			t.Errorf("%s: %q in %s, %q in %s", rule, title, list, broken[rule], mutants)
		}
		named := mutant.FindAllStringSubmatch(texts[rule], -1)
		if len(named) == 0 {
			t.Errorf("%s: no mutant shows what happens without it", rule)
		}
		for _, m := range named {
			if !strings.Contains(where[rule], "\nmutant  "+m[1]+"\n") {
				t.Errorf("%s names the mutant %s, which is not in its section of %s", rule, m[1], mutants)
			}
		}
	}
	for rule := range broken {
		if titles[rule] == "" {
			t.Errorf("%s has a section of %s, and is not in %s", mutants, rule, list)
		}
	}

	cited := regexp.MustCompile(`\b[Rr]ule \d+\b`)
	citations := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && (d.Name() == ".git" || d.Name() == "testdata" || d.Name() == ".tlc") {
				return fs.SkipDir
			}
			return err
		}
		switch filepath.Ext(path) {
		case ".go", ".tla", ".md":
		default:
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, c := range cited.FindAllString(string(text), -1) {
			citations++
			if titles["R"+c[1:]] == "" {
				t.Errorf("%s cites %s, which is not in %s", path, c, list)
			}
		}
		return nil
	})
	if err != nil || citations < 10 {
		t.Errorf("%d citations, %v", citations, err)
	}
}
