package validate

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// names are what the managers of one tree are called in the specification. The
// trees of a run differ only in where their root is, so managers are named by
// their rank, counted from the home on: then one tree serves all pages.
type names struct{ tree protocol.Tree }

// of is the name of a manager.
func (t *names) of(p addr.Place) string {
	rank := t.tree.Rank(p.Node)
	switch p.Tag {
	case addr.Root:
		return "root"
	case addr.Leaf:
		return fmt.Sprintf("l%d", rank)
	}
	return fmt.Sprintf("m%d_%d", p.Tag-addr.FirstIntermediate+1, rank)
}

// walk calls visit for every manager but the root, with its parent and which of
// its children it is; leaves come first, in the order of their ranks.
func (t *names) walk(visit func(at, parent addr.Place, child int)) {
	var level []addr.Place
	for rank := range t.tree.Leaves() {
		level = append(level, addr.Place{Node: t.tree.Node(rank), Tag: addr.Leaf})
	}
	for len(level) > 0 && level[0].Tag != addr.Root {
		var above []addr.Place
		for _, at := range level {
			parent, child := t.tree.Parent(at)
			visit(at, parent, child)
			if len(above) == 0 || above[len(above)-1] != parent {
				above = append(above, parent)
			}
		}
		level = above
	}
}

// constants are the tree in the words of Strong.
func (t *names) constants() []Constant {
	var leaves, managers, parents, index []string
	children := make(map[string][]string)
	t.walk(func(at, parent addr.Place, child int) {
		name, above := t.of(at), t.of(parent)
		if at.Tag == addr.Leaf {
			leaves = append(leaves, fmt.Sprintf("%q", name))
		} else {
			managers = append(managers, fmt.Sprintf("%q", name))
		}
		parents = append(parents, fmt.Sprintf("%s|->%q", name, above))
		index = append(index, fmt.Sprintf("%s|->%d", name, child))
		children[above] = append(children[above], fmt.Sprintf("%q", name))
	})
	managers = append(managers, `"root"`)
	sort.Strings(managers)
	list := func(open string, of []string, end string) string { return open + strings.Join(of, ",") + end }
	return []Constant{
		{Name: "Leaves", Value: list("{", leaves, "}")},
		{Name: "Managers", Value: list("{", managers, "}")},
		{Name: "Root", Value: `"root"`},
		{Name: "Parent", Value: list("[", parents, "]")},
		{Name: "Index", Value: list("[", index, "]")},
		{Name: "Zero", Value: strconv.Itoa(zero)},
		{Name: "Services", Operator: "StrongServices"},
		{Name: "Values", Value: "{}"},
		{Name: "OneOf", Operator: "Lowest"},
		{Name: "Children", Operator: "KnownChildren"},
	}
}

// place is the manager that the specification calls name.
func (t *names) place(name string) (found addr.Place, ok bool) {
	if name == "root" {
		return t.tree.Root(), true
	}
	t.walk(func(at, _ addr.Place, _ int) {
		if t.of(at) == name {
			found, ok = at, true
		}
	})
	return found, ok
}
