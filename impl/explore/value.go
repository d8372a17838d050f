package explore

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// value is a TLA+ value: what TLC prints of a state, and what the explorer makes
// of one. Names of a record are in order, and so are the members of a set, so
// that equal values have one text.
type value struct {
	atom  string // of a string (in quotes), a number or a boolean
	open  string // "[" a record, "<<" a tuple, "{" a set, "" an atom
	names []string
	items []value
}

func text(s string) value    { return value{atom: strconv.Quote(s)} }
func number(n int) value     { return value{atom: strconv.Itoa(n)} }
func tuple(v ...value) value { return value{open: "<<", items: v} }

func truth(b bool) value { return value{atom: strings.ToUpper(strconv.FormatBool(b))} }

func set(v ...value) value {
	slices.SortFunc(v, func(a, b value) int { return strings.Compare(a.String(), b.String()) })
	return value{open: "{", items: v}
}

// record is made of names and values in turn.
func record(pairs ...any) value {
	r := value{open: "["}
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i].(string)
		k, _ := slices.BinarySearch(r.names, name)
		r.names = slices.Insert(r.names, k, name)
		r.items = slices.Insert(r.items, k, pairs[i+1].(value))
	}
	return r
}

func (v value) String() string { return string(v.append(nil)) }

var closing = map[string]string{"[": "]", "<<": ">>", "{": "}"}

func (v value) append(b []byte) []byte {
	if v.open == "" {
		return append(b, v.atom...)
	}
	b = append(b, v.open...)
	for i := range v.items {
		if i > 0 {
			b = append(b, ", "...)
		}
		if v.open == "[" {
			b = append(append(b, v.names[i]...), " |-> "...)
		}
		b = v.items[i].append(b)
	}
	return append(b, closing[v.open]...)
}

// differences are the smallest parts in which two values differ, by where they
// are.
func differences(at string, core, spec value) []string {
	if core.open == spec.open && core.open != "" && core.open != "{" && slices.Equal(core.names, spec.names) && len(core.items) == len(spec.items) {
		var all []string
		for i := range core.items {
			in := fmt.Sprintf("%s[%d]", at, i+1)
			if core.open == "[" {
				in = strings.TrimPrefix(at+"."+core.names[i], ".")
			}
			all = append(all, differences(in, core.items[i], spec.items[i])...)
		}
		return all
	}
	if c, s := core.String(), spec.String(); c != s {
		return []string{fmt.Sprintf("%s: %s, in the specification %s", at, c, s)}
	}
	return nil
}

// parseState reads a state as TLC prints it: a conjunction of equations, one for
// each variable. It is a record of the variables.
func parseState(in string) (value, error) {
	p := &parser{in: in}
	var pairs []any
	for p.take(`/\`) {
		name := p.word()
		if name == "" || !p.take("=") {
			return value{}, p.wrong("a variable and =")
		}
		v, err := p.value()
		if err != nil {
			return value{}, err
		}
		pairs = append(pairs, name, v)
	}
	if p.space(); len(pairs) == 0 || p.in != "" {
		return value{}, p.wrong(`/\`)
	}
	return record(pairs...), nil
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

func (p *parser) value() (value, error) {
	switch {
	case p.take("<<"):
		items, err := p.list(">>")
		return tuple(items...), err
	case p.take("{"):
		items, err := p.list("}")
		return set(items...), err
	case p.take("["):
		var pairs []any
		for !p.take("]") {
			if len(pairs) > 0 && !p.take(",") {
				return value{}, p.wrong(", or ]")
			}
			name := p.word()
			if name == "" || !p.take("|->") {
				return value{}, p.wrong("a name and |->")
			}
			v, err := p.value()
			if err != nil {
				return value{}, err
			}
			pairs = append(pairs, name, v)
		}
		return record(pairs...), nil
	case p.take(`"`):
		s, rest, ok := strings.Cut(p.in, `"`)
		if !ok {
			return value{}, p.wrong("a quote")
		}
		p.in = rest
		return text(s), nil
	}
	w := p.word()
	if w == "" {
		return value{}, p.wrong("a value")
	}
	return value{atom: w}, nil
}

func (p *parser) list(end string) ([]value, error) {
	var items []value
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
