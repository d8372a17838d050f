package coord

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/tidwall/btree"

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
	Generation uint64

	members  btree.Map[addr.NodeID, Member] // all that ever joined
	segments *table                         // nil: there have been none
	changes  changes
	head     head
	headRev  int64 // the revision that wrote head
}

// Complete reports whether all nodes of the cluster have joined.
func (v *View) Complete() bool { return v.Nodes() >= v.Cluster.Nodes }

// Nodes is how many nodes have joined.
func (v *View) Nodes() int { return v.members.Len() }

// Member is the node with this number, zero if it has not joined.
func (v *View) Member(node addr.NodeID) Member {
	m, _ := v.members.Get(node)
	return m
}

// Joined are all nodes that ever joined, in the order of their numbers. There may be
// gaps while some are missing: a node may join with a number of its choice.
func (v *View) Joined() []Member { return v.members.Values() }

// Missing are the numbers of the nodes that have not joined yet.
func (v *View) Missing() []addr.NodeID {
	var missing []addr.NodeID
	for i := range v.Cluster.Nodes {
		if v.Member(addr.NodeID(i)).missing() {
			missing = append(missing, addr.NodeID(i))
		}
	}
	return missing
}

// Segment finds a segment by its name.
func (v *View) Segment(name string) (Segment, bool) {
	if v.segments == nil {
		return Segment{}, false
	}
	s, ok := v.segments.names.Get(name)
	if !ok {
		return Segment{}, false
	}
	return *s, true
}

// SegmentAt finds the segment that holds a page.
func (v *View) SegmentAt(page addr.PageNum) (Segment, bool) {
	if v.segments == nil {
		return Segment{}, false
	}
	s, _ := v.segments.at(page)
	if s == nil || s.end() <= uint64(page) {
		return Segment{}, false
	}
	return *s, true
}

// Len is how many segments there are.
func (v *View) Len() int {
	if v.segments == nil {
		return 0
	}
	return v.segments.pages.Len()
}

// Segments is all segments in the order of their first pages. They never overlap.
func (v *View) Segments() iter.Seq[Segment] {
	return func(yield func(Segment) bool) {
		if v.segments == nil {
			return
		}
		for s := range v.segments.all() {
			if !yield(*s) {
				return
			}
		}
	}
}

// SegmentsAfter is the segments whose names come after one, in their order.
func (v *View) SegmentsAfter(name string) iter.Seq[Segment] {
	return func(yield func(Segment) bool) {
		if v.segments == nil {
			return
		}
		v.segments.names.Ascend(name, func(other string, s *Segment) bool { return other == name || yield(*s) })
	}
}

// Since is the segments that there are no more, and those that there are and were
// not, since an older view of the same cluster, or since there were none (nil). It
// costs what has changed, if that is not very much.
func (v *View) Since(old *View) (gone, made []Segment) {
	if old == nil {
		old = new(View)
	}
	var d differences
	if old.Rev < v.changes.from {
		for s := range old.Segments() {
			d.add(s.Name, old, v)
		}
		for s := range v.Segments() {
			if _, ok := old.Segment(s.Name); !ok {
				d.add(s.Name, old, v)
			}
		}
		return d.gone, d.made
	}
	i, _ := slices.BinarySearchFunc(v.changes.list, old.Rev+1, func(c change, rev int64) int { return cmp.Compare(c.rev, rev) })
	changed := v.changes.list[i:]
	seen := make(map[string]bool, len(changed))
	for _, c := range changed {
		if !seen[c.name] {
			seen[c.name] = true
			d.add(c.name, old, v)
		}
	}
	return d.gone, d.made
}

// differences are those between two views.
type differences struct{ gone, made []Segment }

// add looks at what has a name.
func (d *differences) add(name string, old, now *View) {
	was, had := old.Segment(name)
	is, has := now.Segment(name)
	if had && has && same(&was, &is) {
		return
	}
	if had {
		d.gone = append(d.gone, was)
	}
	if has {
		d.made = append(d.made, is)
	}
}

// same says whether two records are of one segment. That is a matter of its
// generation: a name comes again, and so do pages.
func same(a, b *Segment) bool {
	return a.Generation == b.Generation
}

// room is the first of so many free pages.
func (v *View) room(pages uint64) (first addr.PageNum, ok bool) {
	if v.segments == nil {
		return newTable(v.Cluster.Base).room(pages)
	}
	return v.segments.room(pages)
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
	v.headRev, v.changes = headRev, changes{from: rev}
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
	members, segments := false, false // they are the new view's own
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
			if !members {
				next.members, members = *next.members.Copy(), true
			}
			err = next.setMember(op)
		case strings.HasPrefix(op.Key, prefixSegments):
			if !segments {
				next.segments, segments = newTable(next.Cluster.Base), true
				if v.segments != nil {
					next.segments = v.segments.copy()
				}
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

// setMember changes v's members in place.
func (v *View) setMember(op Op) error {
	var m Member
	if op.Delete {
		return fmt.Errorf("%w: record %q was deleted by somebody", ErrBadConfig, op.Key)
	}
	if err := decode(op.Key, op.Value, &m); err != nil {
		return err
	}
	if op.Key != m.key() || m.missing() || v.Cluster.Nodes > 0 && int(m.Node) >= v.Cluster.Nodes {
		return fmt.Errorf("%w: record %q says node %d, incarnation %d, of %d nodes", ErrBadConfig, op.Key, m.Node, m.Incarnation, v.Cluster.Nodes)
	}
	v.members.Set(m.Node, m)
	return nil
}

// setSegment changes v's table and changes in place.
func (v *View) setSegment(op Op) error {
	name := strings.TrimPrefix(op.Key, prefixSegments)
	if was, ok := v.segments.names.Get(name); ok {
		v.segments.remove(was)
		v.changes = v.changes.with(change{v.Rev, name})
	}
	if op.Delete {
		return nil
	}
	s := new(Segment)
	if err := decode(op.Key, op.Value, s); err != nil {
		return err
	}
	if s.Name != name || s.Pages == 0 || s.Pages > uint64(addr.Pages) || !v.Cluster.Base.Holds(s.First, int64(s.Pages)) {
		return fmt.Errorf("%w: record %q says %v", ErrBadConfig, op.Key, s)
	}
	below, above := v.segments.at(s.First)
	switch {
	case below != nil && below.end() > uint64(s.First):
		return fmt.Errorf("%w: %v overlaps %v", ErrBadConfig, s, below)
	case above != nil && s.end() > uint64(above.First):
		return fmt.Errorf("%w: %v overlaps %v", ErrBadConfig, s, above)
	}
	v.segments.insert(s)
	v.changes = v.changes.with(change{v.Rev, name})
	return nil
}
