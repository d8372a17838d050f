package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mome-dsm/mome/spec/tlc"
)

// Model is one row of the manifest: one run of TLC and what must come of it.
type Model struct {
	Name      string   `json:"name"`
	Folder    string   `json:"folder"`
	Module    string   `json:"module,omitempty"`
	Cfg       string   `json:"cfg"`
	Class     string   `json:"class"`
	Expect    string   `json:"expect"`
	Invariant string   `json:"invariant,omitempty"`
	Property  string   `json:"property,omitempty"`
	Deadlock  bool     `json:"deadlock,omitempty"`
	Args      []string `json:"args,omitempty"`
	Distinct  int64    `json:"distinct,omitempty"`
	Generated int64    `json:"generated,omitempty"`
	Depth     int64    `json:"depth,omitempty"`
}

// Manifest lists all the models of all folders.
type Manifest struct {
	Models []*Model `json:"models"`
}

const (
	classCI      = "ci"
	classNightly = "nightly"
)

// readManifest reads and checks the manifest of the specifications in root.
func readManifest(root string) (*Manifest, error) {
	path := filepath.Join(root, "manifest.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func parseManifest(text []byte) (*Manifest, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	m := new(Manifest)
	if err := d.Decode(m); err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	for _, row := range m.Models {
		if row.Name == "" || row.Folder == "" || row.Cfg == "" {
			return nil, fmt.Errorf("row %q: name, folder and cfg are needed", row.Name)
		}
		if seen[row.Name] {
			return nil, fmt.Errorf("row %q: there are two of this name", row.Name)
		}
		seen[row.Name] = true
		if row.Class != classCI && row.Class != classNightly {
			return nil, fmt.Errorf("row %q: class %q is neither ci nor nightly", row.Name, row.Class)
		}
		if err := checkExpect(row.Expect); err != nil {
			return nil, fmt.Errorf("row %q: %w", row.Name, err)
		}
		if row.Module == "" {
			row.Module = moduleOfCfg(row.Cfg)
		}
	}
	return m, nil
}

func checkExpect(expect string) error {
	name, violation := strings.CutPrefix(expect, "violation:")
	if expect == tlc.OK || expect == tlc.Deadlock || violation && name != "" {
		return nil
	}
	return fmt.Errorf("expect %q is none of ok, deadlock, violation:NAME", expect)
}

// moduleOfCfg gives the module that a cfg without a named one belongs to:
// MCX_small.cfg and MCX.cfg belong to MCX.
func moduleOfCfg(cfg string) string {
	base := strings.TrimSuffix(filepath.Base(cfg), ".cfg")
	name, _, _ := strings.Cut(base, "_")
	return name
}

// format writes the manifest with one row a line, so that changes read well
// and merge.
func (m *Manifest) format() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("{\"models\": [\n")
	for i, row := range m.Models {
		r := *row
		if r.Module == moduleOfCfg(r.Cfg) {
			r.Module = ""
		}
		var line bytes.Buffer
		e := json.NewEncoder(&line)
		e.SetEscapeHTML(false)
		if err := e.Encode(&r); err != nil {
			return nil, err
		}
		b.Write(bytes.TrimSpace(line.Bytes()))
		if i < len(m.Models)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("]}\n")
	return b.Bytes(), nil
}

// updateManifest records the counts of the given models in the manifest of
// root. Rows that others changed in the meantime stay as they are.
func updateManifest(root string, counts map[string]tlc.Outcome) error {
	m, err := readManifest(root)
	if err != nil {
		return err
	}
	for _, row := range m.Models {
		if o, ok := counts[row.Name]; ok {
			row.Distinct, row.Generated, row.Depth = o.Distinct, o.Generated, o.Depth
		}
	}
	text, err := m.format()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, "manifest.json"), text, 0o644)
}

func (m *Manifest) find(name string) *Model {
	for _, row := range m.Models {
		if row.Name == name {
			return row
		}
	}
	return nil
}

// unlisted gives the configurations below root that no row names.
func (m *Manifest) unlisted(root string) ([]string, error) {
	listed := make(map[string]bool)
	for _, row := range m.Models {
		listed[filepath.Join(row.Folder, row.Cfg)] = true
	}
	found, err := filepath.Glob(filepath.Join(root, "*", "MC*.cfg"))
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, path := range found {
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return nil, err
		}
		if !listed[rel] {
			missing = append(missing, rel)
		}
	}
	return missing, nil
}

// findRoot looks for the folder spec from the working directory upwards.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		for _, d := range []string{filepath.Join(dir, "spec"), dir} {
			if _, err := os.Stat(filepath.Join(d, "manifest.json")); err == nil {
				return d, nil
			}
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no spec/manifest.json here or above: run this inside the repository")
		}
		dir = up
	}
}

// meets says whether an outcome is what a row of the manifest expects.
func meets(o tlc.Outcome, expect string) bool {
	if name, ok := strings.CutPrefix(expect, "violation:"); ok {
		return o.Result == tlc.Violation && o.Is(name)
	}
	return o.Result == expect
}
