package explore

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/mome-dsm/mome/impl/sim"
)

// Result is what was found in a model.
type Result struct {
	// States and Depth are the spec's: what leaves have taken in and keep counts
	// as still under way. Transitions are its actions from each state; TLC counts
	// the initial state as one more.
	States, Transitions, Depth int64
	Concrete                   int64 // states that tell apart what leaves have taken in
	Steps                      int64 // of cores
}

// Failure is a property that does not hold in a model.
type Failure struct {
	Model    string
	Property string
	Text     string
	Path     []string // the actions from the initial state on
}

func (f *Failure) Error() string {
	return fmt.Sprintf("%s: %s after %d actions: %s; run: go run ./impl/explore/check -only '^%s$'", f.Model, f.Property, len(f.Path), f.Text, f.Model)
}

// Report is the failure with its path, an action a line.
func (f *Failure) Report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", f.Model, f.Property)
	for i, a := range f.Path {
		fmt.Fprintf(&b, "%4d  %s\n", i+1, a)
	}
	for line := range strings.Lines(f.Text) {
		fmt.Fprintf(&b, "      %s", line)
	}
	return strings.TrimSuffix(b.String(), "\n") + "\n"
}

// Run explores a model and compares what it counts with what TLC counted. The
// error is a *Failure.
func Run(m *Model) (*Result, error) {
	e := newExplorer(m)
	if f := e.run(nil); f != nil {
		return e.result(), f
	}
	r := e.result()
	for _, c := range []struct {
		what      string
		core, tlc int64
	}{
		{"states", r.States, m.Distinct}, {"transitions", r.Transitions + 1, m.Generated}, {"depth", r.Depth, m.Depth},
	} {
		if c.core != c.tlc {
			return r, &Failure{Model: m.Name, Property: "SameCounts", Text: fmt.Sprintf("%s: the core has %d, TLC found %d", c.what, c.core, c.tlc)}
		}
	}
	return r, nil
}

// successor is where an action leads: to a state as the spec sees it.
type successor struct {
	act   Action
	image []byte
}

// node is a state of the spec that was reached, and how.
type node struct {
	parent int32
	act    Action
}

type key [16]byte

// explorer goes through the states of a model, breadth first: its memory is a
// hash, a parent and an action for each, and the encodings of two levels.
type explorer struct {
	*machine
	model       *Model
	seen        map[key]int32
	nodes       []node
	level, next []pending
	depth       int64
	transitions int64
	concrete    int64
	kept        map[key]bool // concrete states that were late
	late        [][]byte     // those that were not expanded yet

	found  found
	from   state // where a move begins
	at     state // where it leads
	out    []byte
	places *strings.Replacer
}

type pending struct {
	id  int32
	enc []byte
}

func newExplorer(m *Model) *explorer {
	e := &explorer{machine: newMachine(m), model: m, seen: make(map[key]int32), kept: make(map[key]bool)}
	e.from, e.at = *newState(e.layout), *newState(e.layout)
	var names [][2]string
	for i, at := range e.Places {
		names = append(names, [2]string{at.String(), e.names[i]})
	}
	// leaf@12 before leaf@1
	slices.SortFunc(names, func(a, b [2]string) int { return strings.Compare(b[0], a[0]) })
	var pairs []string
	for _, n := range names {
		pairs = append(pairs, n[0], n[1])
	}
	e.places = strings.NewReplacer(pairs...)
	return e
}

func (e *explorer) result() *Result {
	return &Result{States: int64(len(e.nodes)), Transitions: e.transitions, Depth: e.depth, Concrete: e.concrete, Steps: e.steps}
}

// run explores. Where each is not nil, it judges every state that was expanded,
// in the order of the search, before anything is demanded of where it leads.
func (e *explorer) run(each func(id int32, enc []byte, to []successor) *violation) *Failure {
	first := newState(e.layout).encode(nil)
	if f := e.reach(-1, successor{image: first[:len(first)-e.Leaves]}); f != nil {
		return f
	}
	for len(e.next) > 0 {
		e.level, e.next = e.next, e.level[:0]
		e.depth++
		for _, p := range e.level {
			to, v := e.expand(p.enc, nil)
			if v != nil {
				return e.fail(p.id, v)
			}
			e.transitions += int64(len(to))
			if each != nil {
				if v := each(p.id, p.enc, to); v != nil {
					return e.fail(p.id, v)
				}
			}
			for _, s := range to {
				if f := e.reach(p.id, s); f != nil {
					return f
				}
			}
		}
	}
	for len(e.late) > 0 {
		enc := e.late[len(e.late)-1]
		e.late = e.late[:len(e.late)-1]
		if _, v := e.expand(e.nothingKept(enc), enc); v != nil {
			return e.fail(e.seen[hash(enc[:len(enc)-e.Leaves])], v)
		}
	}
	return nil
}

func hash(image []byte) key {
	h := sha256.Sum256(image)
	return key(h[:16])
}

