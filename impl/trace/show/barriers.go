package show

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

var barriers = Shown{
	Protocol: protocol.Barriers,
	state:    func(_ *protocol.Configuration, r *trace.Record) string { return barrierWords(r.Post) },
	like: map[protocol.SyncKind]string{
		protocol.SyncJoin: "Req", protocol.SyncArrive: "Req", protocol.SyncJoined: "Grant", protocol.SyncDone: "Grant",
		protocol.SyncBroken: "Recall", protocol.SyncLeave: "Data", protocol.SyncLeft: "Ack",
	},
	says: func(m *protocol.Sync, words *list) {
		if m.Kind != protocol.SyncDone && m.Kind != protocol.SyncBroken {
			*words = append(*words, fmt.Sprintf("seat %d", m.Index))
		}
		words.add("of %d", uint64(m.Parties))
		words.add("round %d", m.Round)
		words.add("generation %d", m.Generation)
	},
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

type barrierSeat struct {
	Arrived uint64 `json:"arrived"`
}

// barrierWords is the generations of a barrier, the oldest first.
func barrierWords(text []byte) string {
	var all []generationState
	if json.Unmarshal(text, &all) != nil {
		return string(text)
	}
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
