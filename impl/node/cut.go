package node

import "sync/atomic"

// cut is the cut of a node: one number for all its shards, locks and barriers. A
// store that follows from something which a node has heard, in whichever shard, is
// under the cut that came with it.
type cut struct{ atomic.Uint64 }

// adopt raises the cut to that which a machine has after a step.
func (c *cut) adopt(learnt uint64) {
	for {
		now := c.Load()
		if learnt <= now || c.CompareAndSwap(now, learnt) {
			return
		}
	}
}
