package coord

import (
	"iter"

	"github.com/tidwall/btree"

	"github.com/mome-dsm/mome/impl/addr"
)

// table is the segments of a view by name and by page, and the pages between
// them. Tables share what they have in common: a change costs the logarithm of
// their size.
//
// A table is immutable once its view is. Only whoever makes the next view copies
// it (a copy marks both as sharing their nodes, which no reader looks at).
type table struct {
	names btree.Map[string, *Segment]
	pages btree.Map[addr.PageNum, *Segment] // by first page
	gaps  btree.Set[gap]                    // never empty ones, nor two that touch
	end   uint64                            // of the global space
}

// gap is a free range of pages, in the order of length and then of place: the
// number of pages less one in the upper half, the first page in the lower.
type gap uint64

func gapOf(first, end uint64) gap { return gap((end-first-1)<<32 | first) }

func (g gap) first() addr.PageNum { return addr.PageNum(g) }

func newTable(base addr.Base) *table {
	t := &table{end: uint64(base.Pages())}
	t.gaps.Insert(gapOf(0, t.end))
	return t
}

// copy is a table that may be changed and leaves this one as it is.
func (t *table) copy() *table {
	return &table{*t.names.Copy(), *t.pages.Copy(), *t.gaps.Copy(), t.end}
}

// room is the smallest free range that has so many pages, and of those the lowest.
func (t *table) room(pages uint64) (first addr.PageNum, ok bool) {
	t.gaps.Ascend(gapOf(0, pages), func(g gap) bool {
		first, ok = g.first(), true
		return false
	})
	return first, ok
}

// at is the last segment that begins at the page or before it, below the first
// one behind that; nil: there is none.
func (t *table) at(page addr.PageNum) (below, above *Segment) {
	t.pages.Descend(page, func(_ addr.PageNum, s *Segment) bool {
		below = s
		return false
	})
	t.pages.Ascend(page, func(first addr.PageNum, s *Segment) bool {
		if first > page {
			above = s
		}
		return above == nil
	})
	return below, above
}

// around is where the free pages at a page would begin and end, if no segment had
// it.
func (t *table) around(page addr.PageNum) (begin, end uint64) {
	below, above := t.at(page)
	if below != nil {
		begin = below.end()
	}
	end = t.end
	if above != nil {
		end = uint64(above.First)
	}
	return begin, end
}

// insert adds a segment whose pages are free and whose name nobody has.
func (t *table) insert(s *Segment) {
	begin, end := t.around(s.First)
	t.gaps.Delete(gapOf(begin, end))
	if begin < uint64(s.First) {
		t.gaps.Insert(gapOf(begin, uint64(s.First)))
	}
	if s.end() < end {
		t.gaps.Insert(gapOf(s.end(), end))
	}
	t.names.Set(s.Name, s)
	t.pages.Set(s.First, s)
}

// remove takes a segment out.
func (t *table) remove(s *Segment) {
	t.names.Delete(s.Name)
	t.pages.Delete(s.First)
	begin, end := t.around(s.First)
	if begin < uint64(s.First) {
		t.gaps.Delete(gapOf(begin, uint64(s.First)))
	}
	if s.end() < end {
		t.gaps.Delete(gapOf(s.end(), end))
	}
	t.gaps.Insert(gapOf(begin, end))
}

// all is the segments in the order of their first pages.
func (t *table) all() iter.Seq[*Segment] {
	return func(yield func(*Segment) bool) {
		t.pages.Scan(func(_ addr.PageNum, s *Segment) bool { return yield(s) })
	}
}

// keptChanges is how many changes of segments a view remembers, at least.
const keptChanges = 1024

// change is a name under which the transaction of a revision has made or removed a
// segment.
type change struct {
	rev  int64
	name string
}

// changes are the changes of segments that are in a view, the last ones.
type changes struct {
	from int64 // all those of later revisions are here
	// list is in order. Views of one Config follow each other, each is made from
	// the last: beyond its length, an older view's array belongs to the newer one.
	list []change
}

func (c changes) with(next change) changes {
	if len(c.list) == 2*keptChanges {
		c.from = c.list[keptChanges-1].rev
		c.list = append(make([]change, 0, 2*keptChanges), c.list[keptChanges:]...)
	}
	c.list = append(c.list, next)
	return c
}
