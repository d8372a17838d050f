package coord

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
)

// View is the whole configuration at one revision. It is immutable: whoever
// holds one may read it without a lock and must not change what it refers to.
type View struct {
	// Rev is the revision of the last transaction that is in the view.
	Rev int64
	// Cluster is what the founding node decided.
	Cluster Cluster
	// Epoch counts the changes of membership, from 1.
	Epoch uint64
	// Ended says why the cluster has ended. Empty: it has not.
	Ended string
	// Generation is that of the segment created last, whether or not it is still
	// there; zero before the first.
	Generation uint32
	// Members are all nodes that ever joined; the index is the NodeID. While the
	// cluster is not complete there may be gaps, zero values, for nodes that have
	// joined with a number of their choice.
	Members []Member
	// Segments are in the order of their first pages; they never overlap.
	Segments []Segment

	head    head
	headRev int64 // the revision that wrote head
}

// Complete reports whether all nodes of the cluster have joined.
func (v *View) Complete() bool { return len(v.Joined()) >= v.Cluster.Nodes }

// Joined are the members that there are, by their numbers.
func (v *View) Joined() []Member {
	if !slices.ContainsFunc(v.Members, Member.missing) {
		return v.Members
	}
	return slices.DeleteFunc(slices.Clone(v.Members), Member.missing)
}

// Missing are the numbers of the nodes that have not joined yet.
func (v *View) Missing() []addr.NodeID {
	var missing []addr.NodeID
	for i := range max(v.Cluster.Nodes, len(v.Members)) {
		if i >= len(v.Members) || v.Members[i].missing() {
			missing = append(missing, addr.NodeID(i))
		}
	}
	return missing
}

// Segment finds a segment by its name.
func (v *View) Segment(name string) (Segment, bool) {
	i := slices.IndexFunc(v.Segments, func(s Segment) bool { return s.Name == name })
	if i < 0 {
		return Segment{}, false
	}
	return v.Segments[i], true
}

// SegmentAt finds the segment that holds a page.
func (v *View) SegmentAt(page addr.PageNum) (Segment, bool) {
	// The first segment that ends beyond the page.
	i, _ := slices.BinarySearchFunc(v.Segments, page, func(s Segment, p addr.PageNum) int {
		if s.end() <= uint64(p) {
			return -1
		}
		return 1
	})
	if i == len(v.Segments) || v.Segments[i].First > page {
		return Segment{}, false
	}
	return v.Segments[i], true
}

// newView reads a complete list of the cluster's keys.
func newView(list []Entry, rev int64) (*View, error) {
	v := &View{}
	var ops []Op
	var headRev int64
	for _, e := range list {
		ops = append(ops, Put(e.Key, e.Value))
		if e.Key == keyHead {
			headRev = e.ModRev
		}
	}
	v, err := v.after(Event{Rev: rev, Ops: ops})
	if err != nil {
		return nil, err
	}
	if v.Cluster.ID == "" || headRev == 0 {
		return nil, fmt.Errorf("%w: found one first: start its first node without --join", ErrNoCluster)
	}
	v.headRev = headRev
	return v, nil
}

// after is the view that a transaction makes of v. Keys that this build does
// not know are left alone. A transaction that founds another cluster in the
// place of v's is ErrReplaced.
func (v *View) after(e Event) (*View, error) {
	if err := v.replacedBy(e); err != nil {
		return nil, err
	}
	next := *v
	next.Rev = e.Rev
	segments := false // Segments is the new view's own
	for _, op := range e.Ops {
		var err error
		switch {
		case op.Key == keyCluster && !op.Delete:
			if err = decode(op.Key, op.Value, &next.Cluster); err == nil {
				err = next.Cluster.check()
			}
		case op.Key == keyHead && !op.Delete:
			err = decode(op.Key, op.Value, &next.head)
			next.Epoch, next.Generation, next.Ended, next.headRev = next.head.Epoch, next.head.Generation, next.head.Ended, e.Rev
		case op.Key == keyCluster || op.Key == keyHead:
			err = fmt.Errorf("%w: record %q was deleted by somebody", ErrBadConfig, op.Key)
		case strings.HasPrefix(op.Key, prefixMember):
			err = next.setMember(op)
		case strings.HasPrefix(op.Key, prefixSegments):
			if !segments {
				next.Segments, segments = slices.Clone(v.Segments), true
			}
			err = next.setSegment(op)
		}
		if err != nil {
			return nil, err
		}
	}
	return &next, nil
}

// replacedBy is ErrReplaced if the transaction puts another cluster in the place
// of v's.
func (v *View) replacedBy(e Event) error {
	for _, op := range e.Ops {
		var c Cluster
		if op.Key != keyCluster || op.Delete || v.Cluster.ID == "" || decode(op.Key, op.Value, &c) != nil {
			continue
		}
		if c.ID != v.Cluster.ID {
			return replaced(v.Cluster.ID, c.ID)
		}
	}
	return nil
}

func replaced(old, now string) error {
	return fmt.Errorf("%w: %s by %s: start this node again to join that one", ErrReplaced, old, now)
}

func (v *View) setMember(op Op) error {
	var m Member
	if op.Delete {
		return fmt.Errorf("%w: record %q was deleted by somebody", ErrBadConfig, op.Key)
	}
	if err := decode(op.Key, op.Value, &m); err != nil {
		return err
	}
	switch i := int(m.Node); {
	case op.Key != m.key() || m.missing() || v.Cluster.Nodes > 0 && i >= v.Cluster.Nodes:
		return fmt.Errorf("%w: record %q says node %d, incarnation %d, of %d nodes", ErrBadConfig, op.Key, i, m.Incarnation, v.Cluster.Nodes)
	case i >= len(v.Members):
		// Views of one Config follow each other, each is made from the last:
		// beyond its length, an older view's array belongs to the newer one.
		v.Members = append(v.Members, make([]Member, i-len(v.Members))...)
		v.Members = append(v.Members, m)
	default:
		v.Members = slices.Clone(v.Members)
		v.Members[i] = m
	}
	return nil
}

// setSegment changes v.Segments in place.
func (v *View) setSegment(op Op) error {
	name := strings.TrimPrefix(op.Key, prefixSegments)
	v.Segments = slices.DeleteFunc(v.Segments, func(s Segment) bool { return s.Name == name })
	if op.Delete {
		return nil
	}
	var s Segment
	if err := decode(op.Key, op.Value, &s); err != nil {
		return err
	}
	i, same := slices.BinarySearchFunc(v.Segments, s.First, func(t Segment, first addr.PageNum) int {
		return cmp.Compare(t.First, first)
	})
	switch {
	case s.Name != name || s.Pages == 0 || s.Pages > uint64(addr.Pages) || !v.Cluster.Base.Holds(s.First, int64(s.Pages)):
		return fmt.Errorf("%w: record %q says %v", ErrBadConfig, op.Key, s)
	case same:
		return fmt.Errorf("%w: %v overlaps %v", ErrBadConfig, s, v.Segments[i])
	case i > 0 && v.Segments[i-1].end() > uint64(s.First):
		return fmt.Errorf("%w: %v overlaps %v", ErrBadConfig, s, v.Segments[i-1])
	case i < len(v.Segments) && s.end() > uint64(v.Segments[i].First):
		return fmt.Errorf("%w: %v overlaps %v", ErrBadConfig, s, v.Segments[i])
	}
	v.Segments = slices.Insert(v.Segments, i, s)
	return nil
}
