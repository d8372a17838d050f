package coverage

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/ndjson"
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
	var all []*Recorded
	of := make(map[*Spec]*Recorded)
	for _, s := range []*Spec{Strong, Frame, Locks, Barriers} {
		of[s] = &Recorded{Coverage: New(s)}
		all = append(all, of[s])
	}
	for _, dir := range dirs {
		run, err := trace.OpenRun(dir)
		if err == nil {
			err = run.Whole()
		}
		if err != nil {
			return nil, err
		}
		for _, f := range slices.Concat(run.Files, run.Sync) {
			for rec, err := range f.Records() {
				if err != nil {
					return nil, err
				}
				switch {
				case rec.Kind == trace.KindStep:
					of[Frame].step(&rec)
				case rec.Kind != trace.KindAction:
				case f.Header.Spec != trace.SyncSpec:
					err = of[Strong].action(&rec)
				case rec.Barrier:
					err = of[Barriers].sync(&rec)
				default:
					err = of[Locks].sync(&rec)
				}
				if err != nil {
					return nil, fmt.Errorf("%w: %s:%d: %w", ndjson.ErrMalformed, f.Path, rec.Line, err)
				}
			}
		}
		for s, r := range of {
			if s == Locks || s == Barriers {
				r.Logs += len(run.Sync)
			} else {
				r.Logs += len(run.Files)
			}
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

// sync counts an action of locks or barriers, with the code of its message.
func (r *Recorded) sync(rec *trace.Record) error {
	if !slices.Contains(r.Actions, rec.Act) {
		return fmt.Errorf("%s has no action %s", r.Name, rec.Act)
	}
	r.Cells[Cell{rec.Act, LevelOf(rec.At.Tag), protocol.Idle}]++
	if rec.Sync != nil {
		r.Cases[Case{Action: rec.Act, Answer: protocol.SyncCode(rec.Sync.Code).String()}]++
	}
	return nil
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
