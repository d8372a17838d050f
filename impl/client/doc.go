// Package client attaches an application to the node of its machine.
//
// It is both ends of the attach protocol (README.md, attach.proto): [Listen]
// and [Conn] for the node, [Dial] and [Client] for the application. The
// application's end sends requests and waits for replies; it never runs a step
// of the coherence protocol, so an application that is stopped (by its garbage
// collector, by a debugger) holds up nobody but itself and who waits for its locks.
//
// # Goroutines and locks
//
// Who waits for a reply reads the socket, one goroutine at a time; a goroutine
// of the Client reads what nobody waits for. A Conn has a goroutine only while
// replies wait for room in the application's socket: its owner calls ReadRequest
// from one of its own, and WriteReply, which does not wait, from any.
//
// While nobody waits for a reply, news (a removed segment, the end of the
// connection) is looked for ten times a second, and handed to Config.Event and
// Config.Hangup on the goroutine that found it: while one of them runs, no reply is
// read.
//
//	Client.reader   a token: who has it reads
//	Client.mu       guards the table of waiting requests, and the life of interrupt
//	replies.mu      guards what waits for room, of a Conn
//	└── socket.mu   guards the life of the descriptor; a leaf
package client
