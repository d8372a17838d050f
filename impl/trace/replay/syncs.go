package replay

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

var syncsCore = Core{trace.SyncSpec, []*protocol.Protocol{protocol.Locks, protocol.Barriers}, newSyncs}

// syncs is the core of the locks and barriers of one node.
type syncs struct {
	core  *protocol.SyncNode
	batch protocol.SyncBatch
	now   *step // the step that is being taken
}

func newSyncs(h trace.Header) (machine, error) {
	conf, err := h.Configuration()
	if err != nil {
		return nil, err
	}
	s := &syncs{core: protocol.NewSyncNode(h.Node, h.Incarnation, conf)}
	s.core.Observe(s)
	return s, nil
}

// configure is refused: locks know of no segments, and the rest is fixed.
func (s *syncs) configure(*trace.Record) error {
	return errors.New("the core of locks and barriers takes no configuration")
}

// ObserveSync implements protocol.SyncObserver: it makes the record of an action
// that a SyncLog writes.
func (s *syncs) ObserveSync(e *protocol.SyncEvent) {
	rec := trace.Record{Kind: trace.KindAction, Lamport: e.Lamport, At: e.At, Act: e.Action.String(), Object: e.Object,
		Of: e.Protocol, Party: e.Party, Post: json.RawMessage(s.core.AppendState(nil, e))}
	if e.Message != nil {
		m := *e.Message
		rec.Sync = &m
	} else {
		call := *e.Input
		// The action says what kind it is, and the event which object is meant.
		call.Kind, call.Object = 0, e.Object
		rec.Call = &call
	}
	s.now.actions = append(s.now.actions, rec)
}

func (s *syncs) step(rec *trace.Record) (now *step, err error) {
	in := protocol.SyncInput{Sync: rec.Sync}
	if err := in.Kind.UnmarshalText([]byte(rec.Act)); err != nil {
		return nil, err
	}
	if m := rec.Sync; m == nil {
		in = *rec.Call
	} else if m.Object != rec.Object || m.To.Tag != rec.At.Tag {
		return nil, fmt.Errorf("an input about object %#x at %v with a message about %#x from a manager %v",
			rec.Object, rec.At, m.Object, m.From)
	}
	in.Cut = rec.Cut
	now = &step{}
	s.now = now
	s.batch.Reset()
	defer func() {
		now.panicked = recover()
		s.now = nil
	}()
	refused := s.core.Step(in, &s.batch)
	now.out, now.effects = trace.SyncOutputOf(&s.batch, refused)
	return now, nil
}
