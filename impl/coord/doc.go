// Package coord is the cluster's configuration store: who is a member, which
// segments exist, what was decided when the cluster was founded. It holds
// configuration only. Heartbeats, leases and page state stay out of it, so
// memory goes on while the store is down; only membership and segments stand
// still.
//
// The package has two layers.
//
// Store is the small interface below: keys and values with revisions,
// conditional transactions, ordered watches without loss. It has three
// implementations, which one conformance suite holds to one behaviour:
//
//	NewMemory      in this process, for tests
//	OpenEmbedded   an etcd of the founding node, in a child process of it
//	OpenRemote     another node's embedded etcd, or an external one
//
// Config is the layer above: the typed view of one cluster. A Config keeps an
// immutable View of the whole configuration in memory, follows the store by a
// watch, and changes the configuration by transactions that are conditional on
// the head record: the one that holds the epoch. A transaction therefore
// commits only if its author saw everything that was committed before it, and
// planning one is plain code over a View.
//
// # Locks
//
// No lock is held across a call into another type of this package, nor while
// waiting:
//
//	Config.mu    guards the wake-up of those who wait for a new View
//	Memory.mu    guards the entries and the history
//	etcdStore.mu guards the transition to closed
//	engine.mu    guards which process serves an embedded store, and why none does
package coord
