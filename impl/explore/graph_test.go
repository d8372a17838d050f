package explore

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/spec/tlc"
)

// TestSameGraph has TLC write down graphs and compares them with the core's. A
// machine without TLC is a failure: nothing would be compared.
func TestSameGraph(t *testing.T) {
	tool, err := tlc.Find()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"root2", "live-pair3"} {
		report(t, SameGraph(t.Context(), tool, "../../spec", named(t, name)))
	}
}

// draw writes a model's graph, as the core has it, the way TLC would.
func draw(t *testing.T, m *Model) []byte {
	t.Helper()
	e := newExplorer(m)
	s := newState(e.layout)
	var b bytes.Buffer
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	b.WriteString("strict digraph DiskGraph {\nnodesep=0.35;\n")
	f := e.run(func(id int32, enc []byte, to []successor) *violation {
		s.decode(enc)
		v := e.value(s)
		var state strings.Builder
		for i, name := range v.Names {
			fmt.Fprintf(&state, "/\\ %s = %v\n", name, v.Items[i])
		}
		fmt.Fprintf(&b, "%d [label=\"%s\"];\n", id, quoted.Replace(state.String()))
		for _, next := range to {
			name := next.act.Name
			if name == "RecvGrant" || name == "RecvRecall" {
				name = "ManagerNext"
			}
			e.reach(id, next)
			fmt.Fprintf(&b, "%d -> %d [label=\"%s\",color=\"black\"];\n", id, e.seen[hash(next.image)], name)
		}
		return nil
	})
	if f != nil {
		t.Fatal(f.Report())
	}
	b.WriteString("}\n")
	return b.Bytes()
}

// graphOf reads a graph that was drawn.
func graphOf(t *testing.T, drawn []byte) *graph {
	t.Helper()
	name := filepath.Join(t.TempDir(), "graph.dot")
	if err := os.WriteFile(name, drawn, 0o644); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	g, err := readGraph(file)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestDifference changes a graph in one place: the difference is shown as a path
// to it, and as what differs there.
func TestDifference(t *testing.T) {
	m := named(t, "live-pair3")
	drawn := draw(t, m)
	edge := func(from, name string) string {
		for line := range strings.Lines(string(drawn)) {
			if strings.HasPrefix(line, from+" -> ") && strings.Contains(line, name) {
				return line
			}
		}
		t.Fatalf("no %s from state %s", name, from)
		return ""
	}
	for _, c := range []struct{ name, from, to, want string }{
		{name: "nothing"},
		{"a state", `\"valid\"`, `\"vague\"`, `live-pair3: SameGraph
   1  WriteFault(a)
   2  RecvReq(m, a)
   3  RecvReq(r, m)
   4  RecvGrant(m)
   5  LeafRecvGrant(a)
   6  Writeback(a)
   7  RecvReq(m, a)
   8  RecvReq(r, m)
   9  RecvRecall(m)
  10  LeafRecvRecall(a)
      here HomeRecvData(r) leads the core elsewhere:
        home.state: "valid", in the specification "vague"
`},
		{"an action that is missing", edge("3", "RecvReq"), "", `live-pair3: SameGraph
   1  ReadFault(b)
      here the core takes RecvReq(m, b), and the specification does not
`},
		{"an action more", edge("3", "RecvReq"), edge("3", "RecvReq") + strings.Replace(edge("3", "RecvReq"), "RecvReq", "Evict", 1), `live-pair3: SameGraph
   1  ReadFault(b)
      here the specification takes Evict, and the core does not; it would change
        mgr.m.busy: [op |-> "none"], in the specification`},
		{"the initial state", `\"virgin\"`, `\"valid\"`, `live-pair3: SameGraph
      the initial states differ:
        home.state: "virgin", in the specification "valid"
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := drawn
			if c.name != "nothing" {
				changed = bytes.Replace(drawn, []byte(c.from), []byte(c.to), 1)
			}
			g := graphOf(t, changed)
			got := ""
			if failure := compare(m, g); failure != nil {
				got = failure.Report()
			}
			if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
				t.Errorf("reported\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
