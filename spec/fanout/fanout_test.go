package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/internal/mutation"
)

// TestMutants compares the mutants with those of spec/strong that a link model
// kills, but for those of the leaf.
func TestMutants(t *testing.T) {
	list, err := mutation.Read("../strong", "model", "nightly", "expect", "alone", "class")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, m := range list {
		contract := m.Changes[0].File == "Link.tla"
		link := regexp.MustCompile(`strong/link-(root|manager)`).MatchString(strings.Join(m.Words["model"], " "))
		if contract || link {
			want = append(want, m.Name)
		}
	}
	var got []string
	for _, m := range mutants {
		got = append(got, m.name)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("mutants %q, in spec/strong/mutants.txt %q", got, want)
	}
}

// TestMutantsChange has every mutant change the terms: one that no term looks at
// would not be one.
func TestMutantsChange(t *testing.T) {
	text := func(root bool, m *mutant) string {
		bound = 0
		p := newProof(root, m)
		var b strings.Builder
		for _, x := range p.moves {
			x.may.write(&b)
			for _, g := range p.goals(x) {
				g.is.write(&b)
			}
		}
		return b.String()
	}
	defer func() { active = nil }()
	plain := map[bool]string{false: text(false, nil), true: text(true, nil)}
	for i := range mutants {
		if m := &mutants[i]; text(m.root, m) == plain[m.root] {
			t.Errorf("mutant %s changes nothing", m.name)
		}
	}
}
