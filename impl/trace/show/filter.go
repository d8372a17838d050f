package show

import (
	"slices"
	"strconv"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Filter chooses events. Its zero value takes all actions of a run.
type Filter struct {
	Pages []addr.PageNum // empty: all
	Nodes []addr.NodeID  // empty: all
	// Protocols are those whose events are shown; empty: pages, and these alone,
	// for the clocks of locks and barriers are not theirs.
	Protocols []*protocol.Protocol
	// Names are the locks and barriers to show, as they are called; empty: all, by
	// their numbers.
	Names map[uint64]string
	// From and To bound the Lamport clock, both included; To 0 is no bound.
	From, To uint64
	// Since and Until bound the time since the first record of the run; Until 0
	// is no bound. Clocks of different machines differ.
	Since, Until time.Duration
	// All takes the other records too: inputs, outputs, contents, steps on frames,
	// configurations.
	All bool
}

// OfPages says whether pages are shown.
func (f *Filter) OfPages() bool { return len(f.Protocols) == 0 }

// kinds are what the events that the filter takes are about.
func (f *Filter) kinds() (all []string) {
	if f.OfPages() {
		return []string{protocol.Pages.Object}
	}
	for _, p := range f.Protocols {
		all = append(all, p.Object)
	}
	return all
}

// takes says whether the filter takes a record, which is so old.
func (f *Filter) takes(r *trace.Record, age time.Duration) bool {
	_, named := f.Names[r.Object]
	switch {
	case !f.All && r.Kind != trace.KindAction,
		!f.OfPages() && r.Of != nil && !slices.Contains(f.Protocols, r.Of),
		len(f.Names) > 0 && !named,
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

// object is how what a record is about is called: the number of a page, the name
// or the number of a lock or barrier.
func (f *Filter) object(r *trace.Record) string {
	switch {
	case r.Kind == trace.KindConfigure:
		return ""
	case f.OfPages():
		return strconv.FormatUint(uint64(r.Page), 10)
	case f.Names[r.Object] != "":
		return f.Names[r.Object]
	case r.Object == 0 && r.Kind != trace.KindAction:
		return "" // an input that is about whatever a process has
	}
	return strconv.FormatUint(r.Object, 16)
}
