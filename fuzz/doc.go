// Package fuzz holds the state machines of the project as fuzz targets. Each is
// a property of a rapid state machine that lives beside what it drives
// (impl/sim); here it is given to
//
//	rapid.Check     go test ./fuzz                      random schedules, shrunk
//	go test -fuzz   go test ./fuzz -fuzz FuzzStrong     guided by coverage
//	fail files      testdata/rapid/TestX/*.fail         replayed by both
//
// A fail file is a schedule that once broke the property. rapid.Check replays
// all of them first, and they are the seed corpus of the fuzzer. Most were found
// against a mutant of the core and carry its name: they must pass on the core
// as it is, and under scripts/mutated TestFailFiles demands that each still fails
// under its mutant, so that one which no longer says anything is noticed. Of
// locks only NearForever has none: it takes more hand-overs in a row than a schedule of
// rapid comes to, and the simulator finds it.
//
// To add a fail file: a failing rapid.Check writes it, shrunk, as
// testdata/rapid/TestX/TestX-DATE-PID.fail; commit it with the fix. What the
// fuzzer finds is written to testdata/fuzz/FuzzX; commit that. To find one
// against a mutant:
//
//	scripts/mutated go test ./fuzz -run TestFind -mutant SkipAckWait
//
// A change of a machine's actions or of what they draw makes fail files mean
// something else: make those of mutants anew.
//
// An input of the fuzzer that ends in the middle of a schedule is reported as
// skipped: what it had of it was checked after each step.
//
// Targets that feed bytes to a decoder stand beside the decoder. scripts/fuzz
// finds and runs all.
package fuzz
