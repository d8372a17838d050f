// Package protocol is the coherence protocol as a pure state machine: messages
// and local events in, an ordered batch of effects out. It knows no clock, no
// socket, no thread and no page bytes, and the same state and the same input
// give the same batch.
//
// It mirrors spec/strong/Manager.tla and Strong.tla. An action of the spec is a
// method here with the same name, the same guards in the same order; Actions lists
// them.
//
//	Shard      the machines of the pages that one lock protects    shard.go
//	  manager  root and intermediates: cache side, directory side  manager.go, serve.go, recall.go
//	  home     the root's copy of the page                         home.go
//	  leaf     the node's own manager, and its frame               leaf.go
//	services   what a request may ask for, a row for each           service.go
//	ManagerState, LeafState   the state of a page, and its JSON     state.go
//	Members    nodes, by number and life                           members.go
//	Envelope   what every message carries, and the receive rule    envelope.go
//	Tree       who is whose parent, for every slot                 tree.go
//	Configuration, Segment   what the receive rule compares with   configuration.go
//
// A manager is a cache towards its parent and a directory towards its children.
// Root and intermediates are one type; being the root is a condition in a
// guard. A Shard is not safe for concurrent use: its owner locks it.
package protocol
