// Package tla has values of TLA+: what TLC prints of a state, and what Go makes of one.
package tla

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Value is a value. Names of a record are in order, and so are the members of a set,
// so that equal values have one text.
type Value struct {
	atom  string   // of a string (in quotes), a number or a boolean
	open  string   // "[" a record, "<<" a tuple, "{" a set, "" an atom
	Names []string // of a record
	Items []Value  // of what is no atom
}

func Text(s string) Value    { return Value{atom: strconv.Quote(s)} }
func Number(n int) Value     { return Value{atom: strconv.Itoa(n)} }
func Tuple(v ...Value) Value { return Value{open: "<<", Items: v} }

func Truth(b bool) Value { return Value{atom: strings.ToUpper(strconv.FormatBool(b))} }

func Set(v ...Value) Value {
	slices.SortFunc(v, func(a, b Value) int { return strings.Compare(a.String(), b.String()) })
	return Value{open: "{", Items: v}
}

// Record is made of names and values in turn.
func Record(pairs ...any) Value {
	r := Value{open: "["}
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i].(string)
		k, _ := slices.BinarySearch(r.Names, name)
		r.Names = slices.Insert(r.Names, k, name)
		r.Items = slices.Insert(r.Items, k, pairs[i+1].(Value))
	}
	return r
}

func (v Value) String() string { return string(v.Append(nil)) }

var closing = map[string]string{"[": "]", "<<": ">>", "{": "}"}

// Append appends the value as TLC prints it.
func (v Value) Append(b []byte) []byte {
	if v.open == "" {
		return append(b, v.atom...)
	}
	b = append(b, v.open...)
	for i := range v.Items {
		if i > 0 {
			b = append(b, ", "...)
		}
		if v.open == "[" {
			b = append(append(b, v.Names[i]...), " |-> "...)
		}
		b = v.Items[i].Append(b)
	}
	return append(b, closing[v.open]...)
}

// Differences are the smallest parts in which two values differ, by where they
// are.
func Differences(at string, core, spec Value) []string {
	if core.open == spec.open && core.open != "" && core.open != "{" && slices.Equal(core.Names, spec.Names) && len(core.Items) == len(spec.Items) {
		var all []string
		for i := range core.Items {
			in := fmt.Sprintf("%s[%d]", at, i+1)
			if core.open == "[" {
				in = strings.TrimPrefix(at+"."+core.Names[i], ".")
			}
			all = append(all, Differences(in, core.Items[i], spec.Items[i])...)
		}
		return all
	}
	if c, s := core.String(), spec.String(); c != s {
		return []string{fmt.Sprintf("%s: %s, in the specification %s", at, c, s)}
	}
	return nil
}

// ParseState reads a state as TLC prints it: a conjunction of equations, one for
// each variable. It is a record of the variables.
func ParseState(in string) (Value, error) {
	p := &parser{in: in}
	var pairs []any
	for p.take(`/\`) {
		name := p.word()
		if name == "" || !p.take("=") {
			return Value{}, p.wrong("a variable and =")
		}
		v, err := p.value()
		if err != nil {
			return Value{}, err
		}
		pairs = append(pairs, name, v)
	}
	if p.space(); len(pairs) == 0 || p.in != "" {
		return Value{}, p.wrong(`/\`)
	}
	return Record(pairs...), nil
}

type parser struct{ in string }

func (p *parser) space() { p.in = strings.TrimLeft(p.in, " \n\t") }

func (p *parser) take(s string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.in, s)
	if ok {
		p.in = rest
	}
	return ok
}

// word takes letters, digits and what numbers have.
func (p *parser) word() string {
	p.space()
	n := strings.IndexFunc(p.in, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	if n < 0 {
		n = len(p.in)
	}
	w := p.in[:n]
	p.in = p.in[n:]
	return w
}

func (p *parser) wrong(want string) error {
	return fmt.Errorf("a state that TLC printed: want %s before %.40q", want, p.in)
}

func (p *parser) value() (Value, error) {
	switch {
	case p.take("<<"):
		items, err := p.list(">>")
		return Tuple(items...), err
	case p.take("{"):
		items, err := p.list("}")
		return Set(items...), err
	case p.take("["):
		var pairs []any
		for !p.take("]") {
			if len(pairs) > 0 && !p.take(",") {
				return Value{}, p.wrong(", or ]")
			}
			name := p.word()
			if name == "" || !p.take("|->") {
				return Value{}, p.wrong("a name and |->")
			}
			v, err := p.value()
			if err != nil {
				return Value{}, err
			}
			pairs = append(pairs, name, v)
		}
		return Record(pairs...), nil
	case p.take(`"`):
		s, rest, ok := strings.Cut(p.in, `"`)
		if !ok {
			return Value{}, p.wrong("a quote")
		}
		p.in = rest
		return Text(s), nil
	}
	w := p.word()
	if w == "" {
		return Value{}, p.wrong("a value")
	}
	return Value{atom: w}, nil
}

func (p *parser) list(end string) ([]Value, error) {
	var items []Value
	for !p.take(end) {
		if len(items) > 0 && !p.take(",") {
			return nil, p.wrong(", or " + end)
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
	return items, nil
}
