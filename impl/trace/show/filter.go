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
	// All takes the other records too: inputs, outputs, contents, steps on frames,
	// configurations.
	All bool
}

// takes says whether the filter takes a record, which is so old.
func (f *Filter) takes(r *trace.Record, age time.Duration) bool {
	switch {
	case !f.All && r.Kind != trace.KindAction,
		len(f.Nodes) > 0 && !slices.Contains(f.Nodes, r.At.Node),
		len(f.Pages) > 0 && !slices.ContainsFunc(f.Pages, func(p addr.PageNum) bool { return about(r, p) }),
		r.Lamport < f.From, f.To > 0 && r.Lamport > f.To,
		age < f.Since, f.Until > 0 && age > f.Until:
		return false
	}
	return true
}

// about says whether a record is about a page.
func about(r *trace.Record, p addr.PageNum) bool {
	switch {
	case r.Kind == trace.KindConfigure:
		return false
	case r.Kind == trace.KindStep && r.Step.Pages > 0:
		return p >= r.Page && int64(p-r.Page) < r.Step.Pages
	}
	return p == r.Page
}
