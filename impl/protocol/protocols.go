package protocol

import "fmt"

// Protocol is one that the core speaks. What looks at runs has a value for each, with
// all that it must know of it: the simulator, coverage, replay, the validator, show,
// the fuzz targets and the tables of mutants. Tests demand that none lacks one;
// CONTRIBUTING.md says where they are.
type Protocol struct {
	Object  string   // what it is about, in the singular
	Spec    string   // the folder of its specification
	Actions []string // in the order of their constants
}

// The protocols.
var (
	Pages    = &Protocol{"page", "strong", names(Actions())}
	Locks    = &Protocol{"lock", "heaplock", names(LockActions())}
	Barriers = &Protocol{"barrier", "barrier", names(BarrierActions())}
)

// Protocols are all of them.
var Protocols = []*Protocol{Pages, Locks, Barriers}

func names[A fmt.Stringer](actions []A) (all []string) {
	for _, a := range actions {
		all = append(all, a.String())
	}
	return all
}
