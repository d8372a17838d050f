package replay

import (
	"encoding/json"
	"fmt"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

var pagesCore = Core{protocol.Pages.Spec, []*protocol.Protocol{protocol.Pages}, newPages}

// pages is the core of the pages of one shard.
type pages struct {
	conf  *protocol.Configuration
	core  *protocol.Shard
	batch protocol.Batch
	now   *step // the step that is being taken
}

func newPages(h trace.Header) (machine, error) {
	conf, err := h.Configuration()
	if err != nil {
		return nil, err
	}
	p := &pages{conf: conf}
	p.core = protocol.NewShard(h.Node, h.Incarnation, h.Shard, conf, p)
	return p, nil
}

func (p *pages) configure(rec *trace.Record) error {
	conf, err := rec.Configure(p.conf)
	if err != nil {
		return err
	}
	gone := p.conf.Gone(conf)
	p.conf = conf
	p.core.Configure(conf, gone)
	return nil
}

// Observe implements protocol.Observer: it makes the record of an action that a
// Log writes.
func (p *pages) Observe(e *protocol.Event) {
	rec := trace.Record{Kind: trace.KindAction, Lamport: e.Lamport, At: e.At, Act: e.Action.String(), Page: e.Page, Before: e.Before,
		Post: json.RawMessage(p.core.AppendState(nil, e.Page, e.At))}
	if e.Message != nil {
		m := *e.Message // the core uses its memory again
		rec.Message = &m
	}
	p.now.actions = append(p.now.actions, rec)
}

func (p *pages) step(rec *trace.Record) (s *step, err error) {
	in := protocol.Input{Page: rec.Page, Stamp: rec.Stamp, Cut: rec.Cut, Msg: rec.Message}
	if err := in.Kind.UnmarshalText([]byte(rec.Act)); err != nil {
		return nil, err
	}
	if m := rec.Message; m != nil {
		if m.Page != rec.Page || m.To.Tag != rec.At.Tag {
			return nil, fmt.Errorf("an input of %v at %v with a message of %v to %v", rec.Page, rec.At, m.Page, m.To)
		}
		in.Page = 0 // it is the message's
	}
	s = &step{}
	p.now = s
	p.batch.Reset()
	defer func() {
		// A core that panics where the recorded one did not is a finding.
		s.panicked = recover()
		p.now = nil
	}()
	refused := p.core.Step(in, &p.batch)
	if refused != nil {
		p.batch.Reset() // so does the caller of Step
	}
	s.out, s.effects = trace.OutputOf(p.batch.Effects, refused)
	return s, nil
}
