// Package tlc runs the model checker TLC and reads what it came to.
//
//	Find, Cache   Java and the jar, which Maven brings   tlc.go
//	Tool, Job     one run                                tlc.go
//	Outcome       its verdict                            outcome.go
//
// spec/check judges the specifications with it, impl/trace/validate recorded
// runs.
package tlc
