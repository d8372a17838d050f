package linearizability

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/history"
)

// states are the states that a word went through, by value, as its operations
// tell.
type states struct {
	byValue map[uint64]*cluster
	order   []*cluster // as they were met
	refused []*Operation
	// open are writes and compare-and-swaps without an answer, by the value that
	// they may have put there.
	open map[uint64][]*Operation
	// wild are additions without an answer: they may have put anything there.
	wild int
	// unused are open operations that are left out since nobody saw their value.
	unused int
}

func (s *states) at(value uint64) *cluster {
	c := s.byValue[value]
	if c == nil {
		c = &cluster{value: value}
		s.byValue[value] = c
		s.order = append(s.order, c)
	}
	return c
}

func (s *states) arrive(value uint64, o *Operation) {
	c := s.at(value)
	if c.arrivals++; c.arrivals == 1 {
		c.by = o
		c.take(o)
	} else {
		c.also = o
	}
}

func (s *states) depart(value uint64, o *Operation) {
	c := s.at(value)
	switch c.departures++; c.departures {
	case 1:
		c.out = o
	case 2:
		c.outAlso = o
	}
}

// newStates sorts the operations of a word.
func newStates(ops []*Operation) *states {
	s := &states{byValue: make(map[uint64]*cluster, len(ops)/2), open: make(map[uint64][]*Operation)}
	zero := s.at(0)
	zero.initial = true
	for _, o := range ops {
		switch {
		case o.Op == history.OpRead && o.open():
			// Nothing was seen, nothing was done.
		case o.Op == history.OpRead:
			c := s.at(o.Value)
			c.reads++
			c.take(o)
		case o.Op == history.OpAdd && o.open():
			s.wild++
		case o.open():
			s.open[o.Value] = append(s.open[o.Value], o)
		case o.Op == history.OpWrite:
			s.arrive(o.Value, o)
		case o.Op == history.OpAdd:
			s.depart(o.Result-o.Value, o)
			s.arrive(o.Result, o)
		case o.Result != 0:
			s.depart(o.Old, o)
			s.arrive(o.Value, o)
		default:
			s.refused = append(s.refused, o)
		}
	}
	return s
}

// impossible finds a value that was seen and never put there, or was replaced
// more often than it was put there: whatever the order, and whether values are
// unique or not.
func (s *states) impossible() *conflict {
	for _, c := range s.order {
		arrivals := c.arrivals + len(s.open[c.value]) + s.wild
		if c.initial {
			arrivals++
		}
		switch {
		case arrivals == 0 && c.reads > 0:
			return &conflict{why: fmt.Sprintf("%d was read, and nobody has put it there", c.value), ops: []*Operation{c.first},
				window: &window{values: map[uint64]bool{c.value: true}}}
		case arrivals == 0 && c.departures > 0:
			return &conflict{why: fmt.Sprintf("%d was replaced, and nobody has put it there", c.value), ops: []*Operation{c.out},
				window: &window{values: map[uint64]bool{arrivalOf(c.out): true}}}
		case c.departures > arrivals:
			return s.replacedTwice(c)
		}
	}
	return nil
}

func (s *states) replacedTwice(c *cluster) *conflict {
	f := &conflict{why: fmt.Sprintf("%d was replaced %d times, and put there less often", c.value, c.departures),
		ops: []*Operation{c.out}}
	if c.outAlso != nil {
		f.ops = append(f.ops, c.outAlso)
	}
	if c.by != nil {
		f.ops = append(f.ops, c.by)
	}
	if c.departures == 2 && c.moves(c.out) && c.moves(c.outAlso) {
		f.window = &window{start: c.value, ops: []*Operation{c.out, c.outAlso}}
	}
	return f
}

// moves says that the operation has certainly replaced the value, by another.
func (c *cluster) moves(o *Operation) bool { return !o.open() && arrivalOf(o) != c.value }

// arrivalOf is the value that an operation has put there.
func arrivalOf(o *Operation) uint64 {
	if o.Op == history.OpAdd {
		return o.Result
	}
	return o.Value
}

