package coverage

import (
	"strings"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Locks is spec/heaplock, Barriers is spec/barrier.
var (
	Locks    = syncSpec(protocol.Locks)
	Barriers = syncSpec(protocol.Barriers)
)

func syncSpec(p *protocol.Protocol) *Spec {
	return &Spec{
		Name:       p.Spec,
		Actions:    p.Actions,
		Protocol:   p,
		Phases:     []protocol.Phase{protocol.Idle},
		Levels:     syncLevels,
		Impossible: anything,
		sync:       true,
		action:     actionOf(p),
		said: func(rec *trace.Record) (*Case, error) {
			if rec.Sync == nil {
				return nil, nil
			}
			return &Case{Answer: rec.Sync.Code.String()}, nil
		},
	}
}

// syncLevels: a home's part of locks and barriers is at the root, the processes'
// at the leaf.
func syncLevels(action string, _ int) []Level {
	if strings.HasPrefix(action, "Home") {
		return []Level{Root}
	}
	return []Level{Leaf}
}
