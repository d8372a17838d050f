package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const mutantsFile = "mutants.txt"

// mutant is a mistake: the changes that make it, and what it is about.
type mutant struct {
	name, group string
	changes     []change
}

// change is one text of a mutant.
type change struct{ file, find, replace string }

// readMutants reads the mutants of a package, in their order.
func readMutants(dir string) ([]mutant, error) {
	path := filepath.Join(dir, mutantsFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	list, err := parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return list, nil
}

// parse reads the format that the package comment describes.
func parse(text string) (list []mutant, err error) {
	var (
		group string
		m     *mutant
		c     *change
		part  *string // find or replace, which the next lines are of
	)
	names := make(map[string]bool)
	for i, line := range strings.Split(text, "\n") {
		if part != nil {
			if body, ok := strings.CutPrefix(line, "    "); ok {
				*part += body + "\n"
				continue
			}
			if strings.TrimSpace(line) == "" {
				*part += "\n"
				continue
			}
		}
		key, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
		whole := c != nil && c.find != "" && part == &c.replace // the change has all that it needs
		switch {
		case m == nil && (key == "" || line[0] == '#'):
		case key == "group" && m == nil && arg != "":
			group = arg
		case key == "mutant" && m == nil && arg != "" && !names[arg]:
			names[arg] = true
			list = append(list, mutant{name: arg, group: group})
			m = &list[len(list)-1]
		case key == "file" && m != nil && arg != "" && (c == nil || whole):
			m.changes, part = append(m.changes, change{file: arg}), nil
			c = &m.changes[len(m.changes)-1]
		case key == "find" && c != nil && part == nil:
			part = &c.find
		case key == "replace" && c != nil && part == &c.find:
			part = &c.replace
		case key == "end" && whole:
			m, c, part = nil, nil, nil
		default:
			return nil, fmt.Errorf("%d: %q has no place here", i+1, line)
		}
	}
	if m != nil {
		return nil, errors.New(" mutant " + m.name + " is not closed by end")
	}
	return list, nil
}

// trim is a text without empty lines at its end, which separate it from what follows.
func trim(text string) string {
	if text = strings.TrimRight(text, "\n"); text != "" {
		text += "\n"
	}
	return text
}

// apply are the texts of the files that the mutant changes, as it has them.
func (m *mutant) apply(dir string) (map[string]string, error) {
	texts := make(map[string]string)
	for _, c := range m.changes {
		text, ok := texts[c.file]
		if !ok {
			read, err := os.ReadFile(filepath.Join(dir, c.file))
			if err != nil {
				return nil, err
			}
			text = string(read)
		}
		find, replace := trim(c.find), trim(c.replace)
		if n := strings.Count("\n"+text, "\n"+find); n != 1 {
			return nil, fmt.Errorf("its text occurs %d times in %s, it must occur once", n, c.file)
		}
		if find == replace {
			return nil, fmt.Errorf("it changes nothing in %s", c.file)
		}
		texts[c.file] = strings.TrimPrefix(strings.Replace("\n"+text, "\n"+find, "\n"+replace, 1), "\n")
	}
	return texts, nil
}
