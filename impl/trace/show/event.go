package show

import (
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"time"

	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Event is one record of a run with what a reader wants to know of it.
type Event struct {
	trace.Record
	Where string        // the file, without its directory, and the line
	Age   time.Duration // since the first record of the run; for people
	// Object names the page, lock or barrier that it is about; empty where it is
	// about none.
	Object string
	Name   string // what happened
	Words  string // the message, or what else there is to say
	State  string // of the manager, after an action
}

// Events yields the events of a run that the filter takes, in causal order. An
// error is the last thing that is yielded: where a log is truncated, all that is
// known to come before its end was yielded.
func Events(run *trace.Run, f Filter) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		begin, err := beginning(run)
		if err != nil {
			yield(nil, err)
			return
		}
		// Each log has its own: shards and nodes learn of segments in their time,
		// and a clock that stands still says nothing of when.
		confs := make(map[*trace.File]*protocol.Configuration)
		events := run.Events()
		if !f.OfPages() {
			events = run.SyncEvents()
		}
		for e, err := range events {
			if err != nil {
				yield(nil, err)
				return
			}
			conf := confs[e.File]
			if conf == nil {
				conf = run.Conf
			}
			if e.Kind == trace.KindConfigure {
				if conf, err = e.Configure(conf); err != nil {
					yield(nil, fmt.Errorf("%w: %s: %w", ndjson.ErrMalformed, e.Where(), err))
					return
				}
				confs[e.File] = conf
			}
			age := time.Duration(e.T - begin)
			if !f.takes(&e.Record, age) {
				continue
			}
			shown := &Event{Record: e.Record, Where: filepath.Base(e.Where()), Age: age, Object: f.object(&e.Record), Name: name(&e.Record),
				State: stateOf(conf, &e.Record)}
			if shown.Words = recordWords(&e.Record); !f.OfPages() {
				shown.Words = syncWords(&e.Record)
			}
			if !yield(shown, nil) {
				return
			}
		}
	}
}

// beginning is the time of the first record of all logs.
func beginning(run *trace.Run) (int64, error) {
	begin, found := int64(0), false
	for _, f := range slices.Concat(run.Files, run.Sync) {
		for r, err := range f.Records() {
			if err != nil {
				return 0, err
			}
			if !found || r.T < begin {
				begin, found = r.T, true
			}
			break
		}
	}
	return begin, nil
}
