package show

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// syncWords is what a record of locks and barriers is about beside its object:
// the message, or what a process asked for.
func syncWords(r *trace.Record) string {
	var words []string
	add := func(format string, value uint64) {
		if value != 0 {
			words = append(words, fmt.Sprintf(format, value))
		}
	}
	switch m, c := r.Sync, r.Call; {
	case r.Kind == trace.KindOutput:
		return outputWords(r.Out)
	case m != nil:
		words = append(words, fmt.Sprintf("← %v %v", m.From, m.Kind))
		if code := m.Code; code != protocol.CodeOK {
			words[0] += fmt.Sprintf(" %v", code)
		}
		add("party %d", m.Party)
		switch m.Kind {
		case protocol.SyncJoin, protocol.SyncJoined:
			words = append(words, fmt.Sprintf("seat %d", m.Index))
			add("of %d", uint64(m.Parties))
		case protocol.SyncArrive:
			words = append(words, fmt.Sprintf("seat %d", m.Index))
			add("round %d", m.Round)
		case protocol.SyncDone:
			add("round %d", m.Round)
		case protocol.SyncLeave, protocol.SyncLeft:
			words = append(words, fmt.Sprintf("seat %d", m.Index))
		default:
			add("fence %d", m.Fence)
		}
		add("generation %d", m.Generation)
	case c != nil:
		add("party %d", c.Party)
		if c.Try {
			words = append(words, "try")
		}
		add("fence %d", c.Fence)
		add("round %d", c.Round)
		add("takes back request %d", c.Target)
	}
	return strings.Join(words, ", ")
}

// What the states of locks and barriers have in common with what is shown of
// them; which there are, protocol.SyncNode.AppendState says.
type lockState struct {
	// A lock at its home.
	Fence  *uint64     `json:"fence"`
	Holder *lockParty  `json:"holder"`
	Died   bool        `json:"died"`
	Queue  []lockParty `json:"queue"`
	Dead   *bool       `json:"dead"` // a lock at a node
	Turn   *lockTurn   `json:"turn"`
}

// generationState is a generation of a barrier, at its home or at a node.
type generationState struct {
	Generation uint64        `json:"generation"`
	Seats      []barrierSeat `json:"seats"`
	Over       uint64        `json:"over"`
	Broken     bool          `json:"broken"`
	// Seats whose parties have left behind their arrival.
	Left []uint32 `json:"left"`
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

type barrierSeat struct {
	Arrived uint64 `json:"arrived"`
}

// lockWords is the state of a lock or a barrier in short.
func lockWords(text []byte) string {
	if len(text) == 0 {
		return ""
	}
	var generations []generationState
	if json.Unmarshal(text, &generations) == nil {
		return generationWords(generations)
	}
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

// generationWords is the generations of a barrier, the oldest first.
func generationWords(all []generationState) string {
	if len(all) == 0 {
		return "nobody has a seat"
	}
	var texts []string
	for _, s := range all {
		arrived := 0
		for _, seat := range s.Seats {
			if seat.Arrived > s.Over {
				arrived++
			}
		}
		words := []string{fmt.Sprintf("generation %d, round %d", s.Generation, s.Over+1), fmt.Sprintf("%d seats, %d arrived", len(s.Seats), arrived)}
		if len(s.Left) > 0 {
			words = append(words, fmt.Sprintf("%d arrived and left", len(s.Left)))
		}
		if s.Broken {
			words = append(words, "broken")
		}
		texts = append(texts, strings.Join(words, "; "))
	}
	return strings.Join(texts, " | ")
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
