package coverage

import "github.com/mome-dsm/mome/impl/protocol"

// Levels are those whose managers take an action of Strong.tla, in trees of
// this depth (the links between a leaf and the root), from the leaves up.
func Levels(a protocol.Action, depth int) []Level {
	var between []Level
	for l := range depth - 1 {
		between = append(between, Level(l+1))
	}
	switch a {
	case protocol.ActRecvReq, protocol.ActRecvAck:
		return append(between, Root)
	case protocol.ActRecvGrant, protocol.ActRecvRecall:
		return between
	case protocol.ActHomeRecvData:
		return []Level{Root}
	}
	return []Level{Leaf}
}

// Impossible says why an action of Strong.tla cannot be taken at a level in a
// phase, or "" where it can.
// Preconditions: the level is one of Levels of the action.
func Impossible(c Cell) string {
	l, ph := c.Level, c.Phase
	switch {
	case l == Leaf && ph == protocol.Serving:
		return "a leaf serves nobody"
	case l == Root && ph != protocol.Idle && ph != protocol.Serving:
		return "a root has no parent: it neither climbs nor is recalled"
	}
	asking := ph == protocol.Climbing || ph == protocol.RecalledClimbing
	recalled := ph == protocol.Recalled || ph == protocol.RecalledClimbing
	switch protocol.Action(order(c.Action)) {
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
