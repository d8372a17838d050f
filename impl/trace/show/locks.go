package show

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

var locks = Shown{
	Protocol: protocol.Locks,
	state:    func(_ *protocol.Configuration, r *trace.Record) string { return lockWords(r.Post) },
	like: map[protocol.SyncKind]string{
		protocol.SyncAcquire: "Req", protocol.SyncGrant: "Grant", protocol.SyncCancel: "Recall", protocol.SyncRefuse: "Recall",
		protocol.SyncRelease: "Data", protocol.SyncReleased: "Ack",
	},
	says: func(m *protocol.Sync, words *list) { words.add("fence %d", m.Fence) },
}

// What is shown of the state of a lock; protocol.SyncNode.AppendState says what there
// is.
type lockState struct {
	// A lock at its home.
	Fence  *uint64     `json:"fence"`
	Holder *lockParty  `json:"holder"`
	Died   bool        `json:"died"`
	Queue  []lockParty `json:"queue"`
	Dead   *bool       `json:"dead"` // a lock at a node
	Turn   *lockTurn   `json:"turn"`
}

type lockParty struct {
	Node  addr.NodeID `json:"node"`
	Party uint64      `json:"party"`
}

func (p lockParty) String() string { return fmt.Sprintf("party %d of node %d", p.Party, p.Node) }

type lockTurn struct {
	Fence     uint64 `json:"fence"`
	Canceling bool   `json:"canceling"`
}

// lockWords is the state of a lock.
func lockWords(text []byte) string {
	var s lockState
	if json.Unmarshal(text, &s) != nil {
		return string(text)
	}
	var words []string
	switch {
	case s.Dead != nil:
		words = s.turnWords()
	case s.Fence != nil && s.Holder != nil:
		words = []string{fmt.Sprintf("held by %v, fence %d", *s.Holder, *s.Fence)}
	case s.Fence != nil:
		words = []string{"free"}
		if s.Died {
			words = append(words, "the last holder died")
		}
	default:
		return string(text)
	}
	if len(s.Queue) > 0 {
		words = append(words, fmt.Sprintf("%d queued", len(s.Queue)))
	}
	return strings.Join(words, "; ")
}

// turnWords is a lock at the node of a party.
func (s *lockState) turnWords() []string {
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
	if *s.Dead {
		words = append(words, "the process is dead")
	}
	return words
}
