package coverage

import (
	"fmt"
	"slices"

	"github.com/mome-dsm/mome/impl/ndjson"
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
	for _, s := range Specs {
		all = append(all, &Recorded{Coverage: New(s)})
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
				for _, r := range all {
					if act := r.action(&rec); act != "" {
						err = r.record(act, &rec)
					}
				}
				if err != nil {
					return nil, fmt.Errorf("%w: %s:%d: %w", ndjson.ErrMalformed, f.Path, rec.Line, err)
				}
			}
		}
		for _, r := range all {
			if r.sync {
				r.Logs += len(run.Sync)
			} else {
				r.Logs += len(run.Files)
			}
			r.Nodes, r.Depth = max(r.Nodes, run.Conf.Members.Len()), max(r.Depth, run.Conf.Tree(0).Depth())
		}
	}
	return all, nil
}

// record counts the action of a record.
func (r *Recorded) record(act string, rec *trace.Record) error {
	if !slices.Contains(r.Actions, act) {
		return fmt.Errorf("%s has no action %s", r.Name, act)
	}
	said, err := r.said(rec)
	r.count(act, rec.At.Tag, rec.Before, said)
	return err
}
