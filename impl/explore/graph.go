package explore

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mome-dsm/mome/spec/tla"
	"github.com/mome-dsm/mome/spec/tlc"
)

// SameGraph has TLC write down the whole graph of a model, and demands that the
// core's is the same: the same states, the same actions from each, to the same
// states. spec is the folder spec. Where the error is a *Failure, its path leads
// to the first state, breadth first, whose actions differ.
func SameGraph(ctx context.Context, t *tlc.Tool, spec string, m *Model) error {
	dir, err := os.MkdirTemp("", "mome-explore-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	dump, err := dumpGraph(ctx, t, spec, m, dir)
	if err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	f, err := os.Open(dump)
	if err != nil {
		return err
	}
	defer f.Close()
	g, err := readGraph(f)
	if err != nil {
		return fmt.Errorf("%s: the graph that TLC wrote: %w", m.Name, err)
	}
	if int64(len(g.nodes)) != m.Distinct {
		return fmt.Errorf("%s: TLC wrote %d states, the manifest has %d: go run ./spec/check -only %s", m.Name, len(g.nodes), m.Distinct, m.Name)
	}
	if f := compare(m, g); f != nil {
		return f
	}
	return nil
}

// dumpGraph runs TLC. Without properties: others check them.
func dumpGraph(ctx context.Context, t *tlc.Tool, spec string, m *Model, dir string) (string, error) {
	spec, err := filepath.Abs(spec)
	if err != nil {
		return "", err
	}
	work := filepath.Join(dir, "strong")
	if err := os.CopyFS(work, os.DirFS(filepath.Join(spec, "strong"))); err != nil {
		return "", err
	}
	cfg, err := os.ReadFile(filepath.Join(work, m.Cfg))
	if err != nil {
		return "", err
	}
	if at := regexp.MustCompile(`(?m)^(INVARIANT|PROPERT)`).FindIndex(cfg); at != nil {
		cfg = cfg[:at[0]]
	}
	if err := os.WriteFile(filepath.Join(work, m.Cfg), cfg, 0o644); err != nil {
		return "", err
	}
	dump := filepath.Join(dir, "graph.dot")
	o, _, err := t.Run(ctx, tlc.Job{Dir: work, Library: []string{filepath.Join(spec, "abstract")}, Module: "MCStrong", Config: m.Cfg,
		Short: true, Args: []string{"-dump", "dot,actionlabels", dump}})
	if err == nil && o.Result != tlc.OK {
		err = fmt.Errorf("TLC: %v %s", o, o.Error)
	}
	return dump, err
}

// graph is what TLC wrote down, as an index into its file.
type graph struct {
	file  io.ReaderAt
	nodes []specNode // the initial state is the first
	known map[key]int32
}

type specNode struct {
	text   key   // hash of its value's text
	offset int64 // of its line
	length int
	to     []specEdge
}

type specEdge struct {
	name string
	to   int32
}

// is says whether TLC calls an action so. It names a step by the disjunct of
// Next that it could take apart no further.
func (s *specEdge) is(a Action) bool {
	return s.name == a.Name || s.name == "ManagerNext" && (a.Name == "RecvGrant" || a.Name == "RecvRecall")
}

// unescape is what the format's quotes hide.
var unescape = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")

// nodeLine and edgeLine take a line apart; ok is false for other lines:
//
//	ID [label="STATE",style = filled]
//	ID [label="STATE"];
//	ID -> ID [label="ACTION",color=...
func nodeLine(line []byte) (id int64, state string, ok bool) {
	head, rest, ok := bytes.Cut(line, []byte(` [label="`))
	id, err := strconv.ParseInt(string(head), 10, 64)
	end := bytes.LastIndexByte(rest, '"')
	if !ok || err != nil || end < 0 {
		return 0, "", false
	}
	return id, unescape.Replace(string(rest[:end])), true
}

func edgeLine(line []byte) (from, to int64, name string, ok bool) {
	head, rest, ok := bytes.Cut(line, []byte(` [label="`))
	left, right, arrow := bytes.Cut(head, []byte(" -> "))
	from, err := strconv.ParseInt(string(left), 10, 64)
	to, err2 := strconv.ParseInt(string(right), 10, 64)
	quoted, _, _ := bytes.Cut(rest, []byte(`"`))
	return from, to, string(quoted), ok && arrow && err == nil && err2 == nil
}

// readGraph reads what TLC's option -dump dot,actionlabels writes: a line for
// each state, and a line for each action from one to another.
func readGraph(file *os.File) (*graph, error) {
	g := &graph{file: file, known: make(map[key]int32)}
	ids := make(map[int64]int32)
	names := make(map[string]string) // a graph has millions of actions with few names
	id := func(n int64) int32 {      // edges may come before the states that they lead to
		k, ok := ids[n]
		if !ok {
			k = int32(len(g.nodes))
			ids[n] = k
			g.nodes = append(g.nodes, specNode{offset: -1})
		}
		return k
	}
	in := bufio.NewReaderSize(file, 1<<20)
	for offset := int64(0); ; {
		line, err := in.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			break
		} else if err != nil && err != io.EOF {
			return nil, err
		}
		if from, to, name, ok := edgeLine(line); ok {
			if _, ok := names[name]; !ok {
				names[name] = name
			}
			g.nodes[id(from)].to = append(g.nodes[id(from)].to, specEdge{names[name], id(to)})
		} else if n, state, ok := nodeLine(line); ok {
			v, err := tla.ParseState(state)
			if err != nil {
				return nil, err
			}
			k := id(n)
			g.nodes[k].text, g.nodes[k].offset, g.nodes[k].length = textHash(v), offset, len(line)
			g.known[g.nodes[k].text] = k
		}
		offset += int64(len(line))
	}
	for k := range g.nodes {
		if g.nodes[k].offset < 0 {
			return nil, fmt.Errorf("an action leads to a state that is missing")
		}
	}
	if len(g.known) != len(g.nodes) || len(g.nodes) == 0 {
		return nil, fmt.Errorf("%d states, %d of them different", len(g.nodes), len(g.known))
	}
	return g, nil
}

