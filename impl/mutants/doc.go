// Package mutants measures the checks by what they find. A mutant is the code
// with one deliberate mistake, compiled in under the build tag mutants: of the
// core about pages (impl/protocol), of the core about locks, of the memory layer
// and of the order in which a node uses it (impl/memory, impl/node).
//
// Several links join the specification to what a program sees, and each of them
// would notice a mistake in a way of its own:
//
//	explorer    states and transitions of a small model are not those of TLC, or
//	            a property falls on the way               impl/explore
//	invariants  random schedules: the specification's invariants, and contents
//	            compared with an atomic memory            impl/sim
//	simulator   random schedules, nobody looks at all nodes at once: the core
//	            refuses a message, panics, or lets somebody wait in vain
//	replay      the correct core does not repeat what the broken one recorded
//	                                                      impl/trace/replay
//	trace       TLC does not accept what the broken one recorded
//	                                                      impl/trace/validate
//	history     what the processes loaded and stored cannot have happened
//	                                                      linearizability
//
// The tests here run each link by itself, with the others off, on every mutant,
// and compare what it finds with a committed table, testdata: a row for each
// mutant, in each column the smallest case that the link finds it in, or "-".
// Any change of the table fails; so does a mutant that nobody finds, and
// anything that is found in the code without a mistake (the row "none").
//
//	go test -tags mutants ./impl/mutants                       the table as committed
//	go test -tags mutants ./impl/mutants -rewrite              the table as it is now
//	go test -tags mutants ./impl/mutants -v -run TestPages -mutant GrantEarly
//	                                                           what each link says of one mutant
//
// # Pages
//
// The runs are simulated: worlds of a few nodes that differ in the depth of the
// tree, each with seeds from 0 on. A link goes through seed 0 of every world,
// then seed 1, and stops at the first run in which it finds the mistake, or
// after pageSeeds seeds of all worlds. Histories and logs are those that real
// nodes write, but for the time. TLC takes longer: it judges the first recorded
// run that the replay differs from, and one run only. The explorer takes the
// models of spec/strong in the order of their size, up to exploredStates.
//
// What "-" says is no more than that: not found by this link within these
// bounds. Some of it could not be otherwise. A version that stands still and a
// generation that is not compared are no part of Strong.tla, in which a segment
// lives forever; processes that wait in vain are no wrong event and no wrong
// answer.
package mutants
