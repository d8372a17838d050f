// Package mutation reads mutants, deliberate mistakes, and applies them. Each is a
// change of texts, in a file mutants.txt beside them, with a block for each:
//
//	# A comment.
//	group leaves
//
//	mutant SkipUnmark
//	file manager.go
//	find
//	    	if row.most == None {
//	replace
//	    	if false {
//	end
//
// A block says what to find in a file, lines indented by four blanks, which must occur
// once, and what to put in their place, which may be nothing. A block with several
// changes has further lines "file". Who reads the file may know more words, each with
// what stands behind it. A line "group NAME" between blocks says what the mutants below
// it are about.
package mutation

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Name is that of a file with mutants.
const Name = "mutants.txt"

// Mutant is a mistake: the changes that make it, and what is said of it.
type Mutant struct {
	Name, Group string
	Line        int                 // of the file
	Words       map[string][]string // behind each further word, of all its lines
	Changes     []Change
}

// Change is one text of a mutant.
type Change struct{ File, Find, Replace string }

// Read reads the mutants of a folder, in their order; words are those that a block may
// have beside its changes.
func Read(dir string, words ...string) ([]*Mutant, error) {
	path := filepath.Join(dir, Name)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	list, err := parse(string(text), words)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return list, nil
}

// parse reads the format that the package comment describes.
func parse(text string, words []string) (list []*Mutant, err error) {
	var (
		group string
		m     *Mutant
		c     *Change
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
		arg = strings.TrimSpace(arg)
		whole := c != nil && strings.Trim(c.Find, "\n") != "" && part == &c.Replace // the change has all that it needs
		switch {
		case m == nil && (key == "" || line[0] == '#'):
		case key == "group" && m == nil && arg != "":
			group = arg
		case key == "mutant" && m == nil && arg != "" && !names[arg]:
			names[arg] = true
			m = &Mutant{Name: arg, Group: group, Line: i + 1, Words: make(map[string][]string)}
			list = append(list, m)
		case m != nil && part == nil && arg != "" && slices.Contains(words, key):
			m.Words[key] = append(m.Words[key], strings.Fields(arg)...)
		case key == "file" && m != nil && arg != "" && (c == nil || whole):
			m.Changes, part = append(m.Changes, Change{File: arg}), nil
			c = &m.Changes[len(m.Changes)-1]
		case key == "find" && c != nil && part == nil:
			part = &c.Find
		case key == "replace" && c != nil && part == &c.Find:
			part = &c.Replace
		case key == "end" && whole:
			m, c, part = nil, nil, nil
		default:
			return nil, fmt.Errorf("%d: %q has no place here", i+1, line)
		}
	}
	if m != nil {
		return nil, fmt.Errorf("%d: mutant %s is not closed by end", m.Line, m.Name)
	}
	return list, nil
}

// Apply are the texts of the files of a folder that the mutant changes, as it has them.
func (m *Mutant) Apply(dir string) (map[string]string, error) {
	texts := make(map[string]string)
	for _, c := range m.Changes {
		text, ok := texts[c.File]
		if !ok {
			read, err := os.ReadFile(filepath.Join(dir, c.File))
			if err != nil {
				return nil, fmt.Errorf("mutant %s: %w", m.Name, err)
			}
			text = string(read)
		}
		// Empty lines at the end separate a text from what follows.
		find, replace := strings.TrimRight(c.Find, "\n"), strings.TrimRight(c.Replace, "\n")
		if n := strings.Count(text, find); n != 1 {
			return nil, fmt.Errorf("mutant %s: its text occurs %d times in %s, it must occur once", m.Name, n, c.File)
		}
		if find == replace {
			return nil, fmt.Errorf("mutant %s changes nothing in %s", m.Name, c.File)
		}
		texts[c.File] = strings.Replace(text, find, replace, 1)
	}
	return texts, nil
}
