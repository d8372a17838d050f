//go:build mutants

package protocol

var theBug Bug

func broken(b Bug) bool { return b == theBug }

// Break puts one mistake into the core, for every shard. Break(0) mends it.
func Break(b Bug) { theBug = b }

// Bugs are all mistakes.
func Bugs() []Bug {
	var all []Bug
	for b := noBug + 1; b < numBugs; b++ {
		all = append(all, b)
	}
	return all
}
