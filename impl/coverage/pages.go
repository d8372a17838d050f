package coverage

import (
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Strong is spec/strong.
var Strong = &Spec{
	Name:     protocol.Pages.Spec,
	Actions:  protocol.Pages.Actions,
	Protocol: protocol.Pages,
	Phases: []protocol.Phase{protocol.Idle, protocol.Serving, protocol.Climbing, protocol.Recalled,
		protocol.RecalledClimbing},
	Levels:     strongLevels,
	Impossible: strongImpossible,
	action:     actionOf(protocol.Pages),
	said: func(rec *trace.Record) (*Case, error) {
		if rec.Message == nil {
			return nil, nil
		}
		right, err := leafRight(rec)
		return strongCase(rec.At.Tag, rec.Message, right), err
	},
}

// Event counts an action of Strong. right is what the leaf has after it, where a
// leaf took it.
func (c *Coverage) Event(e *protocol.Event, right protocol.Right) {
	var said *Case
	if e.Message != nil {
		said = strongCase(e.At.Tag, e.Message, right)
	}
	c.count(e.Action.String(), e.At.Tag, e.Before, said)
}

// strongCase is what a message said to a manager, which has the right after it if it
// is a leaf.
func strongCase(at addr.Tag, m *protocol.Message, right protocol.Right) *Case {
	k := &Case{Kind: m.Kind}
	switch m.Kind {
	case protocol.Req:
		k.Op, k.Have = m.Op, m.Have
	case protocol.Grant:
		k.Op, k.Source = m.Op, m.Source
	case protocol.Recall:
		k.Keep, k.Dst = m.Keep, m.Dst
		k.Missed = m.Keep != protocol.None && at == addr.Leaf && right == protocol.None
	case protocol.Ack:
		k.Keep, k.Hit = m.Keep, m.Hit
	}
	return k
}

// leafRight is the right of a leaf after an action; nobody asks for that of
// others.
func leafRight(rec *trace.Record) (protocol.Right, error) {
	if rec.At.Tag != addr.Leaf || rec.Message == nil || rec.Message.Kind != protocol.Recall {
		return protocol.None, nil
	}
	var post protocol.LeafState
	err := rec.State(&post)
	return post.Right, err
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
