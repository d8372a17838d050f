package main

import (
	"fmt"
	"strings"
)

// Sort is the sort of a term.
type Sort string

const (
	Bool Sort = "Bool"
	Word Sort = "Word" // rights, operations, sources, destinations: small numbers
	Kid  Sort = "Kid"  // children, any number of them
	Leaf Sort = "Leaf" // leaves, and the home; any number of them
)

// Term is a formula or what it is about. Terms are made by the functions below,
// which simplify where that is easy, and do not change.
type Term struct {
	op    string // "true", "false", "word", "var", "app", "and", "or", "not", "=", "<=", "ite", "forall", "exists"
	sort  Sort
	name  string // of a variable or a function
	value int    // of a word
	args  []*Term
}

var (
	True  = &Term{op: "true", sort: Bool}
	False = &Term{op: "false", sort: Bool}
)

func word(n int) *Term { return &Term{op: "word", sort: Word, value: n} }

func boolean(b bool) *Term {
	if b {
		return True
	}
	return False
}

// app is a function of the state, or a constant, at arguments.
func app(sort Sort, name string, args ...*Term) *Term {
	return &Term{op: "app", sort: sort, name: name, args: args}
}

func not(t *Term) *Term {
	switch t.op {
	case "true":
		return False
	case "false":
		return True
	case "not":
		return t.args[0]
	}
	return &Term{op: "not", sort: Bool, args: []*Term{t}}
}

func and(ts ...*Term) *Term { return junction("and", True, False, ts) }
func or(ts ...*Term) *Term  { return junction("or", False, True, ts) }

func junction(op string, unit, zero *Term, ts []*Term) *Term {
	var list []*Term
	for _, t := range ts {
		switch {
		case t == unit:
		case t == zero:
			return zero
		case t.op == op:
			list = append(list, t.args...)
		default:
			list = append(list, t)
		}
	}
	switch len(list) {
	case 0:
		return unit
	case 1:
		return list[0]
	}
	return &Term{op: op, sort: Bool, args: list}
}

func implies(a, b *Term) *Term { return or(not(a), b) }

func eq(a, b *Term) *Term {
	switch {
	case same(a, b):
		return True
	case a.op == "word" && b.op == "word":
		return boolean(a.value == b.value)
	case a == True:
		return b
	case b == True:
		return a
	case a == False:
		return not(b)
	case b == False:
		return not(a)
	}
	return &Term{op: "=", sort: Bool, args: []*Term{a, b}}
}

func differ(a, b *Term) *Term { return not(eq(a, b)) }

func atMost(a, b *Term) *Term {
	if a.op == "word" && b.op == "word" {
		return boolean(a.value <= b.value)
	}
	if a.op == "word" && a.value == 0 {
		return True
	}
	return &Term{op: "<=", sort: Bool, args: []*Term{a, b}}
}

func less(a, b *Term) *Term { return not(atMost(b, a)) }

func ite(c, a, b *Term) *Term {
	switch {
	case c == True:
		return a
	case c == False:
		return b
	case same(a, b):
		return a
	case a.sort == Bool:
		return or(and(c, a), and(not(c), b))
	}
	return &Term{op: "ite", sort: a.sort, args: []*Term{c, a, b}}
}

func lower(a, b *Term) *Term  { return ite(atMost(a, b), a, b) }
func higher(a, b *Term) *Term { return ite(atMost(a, b), b, a) }

var bound int

func quantify(op string, sort Sort, body func(x *Term) *Term) *Term {
	bound++
	x := &Term{op: "var", sort: sort, name: fmt.Sprintf("%s!%d", strings.ToLower(string(sort)[:1]), bound)}
	b := body(x)
	if b == True || b == False {
		return b
	}
	return &Term{op: op, sort: Bool, args: []*Term{x, b}}
}

func forall(sort Sort, body func(x *Term) *Term) *Term { return quantify("forall", sort, body) }
func exists(sort Sort, body func(x *Term) *Term) *Term { return quantify("exists", sort, body) }

// same says whether two terms are written alike.
func same(a, b *Term) bool {
	if a == b {
		return true
	}
	if a.op != b.op || a.name != b.name || a.value != b.value || len(a.args) != len(b.args) {
		return false
	}
	for i := range a.args {
		if !same(a.args[i], b.args[i]) {
			return false
		}
	}
	return true
}

// wordBits is how many bits a word has: the largest is 7.
const wordBits = 3

// write writes a term in SMT-LIB.
func (t *Term) write(b *strings.Builder) {
	switch t.op {
	case "true", "false":
		b.WriteString(t.op)
	case "word":
		fmt.Fprintf(b, "#b%0*b", wordBits, t.value)
	case "var":
		b.WriteString(t.name)
	case "forall", "exists":
		fmt.Fprintf(b, "(%s ((%s %s)) ", t.op, t.args[0].name, smtSort(t.args[0].sort))
		t.args[1].write(b)
		b.WriteByte(')')
	default:
		op := t.op
		switch op {
		case "app":
			op = t.name
			if len(t.args) == 0 {
				b.WriteString(op)
				return
			}
		case "<=":
			op = "bvule"
		}
		b.WriteByte('(')
		b.WriteString(op)
		for _, a := range t.args {
			b.WriteByte(' ')
			a.write(b)
		}
		b.WriteByte(')')
	}
}

func smtSort(s Sort) string {
	if s == Word {
		return fmt.Sprintf("(_ BitVec %d)", wordBits)
	}
	return string(s)
}

func (t *Term) String() string {
	var b strings.Builder
	t.write(&b)
	return b.String()
}

// symbols collects the functions and constants of a term.
func (t *Term) symbols(into map[string]*Term) {
	if t.op == "app" {
		into[t.name] = t
	}
	for _, a := range t.args {
		a.symbols(into)
	}
}
