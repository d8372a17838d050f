package show

import (
	"slices"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Shown is how a protocol is shown.
type Shown struct {
	Protocol *protocol.Protocol
	// state is the state after an action, in short; what is no state of an object of
	// the protocol stays as it is.
	state func(*protocol.Configuration, *trace.Record) string
	// like has for each message of locks and barriers the one of pages that has its
	// part in a transaction, and says adds what such a message says.
	like map[protocol.SyncKind]string
	says func(*protocol.Sync, *list)
}

// Protocols are all that are shown.
var Protocols = []Shown{pages, locks, barriers}

// stateOf is the state that a record has, in short.
func stateOf(conf *protocol.Configuration, r *trace.Record) string {
	i := slices.IndexFunc(Protocols, func(s Shown) bool { return s.Protocol == r.Protocol() })
	if i < 0 {
		return ""
	}
	return Protocols[i].state(conf, r)
}

// ofMessage is how a message of locks or barriers is shown.
func ofMessage(k protocol.SyncKind) *Shown {
	return &Protocols[slices.IndexFunc(Protocols, func(s Shown) bool { return s.like[k] != "" })]
}
