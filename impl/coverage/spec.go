package coverage

import (
	"cmp"
	"slices"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Spec is a specification whose actions are counted.
type Spec struct {
	Name    string
	Actions []string // in the order of the code's table
	// Protocol is the one whose objects it is about.
	Protocol *protocol.Protocol
	// Phases are those that its managers tell apart; one alone says nothing.
	Phases []protocol.Phase
	// Levels are those whose managers take an action, in trees of this depth
	// (the links between a leaf and the root), from the leaves up.
	Levels func(action string, depth int) []Level
	// Impossible says why an action cannot be taken at one of its levels in a
	// phase, or "" where it can.
	Impossible func(Cell) string

	// sync: its actions are in the logs of locks and barriers.
	sync bool
	// action is that of a record, or "" where the record has none of it.
	action func(*trace.Record) string
	// said is what the message of an action said, or the kernel; nil: nothing.
	said func(*trace.Record) (*Case, error)
}

// Specs are all specifications. Of each protocol there is one, and more where what
// is below it has one of its own.
var Specs = []*Spec{Strong, Frame, Locks, Barriers}

// actionOf takes the actions of a protocol.
func actionOf(p *protocol.Protocol) func(*trace.Record) string {
	return func(rec *trace.Record) string {
		if rec.Protocol() == p {
			return rec.Act
		}
		return ""
	}
}

// compare orders actions.
func (s *Spec) compare(a, b string) int {
	return cmp.Compare(slices.Index(s.Actions, a), slices.Index(s.Actions, b))
}

func anything(Cell) string { return "" }
