// Package coverage counts which actions of a specification were taken, by
// managers of which level, and in which phase: by simulated runs, whose events
// it is shown, and by real ones, whose traces it reads.
//
// A check that never meets a state says nothing about it. What the simulator
// has to reach, and what the recorded runs of the end-to-end tests have to, is
// therefore demanded cell by cell; a cell that stays empty needs the reason why
// it cannot be otherwise, which a Spec gives.
//
//	Coverage  the counts, and the table that people read     coverage.go
//	Spec      the actions, their levels, and what cannot be  spec.go: pages.go, frames.go, syncs.go
//	Read      what the runs recorded in directories covered  recorded.go
package coverage
