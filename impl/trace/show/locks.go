package show

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

var locks = Shown{
	Protocol: protocol.Locks,
	state: func(_ *protocol.Configuration, r *trace.Record) string {
		if r.At.Tag == addr.Root {
			return stateWords(r, lockWords)
		}
		return stateWords(r, turnWords)
	},
	like: map[protocol.SyncKind]string{
		protocol.SyncAcquire: "Req", protocol.SyncGrant: "Grant", protocol.SyncCancel: "Recall", protocol.SyncRefuse: "Recall",
		protocol.SyncRelease: "Data", protocol.SyncReleased: "Ack",
	},
	says: func(m *protocol.Sync, words *list) { words.add("fence %d", m.Fence) },
}

// lockWords is the state of a lock at its home.
func lockWords(s *protocol.LockState) []string {
	words := []string{"free"}
	if s.Fence != 0 {
		words[0] = fmt.Sprintf("held by party %d of node %d, fence %d", s.Holder.Party, s.Holder.Node, s.Fence)
	}
	if s.Died {
		words = append(words, "the last holder died")
	}
	if len(s.Queue) > 0 {
		words = append(words, fmt.Sprintf("%d queued", len(s.Queue)))
	}
	return words
}

// turnWords is a lock at the node of a party.
func turnWords(s *protocol.TurnState) []string {
	words := []string{"not asked for"}
	switch t := s.Turn; {
	case t == nil:
	case t.Fence != 0:
		words[0] = fmt.Sprintf("has it, fence %d", t.Fence)
	case t.Canceling:
		words[0] = "waits, takes it back"
	default:
		words[0] = "waits"
	}
	if s.Dead {
		words = append(words, "the process is dead")
	}
	return words
}
