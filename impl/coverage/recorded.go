package coverage

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Recorded is what recorded runs have covered of one specification.
type Recorded struct {
	*Coverage
	Spec  string
	Logs  int // that were read
	Nodes int // of the largest run
	// Depth is that of the deepest tree of the runs, in links.
	Depth int
}

// Read counts the actions in the traces of the directories, each of which holds
// one run, by specification. It fails where a log is not whole: a count of a
// part would say that something did not happen.
func Read(dirs ...string) ([]*Recorded, error) {
	specs := make(map[string]*Recorded)
	for _, dir := range dirs {
		run, err := trace.OpenRun(dir)
		if err != nil {
			return nil, err
		}
		for _, f := range run.Files {
			r := specs[f.Header.Spec]
			if r == nil {
				r = &Recorded{Coverage: New(), Spec: f.Header.Spec}
				specs[f.Header.Spec] = r
			}
			r.Logs++
			r.Nodes, r.Depth = max(r.Nodes, f.Header.Nodes), max(r.Depth, run.Conf.Tree(0).Depth())
			if err := r.log(f); err != nil {
				return nil, err
			}
		}
	}
	return slices.SortedFunc(maps.Values(specs), func(a, b *Recorded) int { return cmp.Compare(a.Spec, b.Spec) }), nil
}

func (r *Recorded) log(f *trace.File) error {
	for rec, err := range f.Records() {
		if err != nil {
			return err
		}
		if rec.Kind != trace.KindAction {
			continue
		}
		right, err := leafRight(&rec)
		if err != nil {
			return fmt.Errorf("%w: %s:%d: %w", trace.ErrMalformed, f.Path, rec.Line, err)
		}
		r.count(rec.Act, rec.At.Tag, rec.Before, rec.Message, right)
	}
	return nil
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

// Never are the actions of Strong.tla that were not taken at a level where a
// tree of the runs' depth has them.
func (r *Recorded) Never() (rows []Row) {
	for _, a := range protocol.Actions() {
		for _, l := range Levels(a, r.Depth) {
			if r.At(a.String(), l) == 0 {
				rows = append(rows, Row{a.String(), l})
			}
		}
	}
	return rows
}
