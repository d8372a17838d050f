package coverage

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// Level is where a manager stands: at a leaf, k links above the leaves, or at
// the root, however deep the tree is.
type Level int

// Levels that are not a number of links.
const (
	Leaf Level = 0
	Root Level = -1
)

// LevelOf is the level of the managers with this tag.
func LevelOf(tag addr.Tag) Level {
	switch tag {
	case addr.Root:
		return Root
	case addr.Leaf:
		return Leaf
	}
	return Level(tag-addr.FirstIntermediate) + 1
}

func (l Level) String() string {
	switch l {
	case Leaf:
		return "leaf"
	case Root:
		return "root"
	}
	return fmt.Sprintf("level%d", int(l))
}

// height orders levels from the leaves up.
func (l Level) height() int {
	if l == Root {
		return 1 << 30
	}
	return int(l)
}

// Cell is an action, the level of the manager that took it, and the phase in
// which that began.
type Cell struct {
	Action string
	Level  Level
	Phase  protocol.Phase
}

// Case is an action and what its message asked for or answered, or what the
// kernel did: a branch of the handler.
type Case struct {
	Action string
	Answer string // of the kernel, where it has refused a step on a frame; of a lock's home
	Kind   protocol.Kind
	Op     protocol.Op     // Req, Grant
	Have   protocol.Right  // Req
	Source protocol.Source // Grant
	Keep   protocol.Right  // Recall, Ack
	Dst    protocol.Dst    // Recall
	Hit    bool            // Ack
	// Missed: a leaf was recalled for a copy that it had evicted.
	Missed bool
}

// Message is what the message said, without who and where.
func (c Case) Message() string {
	switch c.Kind {
	case protocol.KindInvalid:
		return c.Answer
	case protocol.Req:
		return fmt.Sprintf("%v, have %v", c.Op, c.Have)
	case protocol.Grant:
		return fmt.Sprintf("%v, %v", c.Op, c.Source)
	case protocol.Recall:
		text := fmt.Sprintf("keep %v, to %v", c.Keep, c.Dst)
		if c.Missed {
			text += ", missed"
		}
		return text
	case protocol.Ack:
		if c.Hit {
			return fmt.Sprintf("keep %v, sent", c.Keep)
		}
		return fmt.Sprintf("keep %v, not sent", c.Keep)
	}
	return "the page"
}

// Coverage counts the actions of one specification.
type Coverage struct {
	*Spec
	Cells map[Cell]int
	Cases map[Case]int // actions with a message only
}

// New is a coverage of nothing.
func New(s *Spec) *Coverage { return &Coverage{s, make(map[Cell]int), make(map[Case]int)} }

// count counts an action, and what its message said.
func (c *Coverage) count(action string, at addr.Tag, before protocol.Phase, said *Case) {
	c.Cells[Cell{action, LevelOf(at), before}]++
	if said != nil {
		said.Action = action
		c.Cases[*said]++
	}
}

// Add adds another run's.
func (c *Coverage) Add(o *Coverage) {
	for k, n := range o.Cells {
		c.Cells[k] += n
	}
	for k, n := range o.Cases {
		c.Cases[k] += n
	}
}

// At is how often managers of the level took the action, in whatever phase.
func (c *Coverage) At(action string, l Level) (n int) {
	for _, ph := range c.Phases {
		n += c.Cells[Cell{action, l, ph}]
	}
	return n
}

// Total is how many actions were taken.
func (c *Coverage) Total() (n int) {
	for _, k := range c.Cells {
		n += k
	}
	return n
}

// Row is an action at a level: a line of the table.
type Row struct {
	Action string
	Level  Level
}

// Rows are the actions that were taken, each with its levels, in the order of
// the specification's table.
func (c *Coverage) Rows() []Row {
	seen := make(map[Row]bool)
	for k := range c.Cells {
		seen[Row{k.Action, k.Level}] = true
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b Row) int {
		return cmp.Or(c.compare(a.Action, b.Action), cmp.Compare(a.Level.height(), b.Level.height()))
	})
}

// SortedCases are the cases, in the order of Rows.
func (c *Coverage) SortedCases() []Case {
	return slices.SortedFunc(maps.Keys(c.Cases), func(a, b Case) int {
		return cmp.Or(c.compare(a.Action, b.Action), cmp.Compare(a.Message(), b.Message()))
	})
}

// Never are the actions that were not taken at a level where trees of the depth
// have them.
func (c *Coverage) Never(depth int) (rows []Row) {
	for _, a := range c.Actions {
		for _, l := range c.Levels(a, depth) {
			if c.At(a, l) == 0 {
				rows = append(rows, Row{a, l})
			}
		}
	}
	return rows
}

// Holes are the cells that are empty though they can be otherwise, in trees of
// the depth.
func (c *Coverage) Holes(depth int) (cells []Cell) {
	for _, a := range c.Actions {
		for _, l := range c.Levels(a, depth) {
			for _, ph := range c.Phases {
				if k := (Cell{a, l, ph}); c.Cells[k] == 0 && c.Impossible(k) == "" {
					cells = append(cells, k)
				}
			}
		}
	}
	return cells
}

// Contradictions are the cells that are not empty though they cannot be
// otherwise, which proves that wrong.
func (c *Coverage) Contradictions() (cells []Cell) {
	for _, r := range c.Rows() {
		for _, ph := range c.Phases {
			if k := (Cell{r.Action, r.Level, ph}); c.Cells[k] > 0 && c.Impossible(k) != "" {
				cells = append(cells, k)
			}
		}
	}
	return cells
}

// String is a table: a line for each action and level, a column for each phase.
// A dash is a cell that cannot be otherwise.
func (c *Coverage) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-16s%-8s", "action", "level")
	for _, p := range c.Phases {
		fmt.Fprintf(&b, "%18v", p)
	}
	b.WriteByte('\n')
	for _, r := range c.Rows() {
		fmt.Fprintf(&b, "%-16v%-8v", r.Action, r.Level)
		for _, p := range c.Phases {
			fmt.Fprintf(&b, "%18s", c.Text(Cell{r.Action, r.Level, p}))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Text is the count of a cell, or a dash where it cannot be otherwise than zero.
func (c *Coverage) Text(k Cell) string {
	n := c.Cells[k]
	if n == 0 && c.Impossible(k) != "" {
		return "-"
	}
	return strconv.Itoa(n)
}
