// Package bench measures what a cluster's memory costs on this machine, each
// figure beside its floor: a minimal program without a protocol that makes the
// same number of userfaultfd and socket round trips between as many processes.
//
// # Processes
//
// Run starts everything by itself and drives it from one goroutine:
//
//	application 0 ── daemon 0 ══ daemon 1 ── application 1    the cluster
//	application   ── near     ══ far      ── partner          the floor
//
// The daemons are the real ones. An application attaches with package mome and
// does what it is told, by lines of JSON on its standard input; its answers are
// lines on its standard output. In the floor, near reads the userfaultfd and
// waits in a blocking socket on one locked thread, and far answers from a
// blocking socket; nobody is pinned to a processor, as in the cluster.
//
// # Method
//
// A case is measured in blocks of some hundred operations, and before or after
// each block of the cluster comes one of the floor, so that whatever else the
// machine does meets both. Between blocks nothing runs: the state that a block
// starts from is made by untimed operations.
//
// A latency is what the application sees: the time of one load or store, or of
// one call. The clock's own cost is measured and taken off. The percentiles are
// over all samples of all blocks; spread is how far the blocks differ. A rate
// has one sample for each block.
//
// Nothing here judges a figure.
package bench
