package explore

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/sim"
)

// Model is one of the small models of spec/strong, and what TLC found in it.
type Model struct {
	Name  string // of its row in the manifest, without the folder
	Class string // ci or nightly
	Cfg   string
	// Stores is how many contents a store may write: 1, 2, ... Zeros are 0.
	Stores int
	// Askers says that leaves only read and write: they neither store, evict
	// nor write back. Writers only write.
	Askers, Writers bool

	// What TLC found: states, generated successors (the initial state is one of
	// them), and the states on the longest of the shortest paths to a state.
	Distinct, Generated, Depth int64

	parents map[string]string // every name but the root's, to its parent's
}

// root is the root's name in every model.
const root = "r"

var (
	treeRE  = regexp.MustCompile(`(\w+)\s*\|->\s*\[((?:\w+ \|-> "\w+"(?:, )?)+)\]`)
	linkRE  = regexp.MustCompile(`(\w+) \|-> "(\w+)"`)
	specRE  = regexp.MustCompile(`(?m)^SPECIFICATION (\w+)$`)
	nameRE  = regexp.MustCompile(`(?m)^\s*Tree = "(\w+)"$`)
	valueRE = regexp.MustCompile(`(?m)^\s*Values = \{([\d, ]+)\}$`)
)

// Models reads the models of module MCStrong that TLC must find no fault with,
// in the manifest's order. spec is the folder spec.
func Models(spec fs.FS) ([]*Model, error) {
	text, err := fs.ReadFile(spec, "manifest.json")
	if err != nil {
		return nil, err
	}
	var manifest struct {
		Models []struct {
			Name, Folder, Module, Cfg, Class, Expect string
			Distinct, Generated, Depth               int64
		}
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	module, err := fs.ReadFile(spec, "strong/MCStrong.tla")
	if err != nil {
		return nil, err
	}
	trees := make(map[string]map[string]string)
	for _, t := range treeRE.FindAllStringSubmatch(string(module), -1) {
		trees[t[1]] = make(map[string]string)
		for _, l := range linkRE.FindAllStringSubmatch(t[2], -1) {
			trees[t[1]][l[1]] = l[2]
		}
	}
	var models []*Model
	for _, row := range manifest.Models {
		if row.Folder != "strong" || !strings.HasPrefix(row.Cfg, "MCStrong_") || row.Expect != "ok" {
			continue
		}
		cfg, err := fs.ReadFile(spec, "strong/"+row.Cfg)
		if err != nil {
			return nil, err
		}
		m := &Model{Name: strings.TrimPrefix(row.Name, "strong/"), Class: row.Class, Cfg: row.Cfg,
			Distinct: row.Distinct, Generated: row.Generated, Depth: row.Depth}
		if err := m.configure(string(cfg), trees); err != nil {
			return nil, fmt.Errorf("strong/%s: %w", row.Cfg, err)
		}
		models = append(models, m)
	}
	if len(models) == 0 {
		return nil, fmt.Errorf("manifest.json has no model of MCStrong")
	}
	return models, nil
}

// configure takes what TLC takes from a cfg file. Fairness adds no state.
func (m *Model) configure(cfg string, trees map[string]map[string]string) error {
	next, tree, values := specRE.FindStringSubmatch(cfg), nameRE.FindStringSubmatch(cfg), valueRE.FindStringSubmatch(cfg)
	if next == nil || tree == nil || values == nil {
		return fmt.Errorf("SPECIFICATION, Tree or Values is missing")
	}
	switch next[1] {
	case "Spec", "LiveSpec":
	case "AskersSpec":
		m.Askers = true
	case "WritersSpec":
		m.Writers = true
	default:
		return fmt.Errorf("the explorer does not know the specification %s", next[1])
	}
	if m.parents = trees[tree[1]]; m.parents == nil {
		return fmt.Errorf("MCStrong.tla has no tree %s", tree[1])
	}
	for i, v := range strings.Split(values[1], ",") {
		if strings.TrimSpace(v) != fmt.Sprint(i+1) {
			return fmt.Errorf("the values are not 1, 2, ...: {%s}", values[1])
		}
		m.Stores++
	}
	return nil
}

// layout is a model's tree inside of one of protocol.Tree.
type layout struct {
	*sim.Topology
	names  []string
	conf   *protocol.Configuration
	parent []addr.Place // what each manager takes for its parent's place
	child  []addr.Place // what its parent takes for its place
	byNode map[addr.NodeID]int
	known  map[addr.Place]int // both kinds of places of a manager
}

// lay finds a place for every manager of the model. doc.go says why they are on
// nodes of their own, and what becomes of a leaf that is higher than others.
func (m *Model) lay() *layout {
	children := make(map[string][]string)
	for x, up := range m.parents {
		children[up] = append(children[up], x)
	}
	fanout := 2
	for _, list := range children {
		// TLC's CHOOSE takes the first of them in this order, the code the child
		// with the lowest number.
		slices.Sort(list)
		fanout = max(fanout, len(list)+1)
	}
	var height func(string) int
	height = func(x string) int {
		h := 0
		for _, c := range children[x] {
			h = max(h, height(c)+1)
		}
		return h
	}
	depth := height(root)
	nodes := 1
	for range depth {
		nodes *= fanout
	}
	conf := &protocol.Configuration{Epoch: 1, Fanout: fanout, Members: protocol.Founders(nodes)}
	conf.Slots = protocol.DealSlots(1, conf.Members)
	l := &layout{Topology: sim.NewTopology(), byNode: make(map[addr.NodeID]int), known: make(map[addr.Place]int),
		conf: conf.WithSegments([]protocol.Segment{{First: page, Pages: 1, Generation: 1}})}
	tree := l.conf.Tree(0)

	// From the root down: a child has the number of its place among its
	// siblings, from 1: number 0 would share its parent's node.
	type seat struct {
		at     addr.Place
		as     addr.Place // the child that its parent takes it for
		number int
	}
	seats := map[string]seat{root: {at: tree.Root()}}
	order := []string{root}
	for i := 0; i < len(order); i++ {
		for k, c := range children[order[i]] {
			as := tree.Child(seats[order[i]].at, k+1)
			s := seat{at: as, as: as, number: k + 1}
			for len(children[c]) == 0 && s.at.Tag != addr.Leaf {
				s.at = tree.Child(s.at, 1)
			}
			seats[c] = s
			order = append(order, c)
		}
	}
	slices.Sort(order)
	var leaves, inner []string
	for _, x := range order {
		switch {
		case x == root:
		case len(children[x]) == 0:
			leaves = append(leaves, x)
		default:
			inner = append(inner, x)
		}
	}
	order = slices.Concat(leaves, inner, []string{root})
	for _, x := range order {
		s := seats[x]
		i := l.Add(s.at)
		l.names = append(l.names, x)
		l.byNode[s.at.Node] = i
		l.known[s.at] = i
		var above addr.Place
		if x != root {
			above, _ = tree.Parent(s.at)
			l.known[s.as] = i
		}
		l.parent, l.child = append(l.parent, above), append(l.child, s.as)
	}
	for i, x := range order {
		if x != root {
			l.Put(i, l.named(m.parents[x]), seats[x].number)
		}
	}
	return l
}

func (l *layout) named(name string) int { return slices.Index(l.names, name) }