// reach notes a state, and checks the invariants where it is new.
func (e *explorer) reach(from int32, s successor) *Failure {
	h := hash(s.image)
	if _, ok := e.seen[h]; ok {
		return nil
	}
	id := int32(len(e.nodes))
	e.seen[h] = id
	e.nodes = append(e.nodes, node{from, s.act})
	enc := make([]byte, len(s.image)+e.Leaves)
	copy(enc, s.image)
	e.next = append(e.next, pending{id, enc})
	e.at.decode(enc)
	snap := e.snapshot(&e.at)
	for _, inv := range sim.Invariants {
		if why := inv.Of(snap); why != "" {
			return e.fail(id, &violation{inv.Name, why})
		}
	}
	if int64(len(e.nodes)) > e.model.Distinct {
		return e.fail(id, violated("SameCounts", "the core has more states than the %d that TLC found", e.model.Distinct))
	}
	return nil
}

// expand is where the actions lead from a state of the spec. It tries every
// move in every concrete state that comes of the first by deliveries to leaves
// that keep what they cannot answer yet: the spec sees no difference. Each action
// must be possible from all of them, if need be after such deliveries, and lead
// to the same state of the spec.
//
// late, where it is not nil, is one more concrete state that the spec sees as
// the same: the same actions must be possible there.
func (e *explorer) expand(enc, late []byte) ([]successor, *violation) {
	image := enc[:len(enc)-e.Leaves]
	var to []successor
	type both struct {
		first, second Action
		image         []byte
		in            int
	}
	var twice []both
	variants, known := [][]byte{enc}, -1
	e.found.reset()
	for i := 0; ; i++ {
		if i == len(variants) {
			if late == nil || known >= 0 {
				break
			}
			variants, known = append(variants, late), len(to)
		}
		if late == nil || known >= 0 {
			e.concrete++
		}
		if known >= 0 {
			e.kept[hash(variants[i])] = true
		}
		e.found.begin()
		e.from.decode(variants[i])
		for _, mv := range e.moves(&e.from) {
			e.at.copy(&e.from)
			acts, v := e.apply(&e.at, mv)
			if v != nil {
				v.text = e.describe(variants[i], mv) + ": " + v.text
				return nil, v
			}
			e.out = e.at.encode(e.out[:0])
			out := e.out[:len(e.out)-e.Leaves]
			switch len(acts) {
			case 0:
				if !bytes.Equal(out, image) {
					return nil, violated("StutterInv", "%s is no action, and changes the state", e.describe(variants[i], mv))
				}
				k := slices.IndexFunc(variants, func(c []byte) bool { return bytes.Equal(c, e.out) })
				if k < 0 {
					k = len(variants)
					variants = append(variants, bytes.Clone(e.out))
				}
				e.found.passes(k)
				continue
			case 1:
				k := slices.IndexFunc(to, func(s successor) bool { return s.act == acts[0] })
				if k < 0 {
					k = len(to)
					to = append(to, successor{acts[0], bytes.Clone(out)})
				} else if !bytes.Equal(to[k].image, out) {
					return nil, violated("OneOutcomeInv", "%s has two outcomes for the spec", e.describe(variants[i], mv))
				}
				e.found.takes(k, i)
			case 2:
				// The Data that a Grant waited for: the spec takes two steps.
				twice = append(twice, both{acts[0], acts[1], bytes.Clone(out), i})
			default:
				return nil, violated("OneOutcomeInv", "%s takes %d actions", e.describe(variants[i], mv), len(acts))
			}
			if known >= 0 && len(to) > known {
				return nil, violated("OneOutcomeInv", "%s is possible only because of what leaves keep", e.describe(variants[i], mv))
			}
			e.keep(bytes.Clone(e.out))
		}
	}
	for _, b := range twice {
		k := slices.IndexFunc(to, func(s successor) bool { return s.act == b.first })
		if k < 0 {
			return nil, violated("OneOutcomeInv", "%s is possible only with another action", e.label(b.first))
		}
		e.found.takes(k, b.in)
		if !e.leads(to[k].image, b.second, b.image) {
			return nil, violated("OneOutcomeInv", "%s and then %s is not the same as both at once", e.label(b.first), e.label(b.second))
		}
	}
	e.found.close()
	for k, s := range to {
		if i := e.found.lacks(k); i >= 0 {
			return nil, violated("EveryVariantInv", "%s is not possible%s", e.label(s.act), e.keeping(variants[i]))
		}
	}
	return to, nil
}

// variants is a set of concrete states of one state of the spec, by their numbers.
// Each of at most four leaves keeps none, one or two messages.
type variants [2]uint64

func (v *variants) add(i int) { v[i/64] |= 1 << (i % 64) }

func (v *variants) has(i int) bool { return v[i/64]&(1<<(i%64)) != 0 }

func (v *variants) meets(w *variants) bool { return v[0]&w[0] != 0 || v[1]&w[1] != 0 }

func (v *variants) join(w *variants) bool {
	before := *v
	v[0], v[1] = v[0]|w[0], v[1]|w[1]
	return *v != before
}

