// Package sim runs the real protocol core of many nodes under a seeded
// scheduler, without threads, clocks or sockets: it is a simulation. A seed and
// a commit reproduce a run exactly; a failure prints the command that does.
//
//	World      nodes, processes, frames, homes, memory        world.go
//	session    the links below the core, and how they break   session.go
//	Random     the scheduler                                  schedule.go
//	Snapshot   the spec's state of one page                   snapshot.go
//	Invariants StrongInvs as Go functions                     invariants.go
//	Recreate   segments that go, and what has their pages then segments.go
//	Record     the logs of a run, as real nodes write them    record.go
//	History    what the processes have seen                   history.go
//	Syncs      processes, nodes and links of locks or barriers syncs.go, syncnodes.go
//	Locks      locks: what is asked for, and seen             locks.go
//	Barriers   barriers: the same                             barriers.go
//	Machine    a rapid state machine of the spec's actions    machine.go
//	           (of locks and of barriers: syncmachine.go)
//
// Which action ran at which level and phase is counted by impl/coverage.
//
// Real is impl/protocol, and of impl/coord what segments get and what changes
// from view to view. Simulated are: the links (session.go states which
// rules of impl/wire it repeats), page contents (one word for a page),
// processes and their mappings, and time, which is the scheduler's choice.
// Every load and store is checked at once against an atomic memory; where a
// history is recorded they are not, and its checker is to find what is wrong.
package sim
