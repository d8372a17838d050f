// Command fanout proves that the step of the compositional argument holds for any
// number of children and of leaves.
//
//	go run ./spec/fanout             the proof
//	go run ./spec/fanout -mutants    and that it fails of every mutant
//	go run ./spec/fanout -only REGEX only mutants of these names
//
// It needs z3 (Debian's package will do).
//
// # What is proved
//
// spec/strong argues that a tree of any depth is safe: each link of it has a
// contract (Link.tla), and a manager that stands between a parent and children which
// keep the contract keeps it too. TLC checks this for two children, and for a root
// over three. Here it is shown for any number, of a manager and of a root:
//
//   - every step of the manager is, at each child's link, a step of the contract's
//     parent, and at its parent's link a step of the contract's child;
//   - so is what another side does: a child that sends a page to a leaf below
//     another child feeds that child, as far as its link can tell;
//   - Data in flight is current: where somebody may store, there is none.
//
// # How
//
// An invariant is guessed, and shown to hold at the beginning and to be kept by
// every step. It is a list of lemmas (invariant.go), each a sentence about all
// children, all pairs of them, or all leaves. A step that breaks one is asked of z3
// in a logic in which "for all" is about any number: if no such step exists, there
// is none in a tree of any width. The state and the steps are in state.go,
// manager.go (the manager of Strong.tla) and sides.go (the abstract sides, made of
// the contract in link.go).
//
// # What is written otherwise than in the specifications
//
// Strong takes a message and all decisions that follow it in one step. Here each
// decision is a step, which may come whenever its guard holds. The order of the
// queue is left out: any request that waits may be next. So there are more
// behaviours here, and what holds of all of them holds of those of Strong. A
// channel holds one message of a kind, which is shown of whoever sends one. Of the
// page's content there is only whether it is the zeros: every page in flight is the
// current one, which is shown of whoever stores.
//
// # What makes it believable
//
// Every move but one is possible under the lemmas, so that they do not contradict
// each other. The one is a manager between that has no copy and no parent to ask,
// which no run comes to. Of each mutant of the manager and of the contract that TLC
// kills at a link (mutants.go has them by their names in spec/strong/mutants.txt)
// the proof fails.
package main
