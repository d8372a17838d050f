//go:build mutants

package protocol

var theBug Bug

const (
	firstSegmentBug = bugSkippedKeepsRight
	firstLockBug    = bugDropFence
	firstBarrierBug = bugOneTooFew
)

func broken(b Bug) bool { return b == theBug }

// Break puts one mistake into the core, for every shard and every SyncNode. Break(0) mends it.
func Break(b Bug) { theBug = b }

// Bugs are all mistakes about pages.
func Bugs() []Bug { return bugs(noBug+1, firstSegmentBug) }

// SegmentBugs are all mistakes about segments that are gone, and about messages of
// others.
func SegmentBugs() []Bug { return bugs(firstSegmentBug, firstLockBug) }

// LockBugs are all mistakes about locks.
func LockBugs() []Bug { return bugs(firstLockBug, firstBarrierBug) }

// BarrierBugs are all mistakes about barriers.
func BarrierBugs() []Bug { return bugs(firstBarrierBug, numBugs) }

func bugs(from, to Bug) (all []Bug) {
	for b := from; b < to; b++ {
		all = append(all, b)
	}
	return all
}
