package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mome-dsm/mome/spec/tlc"
)

// Mutant is one textual change of a module that a model must notice.
type Mutant struct {
	Name    string
	Folder  string
	File    string
	Models  []string
	Nightly []string // further models, in the class nightly only
	Expect  []string
	Alone   []string // properties that fall also where no other is looked at
	Class   string
	Find    string
	Replace string
	Line    int

	only string // the property that is looked at, if it is one alone
}

// readMutants reads the mutants.txt of a folder; a folder without one has none.
func readMutants(root, folder string) ([]*Mutant, error) {
	path := filepath.Join(root, folder, "mutants.txt")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := parseMutants(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	for _, m := range list {
		m.Folder = folder
	}
	return list, nil
}

// parseMutants reads the format that the package comment describes.
func parseMutants(text string) ([]*Mutant, error) {
	const indent = "    "
	var (
		list []*Mutant
		m    *Mutant
		part string
		got  map[string][]string
	)
	names := make(map[string]bool)
	for i, line := range strings.Split(text, "\n") {
		fail := func(format string, args ...any) error {
			return fmt.Errorf("%d: "+format, append([]any{i + 1}, args...)...)
		}
		if part != "" {
			if body, ok := strings.CutPrefix(line, indent); ok {
				got[part] = append(got[part], body)
				continue
			}
			if strings.TrimSpace(line) == "" {
				got[part] = append(got[part], "")
				continue
			}
		}
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		key, args := words[0], words[1:]
		if key == "mutant" {
			if m != nil {
				return nil, fail("mutant %s is not closed by end", m.Name)
			}
			if len(args) != 1 {
				return nil, fail("mutant takes one name")
			}
			if names[args[0]] {
				return nil, fail("there are two mutants %s", args[0])
			}
			names[args[0]] = true
			m = &Mutant{Name: args[0], Class: classCI, Line: i + 1}
			got = make(map[string][]string)
			continue
		}
		if m == nil {
			return nil, fail("%q stands outside of a mutant", key)
		}
		if part != "" && key != "replace" && key != "end" {
			return nil, fail("mutant %s: a line of %s is not indented by four blanks", m.Name, part)
		}
		switch key {
		case "file":
			if len(args) != 1 {
				return nil, fail("file takes one name")
			}
			m.File = args[0]
		case "model":
			m.Models = append(m.Models, args...)
		case "nightly":
			m.Nightly = append(m.Nightly, args...)
		case "expect":
			m.Expect = append(m.Expect, args...)
		case "alone":
			m.Alone = append(m.Alone, args...)
		case "class":
			if len(args) != 1 || args[0] != classCI && args[0] != classNightly {
				return nil, fail("class is ci or nightly")
			}
			m.Class = args[0]
		case "find", "replace":
			if len(args) != 0 {
				return nil, fail("%s: the text begins on the next line, indented by four blanks", key)
			}
			if _, twice := got[key]; twice {
				return nil, fail("mutant %s has two texts to %s", m.Name, key)
			}
			part = key
			got[part] = nil
		case "end":
			_, replaced := got["replace"]
			if m.File == "" || len(m.Models) == 0 || len(m.Expect) == 0 || !replaced {
				return nil, fail("mutant %s lacks one of file, model, expect, find, replace", m.Name)
			}
			m.Find = joinText(got["find"])
			m.Replace = joinText(got["replace"])
			if m.Find == "" {
				return nil, fail("mutant %s has nothing to find", m.Name)
			}
			if m.Find == m.Replace {
				return nil, fail("mutant %s changes nothing", m.Name)
			}
			list = append(list, m)
			m, part = nil, ""
		default:
			return nil, fail("unknown word %q", key)
		}
	}
	if m != nil {
		return nil, fmt.Errorf("%d: mutant %s is not closed by end", m.Line, m.Name)
	}
	return list, nil
}

// joinText puts the lines of a text together, without blank lines at its end.
func joinText(lines []string) string {
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	return strings.Join(lines, "\n")
}

// apply changes the mutant's file in dir.
func (m *Mutant) apply(dir string) error {
	path := filepath.Join(dir, m.File)
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("mutant %s: %w", m.Name, err)
	}
	if n := strings.Count(string(text), m.Find); n != 1 {
		return fmt.Errorf("mutant %s: its text occurs %d times in %s, it must occur once", m.Name, n, m.File)
	}
	changed := strings.Replace(string(text), m.Find, m.Replace, 1)
	return os.WriteFile(path, []byte(changed), 0o644)
}

// aloneWith is the mutant as one that must break a single property, and a cfg
// that has no other.
func (m *Mutant) aloneWith(property string) *Mutant {
	n := *m
	n.Expect, n.only = []string{property}, property
	return &n
}

// withOnly is a cfg with one property in place of those that it has.
func withOnly(cfg, property string) string {
	var kept []string
	drop := false
	for _, line := range strings.Split(cfg, "\n") {
		if line != "" && line[0] != ' ' {
			drop = strings.HasPrefix(line, "INVARIANT") || strings.HasPrefix(line, "PROPERT")
		}
		if !drop {
			kept = append(kept, line)
		}
	}
	kind := "INVARIANT "
	if strings.HasSuffix(property, "Prop") {
		kind = "PROPERTY "
	}
	return strings.Join(kept, "\n") + "\n" + kind + property + "\n"
}

// killedBy says whether an outcome is one that the mutant had to cause.
func (m *Mutant) killedBy(o tlc.Outcome) bool {
	if o.Result != tlc.Deadlock && o.Result != tlc.Violation {
		return false
	}
	return slices.ContainsFunc(m.Expect, func(name string) bool {
		return name == "any" || o.Is(name)
	})
}
