// Package mutants measures the checks by what they find. A mutant is the code
// with one deliberate mistake, built under the tag mutants by scripts/mutated. It is a
// mistake of the core about pages, locks or barriers (impl/protocol), of the
// shell around it (impl/node) or of the views that nodes take (impl/coord). Or it is
// one of the memory layer, of the order in which a node uses it (impl/memory,
// impl/node), or of what records (impl/trace, impl/history).
//
// Several checks join the specification to what a program sees, and each of them
// would notice a mistake in a way of its own:
//
//	explorer    states and transitions of a small model are not those of TLC, or
//	            a property falls on the way                impl/explore
//	invariants  random schedules: the specification's invariants, and what
//	            processes see compared with an atomic memory, and with the
//	            holders of the locks                       impl/sim
//	simulator   random schedules, nobody looks at all nodes at once: the core
//	            refuses a message, panics, or lets somebody wait in vain
//	history     what the processes did and were answered cannot have happened
//	                                                       linearizability
//	replay      the correct core does not repeat what the broken one recorded:
//	            what no real mistake would meet, so it shows where a mutant
//	            differs and counts as nobody             impl/trace/replay
//	trace       TLC does not accept what the broken one recorded
//	                                                       impl/trace/validate
//	successions the same, of pages over all lives of their segments
//	model       impl/memory's own test against a model of its operations
//	orders      shells over a model of the kernel and of the links: short
//	            scenarios in all orders that have few delays   impl/node
//	seeds       the same with random workloads                 impl/node
//
// The tests run each check by itself, with the others off, on every mutant, and
// compare what it finds with committed tables, testdata/pages, segments, locks,
// barriers, shell, memory, histories, traces and nodes. A table has a row for each
// mutant, and in each column the first case that the check finds it in, or "-".
// Any change of a table fails; so does a mutant that nobody finds, and anything that is
// found in the code without a mistake (the row "none").
//
//	make mutants                                                       all tables
//	scripts/mutated go test ./impl/mutants -rewrite                    those of the core, as they are now
//	scripts/mutated go test ./impl/node -run TestBrokenShell -rewrite  shell
//	scripts/mutated go test ./e2e -run TestBrokenMemory -rewrite       memory
//	scripts/mutated go test ./impl/mutants -v -run TestPages -mutant GrantEarly
//	                                                                   what each check says of one mutant
//
// The sources have no mistake in them. Each is a change of their text, in a file
// mutants.txt of the package: what to find, which must occur once, and what to put in
// its place. scripts/mutated has the go command build copies of the sources that have
// all of them, to be switched on one at a time; impl/mutants/overlay says how. So one
// build serves all mutants. A text that does not match any more fails. What a mutant
// needs to remember is in mistakes.go, which is built under the tag mutants only.
//
// # Pages, segments, locks and barriers
//
// The runs are simulated: a few worlds of at most six nodes, each with seeds
// from 0 on; a run is named world/seed. A check goes through seed 0 of every
// world, then seed 1, and stops at the first run in which it finds the mistake:
// after 20 seeds of pageSteps steps at the latest, for locks and barriers 24 of the steps of their syncKind. Histories and logs are those that real nodes write, but for the
// time. TLC takes longer: it judges the first recorded run in which the replay
// finds another action, and that one only. The explorer takes exploredModels in
// their order; it knows pages only.
//
// Mistakes about segments are in the core, and PagesCompared in the views of
// impl/coord. Their runs are those of worlds in which segments go and others have
// their pages. TLC judges the pages, which are other objects with another segment
// (trace: TraceStrong), and apart from that the pages with all their segments
// (successions: TraceSegment). For the latter it is given the first run that the replay
// finds anything in, and then one run of each world: what becomes of an early message
// behind the core is nothing that a replay sees.
//
// # Nodes
//
// Mistakes of impl/node when a segment goes: real nodes in one process, with
// programs of their own, go from one segment to the next (TestSuccession). Each
// mistake is looked for by the check that is about it.
//
//	scripts/mutated go test ./impl/node -run TestBrokenSegments -rewrite
//
// # Shell
//
// The nodes have real shells and cores, in one process and one thread
// (impl/node, TestBrokenShell). Which rule a mistake breaks first, of those in
// impl/node/shell_rules_test.go, is not in the table: it differs from version to
// version. The mistakes of the order in which a node uses its memory are in it too.
//
// # Memory
//
// The nodes and the programs are real processes, which do the same accesses in
// the same order in every run (e2e, TestBrokenMemory), with the mistake in the
// nodes. The history is what the programs saw; TLC judges the pages of the run
// (TraceStrong) and, apart from that, the single steps on its frames (TraceFrame).
// Where a mistake may show at one step or another, the table names all. Mistakes
// of the order are impl/node's, and no test of impl/memory can find them. MOME_MUTANT
// says to a process which one it has, as in memory.SkipPunch.
//
// # Histories
//
// Clients of two processes use plain memory in turn, in one order, and record it;
// the mistake is in the recorder. The model knows between which two moments each
// operation was called and returned, and what its answer was. The reader refuses
// what no thread of control can have done (linearizability.Read), and the checker
// judges the operations alone. Stamps that are wrong within the gap between two
// operations of a client are the model's alone: no history can show them.
//
// # Traces
//
// The correct core runs, in worlds that come to rest, and the mistake is in the
// recorder of its logs. The reader demands what a whole run cannot lack, and counts
// (trace.Run.Whole, and reading to the end). Replay and TLC judge the records alone:
// they are given manifests that say what the logs have. So where they find nothing, a
// run in which a page, a lock or all logs of locks are missing is one that could have
// been, and only who has counted elsewhere knows better.
//
// # What "-" says
//
// Not found by this check within these bounds, and no more. The explorer is not
// asked about what no state of a model has. Some of it cannot be
// otherwise. Of a version that stands still the specification does not speak.
// Somebody who waits in vain is neither a wrong event nor a wrong answer. A
// Release that comes twice, which fences are for, is nothing that links do, so
// it is in no log; only the worlds named late have it. Histories find least:
// most mistakes show in states and messages long before a process sees a wrong
// value, if one ever does.
package mutants
