// Package history records what the clients of a shared memory did and what they
// were answered, so that it can be checked against the promise of the memory
// models. README.md describes the format.
//
//	Header, Operation   what a history consists of        operation.go
//	Recorder, Client    who writes one                    recorder.go, client.go
//	Write               a whole one at once               recorder.go
//	Read, ReadFrom      the same file, checked            read.go, line.go, wellformed.go
//	Ended               whether it has its last line      read.go
//
// Recording is off where the *Recorder or *Client is nil: the methods then return
// at once, without allocation or I/O.
//
// # Locks
//
//	Recorder.mu   the clients
//	  Client.mu   the operation of one; held while it is recorded
//	    that of the ndjson.Log
package history
