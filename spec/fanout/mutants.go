package main

// mutant is a deliberate mistake, of the name that it has in spec/strong/mutants.txt.
// The proof must fail of it.
type mutant struct {
	name string
	root bool // it is one of the root
}

// active is the mutant that terms are made with; nil: none.
var active *mutant

func broken(name string) bool { return active != nil && active.name == name }

// mutants are all of the manager and of the contract that the link models of
// spec/strong kill. Those of a leaf are no business of this proof.
var mutants = []mutant{
	{"home-despite-owner", true},
	{"writeback-without-data", true},
	{"step-recalled-serves", false},
	{"step-recall-while-serving", false},
	{"step-have-down", false},
	{"step-have-unchecked", false},
	{"step-have-verbatim", false},
	{"step-claim-own-read", false},
	{"step-write-under-owned", false},
	{"step-granted-keeps-readers", false},
	{"step-ack-early", false},
	{"step-ack-keeps-right", false},
	{"step-recall-ends-request", false},
	{"step-downgrade-to-read", false},
	{"contract-evicts-pinned", false},
	{"contract-owner-misses", false},
	{"contract-leaves-with-data-coming", false},
	{"contract-stores-after-sending", false},
	{"contract-stores-with-data-coming", false},
	{"contract-recalls-after-feeding", false},
	{"contract-grants-write-with-data-out", false},
	{"contract-grants-while-asked", false},
	{"contract-have-unsupported", false},
	{"contract-parent-stores-with-data-out", false},
	{"contract-parent-stores-after-feeding", false},
	{"contract-parent-stores-beside-reader", false},
}

// unless is a guard that a mutant leaves out.
func unless(name string, guard *Term) *Term {
	if broken(name) {
		return True
	}
	return guard
}