// found is what is possible in each concrete state of one state of the spec.
type found struct {
	in    []variants // by successor: where its action is possible
	leads []variants // by state: itself, and where deliveries lead that are no actions
}

func (f *found) reset() { f.in, f.leads = f.in[:0], f.leads[:0] }

// begin goes on to the next state.
func (f *found) begin() {
	f.leads = append(f.leads, variants{})
	f.passes(len(f.leads) - 1)
}

func (f *found) passes(to int) { f.leads[len(f.leads)-1].add(to) }

// takes says that the action of a successor is possible in a state.
func (f *found) takes(successor, state int) {
	for len(f.in) <= successor {
		f.in = append(f.in, variants{})
	}
	f.in[successor].add(state)
}

// close extends leads to all further deliveries.
func (f *found) close() {
	for again := true; again; {
		again = false
		for i := range f.leads {
			for k := range f.leads {
				if f.leads[i].has(k) && f.leads[i].join(&f.leads[k]) {
					again = true
				}
			}
		}
	}
}

// lacks is a state in which the action of a successor is not possible, nor in any
// that deliveries lead to from there; -1: none.
func (f *found) lacks(successor int) int {
	for i := range f.leads {
		if !f.leads[i].meets(&f.in[successor]) {
			return i
		}
	}
	return -1
}

// keep notes a state in which leaves keep messages, unless expand comes to it
// from the state in which they have kept none: by the same deliveries.
func (e *explorer) keep(enc []byte) {
	taken := bytes.Clone(enc[len(enc)-e.Leaves:])
	if !slices.ContainsFunc(taken, func(k byte) bool { return k > 0 }) {
		return
	}
	h := hash(enc)
	if e.kept[h] {
		return
	}
	e.at.decode(e.nothingKept(enc))
	for i, k := range taken {
		for range k {
			if acts, v := e.apply(&e.at, move{cause: byDown, at: i}); v != nil || len(acts) > 0 {
				e.kept[h] = true
				e.late = append(e.late, enc)
				return
			}
		}
	}
}

// nothingKept is the same state of the spec where no leaf has taken in anything.
func (e *explorer) nothingKept(enc []byte) []byte {
	enc = bytes.Clone(enc)
	clear(enc[len(enc)-e.Leaves:])
	return enc
}

// leads says whether an action leads from one state of the spec to another.
func (e *explorer) leads(from []byte, a Action, to []byte) bool {
	enc := append(bytes.Clone(from), make([]byte, e.Leaves)...)
	e.from.decode(enc)
	for _, mv := range slices.Clone(e.moves(&e.from)) {
		e.at.copy(&e.from)
		acts, v := e.apply(&e.at, mv)
		if v == nil && len(acts) == 1 && acts[0] == a {
			got := e.at.encode(nil)
			return bytes.Equal(got[:len(got)-e.Leaves], to)
		}
	}
	return false
}

// label is an action in the spec's words.
func (e *explorer) label(a Action) string {
	switch {
	case a.With < 0:
		return fmt.Sprintf("%s(%s)", a.Name, e.names[a.At])
	case a.Name == "Store":
		return fmt.Sprintf("%s(%s, %d)", a.Name, e.names[a.At], a.With)
	}
	return fmt.Sprintf("%s(%s, %s)", a.Name, e.names[a.At], e.names[a.With])
}

// describe is a move, and what the leaves keep before it.
func (e *explorer) describe(enc []byte, mv move) string {
	s := newState(e.layout)
	s.decode(enc)
	var b strings.Builder
	switch mv.cause {
	case byInput:
		fmt.Fprintf(&b, "%v at %s", mv.input, e.names[mv.at])
	case byUp:
		fmt.Fprintf(&b, "%v from %s", s.up[mv.at][0].kind, e.names[mv.at])
	case byDown:
		fmt.Fprintf(&b, "%v to %s", s.down[mv.at][e.first(s, mv.at)].kind, e.names[mv.at])
	case byData:
		fmt.Fprintf(&b, "Data to %s", e.names[s.data[mv.at].to])
	}
	return b.String() + e.keeping(enc)
}

// keeping is what the leaves keep in a concrete state.
func (e *explorer) keeping(enc []byte) string {
	s := newState(e.layout)
	s.decode(enc)
	var b strings.Builder
	for i, k := range s.taken {
		for _, m := range s.down[i][:k] {
			fmt.Fprintf(&b, ", while %s keeps a %v", e.names[i], m.kind)
		}
	}
	return b.String()
}

func (e *explorer) path(id int32) []string {
	var path []string
	for ; e.nodes[id].parent >= 0; id = e.nodes[id].parent {
		path = append(path, e.label(e.nodes[id].act))
	}
	slices.Reverse(path)
	return path
}

func (e *explorer) fail(id int32, v *violation) *Failure {
	return &Failure{Model: e.model.Name, Property: v.property, Text: e.places.Replace(v.text), Path: e.path(id)}
}
