package sim

import (
	"fmt"
	"sort"
	"strings"

	"github.com/mome-dsm/mome/impl/protocol"
)

// Coverage counts actions by role and by the phase in which they began.
type Coverage map[Key]int

// Key is one cell of Coverage.
type Key struct {
	Action protocol.Action
	Role   Role
	Phase  protocol.Phase
}

// Role is what a manager is: a leaf, an intermediate of level k, or the root.
type Role int

// Roles that are not a level.
const (
	RoleLeaf Role = 0
	RoleRoot Role = -1
)

func (r Role) String() string {
	switch r {
	case RoleLeaf:
		return "leaf"
	case RoleRoot:
		return "root"
	}
	return fmt.Sprintf("level%d", int(r))
}

func (c Coverage) count(e *protocol.Event) {
	r := Role(e.Level)
	if e.Level == e.Depth {
		r = RoleRoot
	}
	c[Key{e.Action, r, e.Before}]++
}

// Add adds another run's.
func (c Coverage) Add(o Coverage) {
	for k, n := range o {
		c[k] += n
	}
}

// Phases are all phases, in order.
var Phases = []protocol.Phase{protocol.Idle, protocol.Serving, protocol.Climbing, protocol.Recalled, protocol.RecalledClimbing}

// String is a table: a line for each action and role, a column for each phase.
func (c Coverage) String() string {
	type line struct {
		a protocol.Action
		r Role
	}
	seen := make(map[line]bool)
	var lines []line
	for k := range c {
		if l := (line{k.Action, k.Role}); !seen[l] {
			seen[l] = true
			lines = append(lines, l)
		}
	}
	order := func(r Role) int {
		if r == RoleRoot {
			return 1 << 30
		}
		return int(r)
	}
	sort.Slice(lines, func(i, j int) bool {
		if lines[i].a != lines[j].a {
			return lines[i].a < lines[j].a
		}
		return order(lines[i].r) < order(lines[j].r)
	})
	var b strings.Builder
	fmt.Fprintf(&b, "%-16s%-8s", "action", "role")
	for _, p := range Phases {
		fmt.Fprintf(&b, "%18v", p)
	}
	b.WriteByte('\n')
	for _, l := range lines {
		fmt.Fprintf(&b, "%-16v%-8v", l.a, l.r)
		for _, p := range Phases {
			fmt.Fprintf(&b, "%18d", c[Key{l.a, l.r, p}])
		}
		b.WriteByte('\n')
	}
	return b.String()
}
