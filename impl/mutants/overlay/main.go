// Command overlay puts the mistakes of impl/protocol/mutants.txt into a copy of the
// sources, below bin/_overlay, and prints the path of what go build -overlay reads.
// Each mistake is switched on by protocol.Break.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	path, err := overlay("impl/protocol")
	if err != nil {
		fmt.Fprintln(os.Stderr, "overlay:", err)
		os.Exit(1)
	}
	fmt.Println(path)
}

// change is one text of a mutant.
type change struct{ file, find, replace string }

// mutant is a mistake: the changes that make it, and what it is about.
type mutant struct {
	name, group string
	changes     []change
}

// parse reads the mutants of a package, in their order.
func parse(text string) (list []mutant, err error) {
	var (
		group string
		m     *mutant
		part  *string
	)
	for i, line := range strings.Split(text, "\n") {
		if body, ok := strings.CutPrefix(line, "    "); ok && part != nil {
			*part += body + "\n"
			continue
		}
		words := strings.Fields(line)
		if len(words) == 0 && part != nil {
			*part += "\n"
		}
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		key, arg := words[0], strings.Join(words[1:], " ")
		switch {
		case key == "group" && m == nil:
			group = arg
		case key == "mutant" && m == nil:
			list = append(list, mutant{name: arg, group: group})
			m = &list[len(list)-1]
		case key == "file" && m != nil:
			m.changes, part = append(m.changes, change{file: arg}), nil
		case key == "find" && m != nil && len(m.changes) > 0:
			part = &m.changes[len(m.changes)-1].find
		case key == "replace" && m != nil && len(m.changes) > 0:
			part = &m.changes[len(m.changes)-1].replace
		case key == "end" && m != nil && len(m.changes) > 0:
			m, part = nil, nil
		default:
			return nil, fmt.Errorf("line %d: %q has no place here", i+1, line)
		}
	}
	if m != nil {
		return nil, fmt.Errorf("mutant %s is not closed by end", m.name)
	}
	return list, nil
}

// apply are the sources of dir that the mutants change, with all of them.
func apply(dir string, list []mutant) (map[string]string, error) {
	sources := make(map[string]string)
	for _, m := range list {
		for _, c := range m.changes {
			if _, ok := sources[c.file]; !ok {
				text, err := os.ReadFile(filepath.Join(dir, c.file))
				if err != nil {
					return nil, fmt.Errorf("mutant %s: %w", m.name, err)
				}
				sources[c.file] = string(text)
			}
			if n := strings.Count(sources[c.file], c.find); c.find == "" || n != 1 {
				return nil, fmt.Errorf("mutant %s: its text occurs %d times in %s, it must occur once", m.name, n, filepath.Join(dir, c.file))
			}
			if !strings.Contains(c.replace, "\n") || c.find == c.replace {
				return nil, fmt.Errorf("mutant %s changes nothing in %s", m.name, c.file)
			}
			sources[c.file] = strings.Replace(sources[c.file], c.find, c.replace, 1)
		}
	}
	return sources, nil
}

// switches is the file that names the mistakes and puts one of them in.
func switches(list []mutant) string {
	var b strings.Builder
	b.WriteString("//go:build mutants\n\npackage protocol\n\n// Bug is a mistake of mutants.txt.\ntype Bug uint8\n\nconst (\nnoBug Bug = iota\n")
	for _, m := range list {
		fmt.Fprintf(&b, "bug%s\n", m.name)
	}
	b.WriteString(")\n\nvar bugNames = [...]string{\"none\"")
	for _, m := range list {
		fmt.Fprintf(&b, ", %q", m.name)
	}
	b.WriteString("}\n\nfunc (b Bug) String() string { return name(bugNames[:], uint8(b)) }\n\nvar theBug Bug\n\nfunc broken(b Bug) bool { return b == theBug }\n\n// Break puts one mistake into the core, for every shard and every SyncNode. Break(0) mends it.\nfunc Break(b Bug) { theBug = b }\n")
	b.WriteString("\n// Bugs are the mistakes of a group.\nfunc Bugs(group string) []Bug {\nswitch group {\n")
	var groups []string
	for _, m := range list {
		if !slices.Contains(groups, m.group) {
			groups = append(groups, m.group)
		}
	}
	for _, g := range groups {
		fmt.Fprintf(&b, "case %q:\nreturn []Bug{", g)
		for _, m := range list {
			if m.group == g {
				fmt.Fprintf(&b, "bug%s,", m.name)
			}
		}
		b.WriteString("}\n")
	}
	b.WriteString("}\npanic(\"mutants.txt has no group \" + group)\n}\n")
	return b.String()
}

// overlay writes the sources of dir with their mutants.
func overlay(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "mutants.txt"))
	if err != nil {
		return "", err
	}
	list, err := parse(string(text))
	if err != nil {
		return "", fmt.Errorf("%s: %w", filepath.Join(dir, "mutants.txt"), err)
	}
	sources, err := apply(dir, list)
	if err != nil {
		return "", err
	}
	sources["mutants.go"] = switches(list)
	root, err := filepath.Abs(".")
	if err != nil {
		return "", err
	}
	out := filepath.Join(root, "bin", "_overlay")
	replace := make(map[string]string)
	for file, source := range sources {
		made, err := format.Source([]byte(source))
		if err != nil {
			return "", fmt.Errorf("%s with its mutants: %w", file, err)
		}
		to := filepath.Join(out, dir, file)
		if err := write(to, made); err != nil {
			return "", err
		}
		replace[filepath.Join(root, dir, file)] = to
	}
	text2, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "\t")
	if err != nil {
		return "", err
	}
	path := filepath.Join(out, "overlay.json")
	return path, write(path, text2)
}

// write leaves a file as it is that has the content already: what was built from it
// stays in the cache.
func write(path string, content []byte) error {
	old, err := os.ReadFile(path)
	if err == nil && bytes.Equal(old, content) {
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}
