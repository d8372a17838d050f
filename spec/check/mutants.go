package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mome-dsm/mome/internal/mutation"
	"github.com/mome-dsm/mome/spec/tlc"
)

// Mutant is one textual change of a module that a model must notice.
type Mutant struct {
	*mutation.Mutant
	Folder  string
	Models  []string
	Nightly []string // further models, in the class nightly only
	Expect  []string
	Alone   []string // properties that fall also where no other is looked at
	Class   string

	only string // the property that is looked at, if it is one alone
}

// readMutants reads the mutants.txt of a folder; a folder without one has none.
func readMutants(root, folder string) ([]*Mutant, error) {
	all, err := mutation.Read(filepath.Join(root, folder), "model", "nightly", "expect", "alone", "class")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []*Mutant
	for _, m := range all {
		one := &Mutant{Mutant: m, Folder: folder, Models: m.Words["model"], Nightly: m.Words["nightly"],
			Expect: m.Words["expect"], Alone: m.Words["alone"], Class: strings.Join(m.Words["class"], " ")}
		if one.Class == "" {
			one.Class = classCI
		}
		if len(one.Models) == 0 || len(one.Expect) == 0 || one.Class != classCI && one.Class != classNightly {
			return nil, fmt.Errorf("%s/%s:%d: mutant %s needs model, expect and, if it has a class, ci or nightly", folder, mutation.Name, m.Line, m.Name)
		}
		list = append(list, one)
	}
	return list, nil
}

// apply changes the mutant's file in dir.
func (m *Mutant) apply(dir string) error {
	texts, err := m.Apply(dir)
	for file, text := range texts {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644))
	}
	return err
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
