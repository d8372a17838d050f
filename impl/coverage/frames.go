package coverage

import (
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Frame is spec/frame, the layer below the leaf. A log has its steps, not all
// actions.
var Frame = &Spec{
	Name:       "frame",
	Actions:    frameSteps(),
	Protocol:   protocol.Pages,
	Phases:     []protocol.Phase{protocol.Idle},
	Levels:     frameLevels,
	Impossible: anything,
	action: func(rec *trace.Record) string {
		if rec.Kind != trace.KindStep {
			return ""
		}
		return rec.Step.Step.String()
	},
	said: func(rec *trace.Record) (*Case, error) {
		if rec.Step.Answer == "" {
			return nil, nil
		}
		return &Case{Answer: rec.Step.Answer}, nil
	},
}

func frameSteps() (all []string) {
	for _, s := range trace.FrameSteps() {
		all = append(all, s.String())
	}
	return all
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
