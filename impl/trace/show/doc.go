// Package show makes a recorded run readable: as lines of text, and as a
// space-time diagram in one HTML file that needs nothing else.
//
// Both show the events of a run in the causal order that trace.Run gives them:
// an event comes after all that led to it, whatever the clocks of the machines
// said. A message is an arrow from the event that sent it to the event in which
// it was handled.
//
//	Filter     which events                              filter.go
//	Events     the events of a run, each with its words  event.go
//	Shown      how a protocol is shown                   protocols.go
//	message…   messages and states in short words        words.go; syncwords.go, locks.go, barriers.go
//	Text       lines                                     text.go
//	Diagram    the HTML file                             diagram.go, diagram.html
package show
