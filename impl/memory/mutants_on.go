//go:build linux && mutants

package memory

import (
	"fmt"
	"os"
)

// BugVariable names the environment variable that breaks a process from its
// start: the name of a bug.
const BugVariable = "MOME_MEMORY_BUG"

var theBug = bugOf(os.Getenv(BugVariable))

func bugOf(name string) Bug {
	if name == "" {
		return BugNone
	}
	for _, b := range Bugs() {
		if b.String() == name {
			return b
		}
	}
	panic(fmt.Sprintf("mome: memory: %s is %q; the bugs are %v", BugVariable, name, Bugs()))
}

// Break puts one mistake into this process, BugNone none.
func Break(b Bug) { theBug = b }

// Broken says whether the bug is on.
func Broken(b Bug) bool { return b == theBug }

// Bugs are all bugs.
func Bugs() []Bug {
	var all []Bug
	for b := BugNone + 1; b < numBugs; b++ {
		all = append(all, b)
	}
	return all
}