func textHash(v tla.Value) key {
	h := sha256.Sum256(v.Append(nil))
	return key(h[:16])
}

// value reads a state again.
func (g *graph) value(k int32) tla.Value {
	line := make([]byte, g.nodes[k].length)
	if _, err := g.file.ReadAt(line, g.nodes[k].offset); err != nil {
		return tla.Text(err.Error())
	}
	_, state, _ := nodeLine(line)
	v, err := tla.ParseState(state)
	if err != nil {
		return tla.Text(err.Error())
	}
	return v
}

// compare explores a model and goes through both graphs at once, up to the first
// difference. What stops the exploration counts where none came before.
func compare(m *Model, g *graph) *Failure {
	e := newExplorer(m)
	s := newState(e.layout)
	decode := func(image []byte) tla.Value {
		s.decode(append(slices.Clip(image), make([]byte, e.Leaves)...))
		return e.value(s)
	}
	texts := make(map[key]key) // of images that were decoded once
	textOf := func(image []byte) key {
		h := hash(image)
		text, ok := texts[h]
		if !ok {
			text = textHash(decode(image))
			texts[h] = text
		}
		return text
	}
	return e.run(func(id int32, enc []byte, to []successor) *violation {
		image := enc[:len(enc)-e.Leaves]
		at, ok := g.known[textOf(image)]
		if !ok || id == 0 && at != 0 {
			// Only the initial state: others are reached by what was compared.
			return violated("SameGraph", "the initial states differ:\n%s", differ(decode(image), g.value(0)))
		}
		spec := slices.Clone(g.nodes[at].to)
		var core []successor
		for _, to := range to {
			text := textOf(to.image)
			k := slices.IndexFunc(spec, func(s specEdge) bool { return s.is(to.act) && g.nodes[s.to].text == text })
			if k < 0 {
				core = append(core, to)
			} else {
				spec = slices.Delete(spec, k, k+1)
			}
		}
		if len(core) == 0 && len(spec) == 0 {
			return nil
		}
		return &violation{"SameGraph", difference(e, g, decode, image, core, spec)}
	})
}

// difference says what the core does in a state and the spec does not, and the
// other way round.
func difference(e *explorer, g *graph, decode func([]byte) tla.Value, image []byte, core []successor, spec []specEdge) string {
	var b strings.Builder
	for _, c := range core {
		var same [][]string
		for _, s := range spec {
			if s.is(c.act) {
				same = append(same, tla.Differences("", decode(c.image), g.value(s.to)))
			}
		}
		if len(same) == 0 {
			fmt.Fprintf(&b, "here the core takes %s, and the specification does not\n", e.label(c.act))
			continue
		}
		nearest := slices.MinFunc(same, func(x, y []string) int { return cmp.Compare(len(x), len(y)) })
		fmt.Fprintf(&b, "here %s leads the core elsewhere:\n  %s\n", e.label(c.act), strings.Join(nearest, "\n  "))
	}
	for _, s := range spec {
		if !slices.ContainsFunc(core, func(c successor) bool { return s.is(c.act) }) {
			fmt.Fprintf(&b, "here the specification takes %s, and the core does not; it would change\n%s", s.name, differ(decode(image), g.value(s.to)))
		}
	}
	return b.String()
}

func differ(core, spec tla.Value) string {
	return "  " + strings.Join(tla.Differences("", core, spec), "\n  ") + "\n"
}
