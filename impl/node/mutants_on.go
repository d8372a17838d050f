//go:build mutants

package node

import (
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/protocol"
)

// misorder carries out effects on one page in the wrong order, if this process
// is to be broken in that way (memory.BugVariable): each overtaking is an effect
// that comes before one that it must follow.
func misorder(effects []protocol.Effect) {
	var overtakes, overtaken func(*protocol.Effect) bool
	switch {
	case memory.Broken(memory.BugSendBeforeProtect):
		overtakes, overtaken = sendsFrame, is(protocol.FrameProtect)
	case memory.Broken(memory.BugPunchBeforeSend):
		overtakes, overtaken = is(protocol.FrameDrop), sendsFrame
	case memory.Broken(memory.BugAckBeforePunch):
		overtakes, overtaken = acknowledges, is(protocol.FrameDrop)
	default:
		return
	}
	for i := range effects {
		for j := i; j > 0 && effects[j-1].Page == effects[i].Page; j-- {
			if overtakes(&effects[i]) && overtaken(&effects[j-1]) {
				e := effects[i]
				copy(effects[j:], effects[j-1:i])
				effects[j-1] = e
				break
			}
		}
	}
}

func is(k protocol.EffectKind) func(*protocol.Effect) bool {
	return func(e *protocol.Effect) bool { return e.Kind == k }
}

func sendsFrame(e *protocol.Effect) bool {
	return e.Kind == protocol.FrameToHome ||
		e.Kind == protocol.Send && e.Msg.Data == protocol.PageData && e.Msg.From.Tag == addr.Leaf
}

func acknowledges(e *protocol.Effect) bool {
	return e.Kind == protocol.Send && e.Msg.Kind == protocol.Ack && e.Msg.From.Tag == addr.Leaf
}
