package show

import (
	"slices"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/trace"
)

// Filter chooses events. Its zero value takes all actions of a run.
type Filter struct {
	Pages []addr.PageNum // empty: all
	Nodes []addr.NodeID  // empty: all
	// From and To bound the Lamport clock, both included; To 0 is no bound.
	From, To uint64
	// Since and Until bound the time since the first record of the run; Until 0
	// is no bound. Clocks of different machines differ.
	Since, Until time.Duration
	// All takes the other records too: inputs, outputs, contents, configurations.
	All bool
}

// takes says whether the filter takes a record, which is so old.
func (f *Filter) takes(r *trace.Record, age time.Duration) bool {
	switch {
	case !f.All && r.Kind != trace.KindAction,
		len(f.Nodes) > 0 && !slices.Contains(f.Nodes, r.At.Node),
		len(f.Pages) > 0 && (r.Kind == trace.KindConfigure || !slices.Contains(f.Pages, r.Page)),
		r.Lamport < f.From, f.To > 0 && r.Lamport > f.To,
		age < f.Since, f.Until > 0 && age > f.Until:
		return false
	}
	return true
}