// unique says whether every value was put there at most once, and by whom is
// known. Of the open operations those take part that alone can have put a value
// there which was seen.
func (s *states) unique() bool {
	if s.byValue[0].arrivals > 0 || len(s.open[0]) > 0 {
		return false
	}
	// What an open operation replaces is seen, too, and may be appended.
	for i := 0; i < len(s.order); i++ {
		c := s.order[i]
		if c.arrivals > 1 {
			return false
		}
		open := s.open[c.value]
		switch {
		case c.initial || c.arrivals == 1 && len(open) == 0:
			continue
		case c.arrivals == 1 || len(open) != 1:
			return false
		}
		s.arrive(c.value, open[0])
		if open[0].Op == history.OpCAS {
			s.depart(open[0].Old, open[0])
		}
		delete(s.open, c.value)
	}
	for _, open := range s.open {
		s.unused += len(open)
	}
	return true
}

// blocks follows the states from those that a write or nobody has put there. The
// values are unique, and each that was replaced was there.
func (s *states) blocks() ([]*block, *conflict) {
	for _, c := range s.order {
		switch {
		case c.departures > 1:
			return nil, s.replacedTwice(c)
		case c.out != nil:
			c.next = s.byValue[arrivalOf(c.out)]
		}
	}
	var all []*block
	left := 0
	for _, c := range s.order {
		if c.arrivals > 0 || c.initial {
			left++
		}
		if !c.initial && (c.by == nil || c.by.Op != history.OpWrite) {
			continue
		}
		var chain []*cluster
		for d := c; d != nil; d = d.next {
			chain = append(chain, d)
		}
		all = append(all, newBlock(chain))
	}
	for _, b := range all {
		left -= len(b.chain)
	}
	if left > 0 {
		return nil, s.circle(all)
	}
	return all, nil
}

// refuse gives the refused operations to the states that they have not found, and
// says whether there are any.
func (s *states) refuse() (matters bool) {
	for _, o := range s.refused {
		if c := s.byValue[o.Old]; c != nil && (c.initial || c.arrivals > 0) {
			c.refused = append(c.refused, o)
			matters = true
		}
	}
	return matters
}

// circle explains states that no block has: each was put there by replacing
// another one of them.
func (s *states) circle(all []*block) *conflict {
	had := make(map[*cluster]bool)
	for _, b := range all {
		for _, c := range b.chain {
			had[c] = true
		}
	}
	f := new(conflict)
	w := &window{values: make(map[uint64]bool)}
	for _, c := range s.order {
		if had[c] || c.by == nil {
			continue
		}
		for d := c; d != nil && !w.values[d.value]; d = d.next {
			w.values[d.value] = true
			f.ops = append(f.ops, d.by)
		}
		f.why = fmt.Sprintf("%d came from itself: nobody has put the first of these values there", c.value)
		f.window = w
		break
	}
	return f
}

// byValues judges a word without a search, where each value was put there at
// most once. It does not decide if that is not so, and in two more cases: open
// operations, which it leaves out, may have been needed; or compare-and-swaps were
// refused, and the orders of the blocks were too many to try.
func byValues(ops []*Operation) (c *conflict, checker, doubt string) {
	s := newStates(ops)
	if c := s.impossible(); c != nil {
		return c, checkerChain, ""
	}
	if !s.unique() {
		return nil, "", doubtValues
	}
	if c := s.impossible(); c != nil { // since open operations have taken part
		return c, checkerChain, ""
	}
	wild := ""
	if s.wild > 0 {
		wild = doubtOpen
	}
	blocks, c := s.blocks()
	if c != nil {
		return c, checkerChain, wild
	}
	checker = checkerZone
	for _, b := range blocks {
		if len(b.chain) > 1 {
			checker = checkerChain
		}
		if c == nil {
			c = inOrder(b.chain)
		}
	}
	if c == nil {
		c = zones(blocks)
	}
	if c != nil {
		return c, checker, wild
	}
	if !s.refuse() {
		return nil, checker, ""
	}
	c, decided := arrange(blocks)
	switch {
	case c == nil:
	case !decided:
		doubt = doubtOrders
	case s.wild+s.unused > 0:
		doubt = doubtOpen
	}
	return c, checkerChain, doubt
}
