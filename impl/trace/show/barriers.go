package show

import (
	"fmt"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

var barriers = Shown{
	Protocol: protocol.Barriers,
	state: func(_ *protocol.Configuration, r *trace.Record) string {
		if r.At.Tag == addr.Root {
			return stateWords(r, barrierWords)
		}
		return stateWords(r, meetingsWords)
	},
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

// meetingsWords is the generations of a barrier that a node knows.
func meetingsWords(all *[]protocol.Meeting) []string {
	var known []protocol.BarrierState
	for _, m := range *all {
		b := protocol.BarrierState{Barrier: protocol.Barrier{Generation: m.Generation, Parties: m.Parties, Over: m.Over, Broken: m.Broken}}
		for _, s := range m.Seats {
			b.Seats = append(b.Seats, protocol.HomeSeat{Index: s.Index, Party: s.Party, Arrived: s.Arrived})
		}
		known = append(known, b)
	}
	return barrierWords(&known)
}

// barrierWords is the generations of a barrier at its home, the oldest first.
func barrierWords(all *[]protocol.BarrierState) []string {
	if len(*all) == 0 {
		return []string{"nobody has a seat"}
	}
	var texts []string
	for _, s := range *all {
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
	return []string{strings.Join(texts, " | ")}
}
