package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestMutants compares the mutants with those of spec/strong that a link model
// kills, but for those of the leaf.
func TestMutants(t *testing.T) {
	text, err := os.ReadFile("../strong/mutants.txt")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, block := range strings.Split(string(text), "\nend\n") {
		name := regexp.MustCompile(`(?m)^mutant\s+(\S+)$`).FindStringSubmatch(block)
		models := regexp.MustCompile(`(?m)^model\s+(.*)$`).FindStringSubmatch(block)
		if name == nil || models == nil {
			continue
		}
		contract := strings.Contains(block, "file    Link.tla")
		link := regexp.MustCompile(`strong/link-(root|manager)`).MatchString(models[1])
		if contract || link {
			want = append(want, name[1])
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
