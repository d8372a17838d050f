// Package e2e tests Mome as its users meet it: every node is a daemon process
// with its memfds, every application a process of its own with a real
// userfaultfd, and what is tested goes through the public API. It has tests
// only; README.md says what they cover and how to run one.
//
// The test binary is all of the processes: TestMain starts it again with a role
// in the environment, as a node or as one of the programs that the test files
// register. A process writes its results to standard output, one line each, and
// what an operator would read to standard error, which a failed test shows.
//
// Nothing here sleeps or measures time. Tests wait for lines, for processes to
// end and for counters of the control service; one deadline per test ends what
// hangs, after every process was asked for its goroutines (SIGQUIT).
package e2e
