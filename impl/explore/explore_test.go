package explore

import (
	"math/rand/v2"
	"os"
	"testing"
)

// small is how many states a model may have to be explored by tests; make
// explore takes the larger ones.
const small = 20_000

// models are the models of the manifest with at most as many states.
func models(t *testing.T, states int64) []*Model {
	t.Helper()
	all, err := Models(os.DirFS("../../spec"))
	if err != nil {
		t.Fatal(err)
	}
	var some []*Model
	for _, m := range all {
		if m.Distinct <= states {
			some = append(some, m)
		}
	}
	if len(some) < 5 {
		t.Fatalf("%d models of at most %d states", len(some), states)
	}
	return some
}

func named(t *testing.T, name string) *Model {
	t.Helper()
	for _, m := range models(t, 1<<62) {
		if m.Name == name {
			return m
		}
	}
	t.Fatalf("no model %s", name)
	return nil
}

func report(t *testing.T, err error) {
	t.Helper()
	if f, ok := err.(*Failure); ok {
		t.Errorf("%v\n%s", f, f.Report())
	} else if err != nil {
		t.Error(err)
	}
}

// TestModels explores the small models.
func TestModels(t *testing.T) {
	for _, m := range models(t, small) {
		r, err := Run(m)
		report(t, err)
		if r.Concrete <= r.States {
			t.Errorf("%s: %d concrete states for %d of the spec: no leaf has kept a message", m.Name, r.Concrete, r.States)
		}
	}
}

// TestCountsDiffer demands that a model with one state or one transition more or
// less than TLC found is refused.
func TestCountsDiffer(t *testing.T) {
	for what, change := range map[string]func(*Model){
		"one state fewer":      func(m *Model) { m.Distinct++ },
		"one state more":       func(m *Model) { m.Distinct-- },
		"one transition fewer": func(m *Model) { m.Generated++ },
		"one transition more":  func(m *Model) { m.Generated-- },
		"another depth":        func(m *Model) { m.Depth-- },
		"another tree":         func(m *Model) { m.parents["b"] = "a" },
		"fewer contents":       func(m *Model) { m.Stores-- },
		"fewer actions":        func(m *Model) { m.Askers = true },
		"only writes":          func(m *Model) { m.Writers = true },
	} {
		m := named(t, "root2")
		change(m)
		if _, err := Run(m); err == nil {
			t.Errorf("%s: no error", what)
		} else if f, ok := err.(*Failure); !ok || f.Property != "SameCounts" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestHistory makes up versions, transactions and clocks before each step: what
// the encoding of a state leaves out decides nothing.
func TestHistory(t *testing.T) {
	for _, name := range []string{"root2", "chain3", "pair3"} {
		m := named(t, name)
		e := newExplorer(m)
		random := rand.New(rand.NewPCG(1, 2))
		e.history = func() uint64 { return random.Uint64() >> 1 }
		if f := e.run(nil); f != nil {
			report(t, f)
		}
		if r := e.result(); r.States != m.Distinct || r.Transitions+1 != m.Generated || r.Depth != m.Depth {
			t.Errorf("%s with any history: %+v", name, *r)
		}
	}
}

// TestLayout demands what doc.go promises of the places: managers of a model are
// on nodes of their own, and a child is the one that its parent takes it for.
func TestLayout(t *testing.T) {
	for _, m := range models(t, 1<<62) {
		l := m.lay()
		tree, nodes := l.conf.Tree(0), make(map[int]bool)
		for i, at := range l.Places {
			if nodes[int(at.Node)] {
				t.Errorf("%s: two managers on node %d", m.Name, at.Node)
			}
			nodes[int(at.Node)] = true
			if i == l.Root {
				continue
			}
			if l.parent[i].Node == at.Node {
				t.Errorf("%s: %s takes a manager of its own node for its parent", m.Name, l.names[i])
			}
			up, c := tree.Parent(l.child[i])
			if up != l.Places[l.Parent[i]] || c != l.Child[i] || l.names[l.Parent[i]] != m.parents[l.names[i]] {
				t.Errorf("%s: %s is child %d of %v", m.Name, l.names[i], c, up)
			}
		}
	}
}

// TestEncoding demands that a state comes back from its encoding.
func TestEncoding(t *testing.T) {
	m := named(t, "pair3")
	e := newExplorer(m)
	s := newState(e.layout)
	f := e.run(func(_ int32, enc []byte, to []successor) *violation {
		for _, next := range to {
			enc := append(next.image[:len(next.image):len(next.image)], make([]byte, e.Leaves)...)
			s.decode(enc)
			if got := s.encode(nil); string(got) != string(enc) {
				t.Fatalf("% x came back as % x", enc, got)
			}
		}
		return nil
	})
	if f != nil {
		report(t, f)
	}
}
