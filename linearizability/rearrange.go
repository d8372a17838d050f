package linearizability

const (
	// near is how many places a block is moved at most.
	near = 64
	// sweeps bounds the work of rearrange, in operations that are looked at.
	sweeps = 200_000_000
)

// rearrange looks for an order of the blocks in which the refused operations have
// their places, too. It begins with a possible order, and where an operation was
// refused for a state that cannot be elsewhere, it moves another block between
// that state and the next one, or out of its way. What it finds is an order; that
// it finds none means something only if the order is the only one.
func rearrange(blocks []*block, operations int, only bool) *conflict {
	c, state := inOrderRefused(join(blocks))
	if c == nil || only {
		return c
	}
	budget := sweeps / (operations + 1)
	for c != nil {
		at := 0
		for first := 0; first+len(blocks[at].chain) <= state; at++ {
			first += len(blocks[at].chain)
		}
		better := false
		for distance := 1; distance <= 2*near && !better; distance++ {
			// Alternately from after and from before.
			from := at + (distance+1)/2
			if distance%2 == 0 {
				from = at - distance/2
			}
			for _, to := range []int{at + 1, at} {
				if from < at {
					to-- // the place closes where it was
				}
				if budget == 0 {
					return c
				}
				if from == to || !move(blocks, from, to) {
					continue
				}
				budget--
				d, s := inOrderRefused(join(blocks))
				// The pass goes from the last state to the first.
				if d == nil || d.ops[0] != c.ops[0] && s <= state+1 {
					c, state, better = d, s, true
					break
				}
				move(blocks, to, from)
			}
		}
		if !better {
			return c
		}
	}
	return nil
}

// move takes a block to another place, if those in between allow that.
func move(blocks []*block, from, to int) bool {
	if from < 0 || from >= len(blocks) || to < 0 || to >= len(blocks) {
		return false
	}
	b := blocks[from]
	step := 1
	if to < from {
		step = -1
	}
	for i := from; i != to; i += step {
		d := blocks[i+step]
		if step > 0 && b.before(d) || step < 0 && d.before(b) {
			for ; i != from; i -= step { // put it back
				blocks[i] = blocks[i-step]
			}
			blocks[from] = b
			return false
		}
		blocks[i] = d
	}
	blocks[to] = b
	return true
}

func join(blocks []*block) []*cluster {
	var chain []*cluster
	for _, b := range blocks {
		chain = append(chain, b.chain...)
	}
	return chain
}
