package linearizability

import "fmt"

// cluster is a state that a word was in once: its value, what put it there, and
// who read it (the term is Gibbons & Korach's).
type cluster struct {
	value uint64
	by    *Operation // put it there; nil: the initial value
	first *Operation // of by and the reads, what returned first; nil if there is none
	last  *Operation // of them, what was called last
	reads int
	// refused are operations whose answer says that the word was not in this
	// state.
	refused []*Operation

	initial  bool
	arrivals int        // operations that put the value there
	also     *Operation // the second of them
	// out replaces the value, as one of departures that say so.
	out        *Operation
	outAlso    *Operation // the second of them
	departures int
	next       *cluster // what out leads to
	lock       bool     // the state of a lock: value is the fence, 0 if it is free
}

func (c *cluster) String() string {
	switch {
	case c.lock && c.value == 0:
		return "the free lock"
	case c.lock:
		return fmt.Sprintf("the turn with fence %d", c.value)
	case c.by == nil:
		return fmt.Sprintf("the initial value %d", c.value)
	}
	return fmt.Sprintf("the value %d", c.value)
}

// take counts an operation as one that saw the state.
func (c *cluster) take(o *Operation) {
	if c.first == nil || o.Return < c.first.Return {
		c.first = o
	}
	if c.last == nil || o.Call > c.last.Call {
		c.last = o
	}
}

// conflict is why operations cannot have happened.
type conflict struct {
	why string
	ops []*Operation // that contradict each other, as few as possible
	// window has enough of the word to see it; nil: nothing less than all.
	window *window
}

// inOrder judges states that can only have followed each other as they stand in
// the chain: there are points in time for all operations exactly if none returned
// before one was called that belongs to an earlier state. O(n).
func inOrder(chain []*cluster) *conflict {
	var latest *Operation // called last among those that must come before
	later := func(o *Operation) {
		if o != nil && (latest == nil || o.Call > latest.Call) {
			latest = o
		}
	}
	for j, c := range chain {
		later(c.by)
		if c.first != nil && latest != nil && c.first.precedes(latest) {
			return outOfOrder(chain, j)
		}
		later(c.last)
	}
	return nil
}

// outOfOrder explains why state j is too early, by the nearest state that it is
// too early for. All states between these two are concurrent with both, so they
// are no more than there are clients.
func outOfOrder(chain []*cluster, j int) *conflict {
	c := chain[j]
	if c.by != nil && c.first.precedes(c.by) {
		return &conflict{why: fmt.Sprintf("%s is seen before the operation that makes it is called", c),
			ops: []*Operation{c.first, c.by}, window: newWindow(chain, j, j)}
	}
	i := j - 1
	for chain[i].last == nil || !c.first.precedes(chain[i].last) {
		i--
	}
	ops := []*Operation{c.first, chain[i].last}
	for _, b := range chain[i+1 : j+1] {
		if b.by != c.first {
			ops = append(ops, b.by)
		}
	}
	return &conflict{why: fmt.Sprintf("%s comes after %s, and is over before that is", c, chain[i]),
		ops: ops, window: newWindow(chain, i, j)}
}
