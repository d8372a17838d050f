package coverage

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Recorded is what recorded runs have covered of one specification.
type Recorded struct {
	*Coverage
	Logs  int // that were read
	Nodes int // of the largest run
	// Depth is that of the deepest tree of the runs, in links.
	Depth int
}

// Read counts the actions in the traces of the directories, each of which holds
// one run, by specification. It fails where a log is not whole: a count of a
// part would say that something did not happen.
func Read(dirs ...string) ([]*Recorded, error) {
	strong, frame := &Recorded{Coverage: New(Strong)}, &Recorded{Coverage: New(Frame)}
	all := []*Recorded{strong, frame}
	for _, dir := range dirs {
		run, err := trace.OpenRun(dir)
		if err != nil {
			return nil, err
		}
		for _, f := range run.Files {
			for rec, err := range f.Records() {
				if err != nil {
					return nil, err
				}
				switch rec.Kind {
				case trace.KindAction:
					err = strong.action(&rec)
				case trace.KindStep:
					frame.step(&rec)
				}
				if err != nil {
					return nil, fmt.Errorf("%w: %s:%d: %w", trace.ErrMalformed, f.Path, rec.Line, err)
				}
			}
		}
		for _, r := range all {
			r.Logs += len(run.Files)
			r.Nodes, r.Depth = max(r.Nodes, len(run.Conf.Members)), max(r.Depth, run.Conf.Tree(0).Depth())
		}
	}
	return all, nil
}

func (r *Recorded) action(rec *trace.Record) error {
	if !slices.Contains(r.Actions, rec.Act) {
		return fmt.Errorf("%s has no action %s", r.Name, rec.Act)
	}
	right, err := leafRight(rec)
	r.count(rec.Act, rec.At.Tag, rec.Before, rec.Message, right)
	return err
}

func (r *Recorded) step(rec *trace.Record) {
	step := rec.Step.Step.String()
	r.Cells[Cell{step, LevelOf(rec.At.Tag), protocol.Idle}]++
	if rec.Step.Answer != "" {
		r.Cases[Case{Action: step, Answer: rec.Step.Answer}]++
	}
}

// leafRight is the right of a leaf after an action; nobody asks for that of
// others.
func leafRight(rec *trace.Record) (protocol.Right, error) {
	if rec.At.Tag != addr.Leaf || rec.Message == nil || rec.Message.Kind != protocol.Recall {
		return protocol.None, nil
	}
	var post struct{ Right string }
	if err := json.Unmarshal(rec.Post, &post); err != nil {
		return protocol.None, fmt.Errorf("post: %w", err)
	}
	for r := protocol.None; r <= protocol.Write; r++ {
		if r.String() == post.Right {
			return r, nil
		}
	}
	return protocol.None, fmt.Errorf("post: there is no right %q", post.Right)
}
