package coverage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Spec is a specification whose actions are counted.
type Spec struct {
	Name    string
	Actions []string // in the order of the code's table
	// Phases are those that its managers tell apart; one alone says nothing.
	Phases []protocol.Phase
	// Levels are those whose managers take an action, in trees of this depth
	// (the links between a leaf and the root), from the leaves up.
	Levels func(action string, depth int) []Level
	// Impossible says why an action cannot be taken at one of its levels in a
	// phase, or "" where it can.
	Impossible func(Cell) string
}

// compare orders actions.
func (s *Spec) compare(a, b string) int {
	return cmp.Compare(slices.Index(s.Actions, a), slices.Index(s.Actions, b))
}

// The specifications.
var (
	Strong = &Spec{
		Name:    "strong",
		Actions: names(protocol.Actions()),
		Phases: []protocol.Phase{protocol.Idle, protocol.Serving, protocol.Climbing, protocol.Recalled,
			protocol.RecalledClimbing},
		Levels:     strongLevels,
		Impossible: strongImpossible,
	}
	// Frame is the layer below the leaf. A log has its steps, not all actions.
	Frame = &Spec{
		Name:       "frame",
		Actions:    names(trace.FrameSteps()),
		Phases:     []protocol.Phase{protocol.Idle},
		Levels:     frameLevels,
		Impossible: anything,
	}
	// Locks is spec/heaplock.
	Locks = &Spec{
		Name:       "heaplock",
		Actions:    names(protocol.LockActions()),
		Phases:     []protocol.Phase{protocol.Idle},
		Levels:     syncLevels,
		Impossible: anything,
	}
	// Barriers is spec/barrier.
	Barriers = &Spec{
		Name:       "barrier",
		Actions:    names(protocol.BarrierActions()),
		Phases:     []protocol.Phase{protocol.Idle},
		Levels:     syncLevels,
		Impossible: anything,
	}
)

func anything(Cell) string { return "" }

// syncLevels: a home's part of locks and barriers is at the root, the processes'
// at the leaf.
func syncLevels(action string, _ int) []Level {
	if strings.HasPrefix(action, "Home") {
		return []Level{Root}
	}
	return []Level{Leaf}
}

// frameLevels: all steps are the leaf's. Poison is for a page that is lost, which
// is lost with its segment only, and the steps that take a removed segment away
// are in no log.
func frameLevels(step string, _ int) []Level {
	if step == trace.Poison.String() {
		return nil
	}
	return []Level{Leaf}
}

func names[A fmt.Stringer](actions []A) (all []string) {
	for _, a := range actions {
		all = append(all, a.String())
	}
	return all
}

func strongLevels(action string, depth int) []Level {
	var between []Level
	for l := range depth - 1 {
		between = append(between, Level(l+1))
	}
	switch strongAction(action) {
	case protocol.ActRecvReq, protocol.ActRecvAck:
		return append(between, Root)
	case protocol.ActRecvGrant, protocol.ActRecvRecall:
		return between
	case protocol.ActHomeRecvData:
		return []Level{Root}
	}
	return []Level{Leaf}
}

// strongAction is the action with the name.
// Preconditions: there is one.
func strongAction(name string) protocol.Action {
	return protocol.Action(slices.IndexFunc(protocol.Actions(), func(a protocol.Action) bool { return a.String() == name }))
}

func strongImpossible(c Cell) string {
	l, ph := c.Level, c.Phase
	switch {
	case l == Leaf && ph == protocol.Serving:
		return "a leaf serves nobody"
	case l == Root && ph != protocol.Idle && ph != protocol.Serving:
		return "a root has no parent: it neither climbs nor is recalled"
	}
	asking := ph == protocol.Climbing || ph == protocol.RecalledClimbing
	recalled := ph == protocol.Recalled || ph == protocol.RecalledClimbing
	switch strongAction(c.Action) {
	case protocol.ActReadFault, protocol.ActWriteFault, protocol.ActWriteback, protocol.ActEvict:
		if asking {
			return "guard: no request is out"
		}
	case protocol.ActRecvData:
		if !asking {
			return "Data answers a request"
		}
	case protocol.ActLeafRecvGrant:
		if !asking {
			return "a Grant answers a request"
		}
	case protocol.ActLeafRecvRecall:
		if !recalled {
			return "a Recall waits in the leaf's slot until it is handled"
		}
	case protocol.ActRecvGrant:
		if !asking {
			return "guard: busy, phase up"
		}
		if recalled {
			return "the parent grants nothing before its Recall is answered"
		}
	case protocol.ActRecvRecall:
		if recalled {
			return "the parent sends one Recall at a time"
		}
	case protocol.ActRecvAck:
		if ph == protocol.Idle || ph == protocol.Climbing {
			return "AckOnlyInv: somebody waits for it"
		}
	case protocol.ActHomeRecvData:
		if ph != protocol.Serving {
			return "the home waits for Data while it serves a writeback"
		}
	}
	return ""
}
