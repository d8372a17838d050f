// Package replay runs a recorded run again. The core is deterministic: the same
// configurations and inputs in the same order give the same actions, states and
// effects. So the in and conf records of a log drive a new core, and what it
// does is compared with what the log says was done:
//
//	in        -> Step of a core that has seen all inputs before it
//	act       =  the actions that it took: manager, page, clock, message, and
//	             the state after each, byte for byte
//	out       =  the digest of its effects, or the error it refused the input with
//
//	Run         all logs of a directory       replay.go
//	log         the records of one log        log.go
//	Core        one that can be replayed      machine.go: pages.go, syncs.go
//	Difference  where log and core part       difference.go
//
// Each log is replayed alone, that of a shard and that of a node's locks and
// barriers: what other nodes and shards did is in its inputs.
// A replay that agrees says that the recorded steps are those of this build's
// core. It says nothing of what the shell did with the effects (content and
// step records are passed over) and nothing of the protocol: the trace's
// validation does.
//
// A log that is truncated, has a gap, or cannot be read gives an error and never
// a verdict.
package replay
