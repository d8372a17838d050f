package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mome-dsm/mome/spec/tlc"
)

// proofHead is the head of the table of README.md that says what is proven. Its
// rows by TLC are those of the manifest that are expected to be ok: model, counts
// and class.
const proofHead = "| what is proven | by | model | size | states | depth | class |"

// The columns of the table.
const (
	columnBy = iota + 1
	columnModel
	columnSize
	columnStates
	columnDepth
	columnClass
	columns
)

// byTLC is what the table says of a row of the manifest.
const byTLC = "TLC"

// proofTable finds the rows of the table among the lines of README.md.
func proofTable(lines []string) (first, end int, err error) {
	for i, line := range lines {
		if line != proofHead {
			continue
		}
		first = i + 2 // behind the line of dashes
		for end = first; end < len(lines) && strings.HasPrefix(lines[end], "|"); end++ {
		}
		return first, end, nil
	}
	return 0, 0, fmt.Errorf("no table begins with %q", proofHead)
}

// cells are those of a row, trimmed.
func cells(line string) ([]string, error) {
	list := strings.Split(strings.Trim(line, "|"), "|")
	if len(list) != columns {
		return nil, fmt.Errorf("%q has %d cells, not %d", line, len(list), columns)
	}
	for i, c := range list {
		list[i] = strings.TrimSpace(c)
	}
	return list, nil
}

// thousands writes a number as README.md does.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// syncReadme gives README.md with the counts and classes of the manifest, and what
// it says of models that the manifest does not have, or says nothing of.
func (m *Manifest) syncReadme(text string) (synced string, wrong []string, err error) {
	lines := strings.Split(text, "\n")
	first, end, err := proofTable(lines)
	if err != nil {
		return "", nil, err
	}
	seen := make(map[string]bool)
	for i := first; i < end; i++ {
		c, err := cells(lines[i])
		if err != nil {
			return "", nil, err
		}
		if c[columnBy] != byTLC {
			continue
		}
		name := c[columnModel]
		row := m.find(name)
		switch {
		case row == nil || row.Expect != tlc.OK:
			wrong = append(wrong, fmt.Sprintf("%s is no model of manifest.json that is expected to be ok", name))
			continue
		case seen[name]:
			wrong = append(wrong, fmt.Sprintf("%s has two rows", name))
		case row.Distinct == 0:
			wrong = append(wrong, fmt.Sprintf("%s has no counts in manifest.json", name))
		}
		seen[name] = true
		c[columnStates], c[columnDepth], c[columnClass] = thousands(row.Distinct), thousands(row.Depth), row.Class
		lines[i] = "| " + strings.Join(c, " | ") + " |"
	}
	for _, row := range m.Models {
		if row.Expect == tlc.OK && !seen[row.Name] {
			wrong = append(wrong, fmt.Sprintf("%s has no row", row.Name))
		}
	}
	return strings.Join(lines, "\n"), wrong, nil
}

// updateReadme writes the manifest's counts into the README.md of root.
func updateReadme(root string) error {
	m, err := readManifest(root)
	if err != nil {
		return err
	}
	path := filepath.Join(root, "README.md")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	synced, _, err := m.syncReadme(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if synced == string(text) {
		return nil
	}
	return os.WriteFile(path, []byte(synced), 0o644)
}
