package main

import (
	"fmt"
	"sort"
	"strings"
)

// proof is what is shown of one shape: of a root, or of a manager between.
type proof struct {
	s      *State
	moves  []*Move
	lemmas []Lemma
}

// newProof is the proof about a shape, with a mutant or without one.
func newProof(root bool, m *mutant) *proof {
	active = m
	s := symbolic(root)
	c := app(Kid, "c")
	p := &proof{s: s, lemmas: s.lemmas()}
	manager := s.managerMoves(c)
	sides := append(s.kidMoves(c, app(Word, "chosenOp"), app(Leaf, "chosenLeaf"), app(Word, "chosenHave"), app(Bool, "chosenZero")),
		s.parentMoves(app(Word, "chosenKeep"), app(Word, "chosenDst"), app(Leaf, "chosenLeaf"), app(Word, "chosenSource"), app(Bool, "chosenZero"))...)
	if m != nil && strings.HasPrefix(m.name, "contract-") {
		p.moves = append(sides, manager...) // it is found sooner
	} else {
		p.moves = append(manager, sides...)
	}
	return p
}

// goals are what a move has to show: that it is written down rightly, that it is a
// step of the contract at every link but that of its mover, and that each lemma
// holds behind it.
func (p *proof) goals(m *Move) []Lemma {
	var list []Lemma
	for _, n := range m.needs {
		list = append(list, Lemma(n))
	}
	list = append(list, Lemma{"a step of the parent's side at each child's link", forall(Kid, func(k *Term) *Term {
		is := p.s.kidLink(k).parentStep(m.after.kidLink(k), m.leaf)
		if m.mover != nil {
			is = implies(differ(k, m.mover), is)
		}
		return is
	})})
	if !p.s.root && m.by != "parent" {
		list = append(list, Lemma{"a step of the child's side at the parent's link", p.s.upLink().childStep(m.after.upLink(), m.leaf)})
	}
	return append(list, m.after.lemmas()...)
}

// hypotheses are what may be taken for granted before a move.
func (p *proof) hypotheses() []*Term {
	list := []*Term{p.s.leaves()}
	for _, l := range p.lemmas {
		list = append(list, l.is)
	}
	return list
}

// prove says what cannot be shown, as "move: goal". With first it is content with
// one thing.
func (p *proof) prove(path string, first bool) ([]string, error) {
	var failed []string
	begin := []*Term{p.s.leaves(), p.s.initial()}
	bad, err := refute(path, begin, p.lemmas, first)
	if err != nil {
		return nil, err
	}
	for _, g := range bad {
		failed = append(failed, "the beginning: "+g)
	}
	for _, m := range p.moves {
		if len(failed) > 0 && first {
			break
		}
		bad, err := refute(path, append(p.hypotheses(), m.may), p.goals(m), first)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		for _, g := range bad {
			failed = append(failed, m.name+": "+g)
		}
	}
	return failed, nil
}

// possible says which moves the hypotheses permit at all: if they contradicted each
// other, everything could be shown.
func (p *proof) possible(path string) (never []string, err error) {
	for _, m := range p.moves {
		bad, err := refute(path, append(p.hypotheses(), m.may), []Lemma{{"", False}}, true)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		if len(bad) == 0 {
			never = append(never, m.name)
		}
	}
	return never, nil
}

// refute gives the goals that do not follow. What the solver does not know does not
// follow.
func refute(path string, given []*Term, goals []Lemma, first bool) (bad []string, err error) {
	all := append([]*Term{}, given...)
	for _, g := range goals {
		all = append(all, g.is)
	}
	z, err := newSolver(path, declarations(all...))
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := z.close(); err == nil {
			err = e
		}
	}()
	for _, t := range given {
		z.assert(t)
	}
	for _, g := range goals {
		z.say("(push)")
		z.assert(not(g.is))
		r, err := z.check()
		if err != nil {
			return nil, err
		}
		switch r {
		case "unsat":
		case "sat", "unknown":
			bad = append(bad, g.name)
			if first {
				return bad, nil
			}
		default:
			return nil, fmt.Errorf("z3 says %q", r)
		}
		z.say("(pop)")
	}
	return bad, nil
}

// declarations are those of all functions and constants of some terms.
func declarations(ts ...*Term) []string {
	all := make(map[string]*Term)
	for _, t := range ts {
		t.symbols(all)
	}
	var list []string
	for name, t := range all {
		var args []string
		for _, a := range t.args {
			args = append(args, smtSort(a.sort))
		}
		list = append(list, fmt.Sprintf("(declare-fun %s (%s) %s)", name, strings.Join(args, " "), smtSort(t.sort)))
	}
	sort.Strings(list)
	return list
}
