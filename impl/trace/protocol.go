package trace

import "github.com/mome-dsm/mome/impl/protocol"

// Protocol is the one whose action the record is; nil where it is none.
func (r *Record) Protocol() *protocol.Protocol {
	switch {
	case r.Kind != KindAction:
		return nil
	case r.Barrier:
		return protocol.Barriers
	case r.Sync != nil || r.Call != nil:
		return protocol.Locks
	}
	return protocol.Pages
}
