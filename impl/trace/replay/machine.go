package replay

import (
	"encoding/json"
	"fmt"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// machine is a core that the records of a log drive. Pages have one kind; a
// core of another kind is another machine, by the spec that the header names.
type machine interface {
	// configure gives the core the configuration of a conf record.
	configure(conf *trace.Record) error
	// step gives the core the input of an in record. An error means that the
	// record holds no input of this core.
	step(in *trace.Record) (*step, error)
}

// step is what a core did with an input.
type step struct {
	actions  []trace.Record // in their order
	out      trace.Output
	effects  []byte // the canonical encoding of the batch
	panicked any    // what the core panicked with, nil if it did not
}

func newMachine(h trace.Header) (machine, error) {
	switch h.Spec {
	case "strong":
		return newPages(h)
	}
	return nil, fmt.Errorf("this build has no core for the specification %q", h.Spec)
}

// pages is the core of the pages of one shard.
type pages struct {
	conf  *protocol.Configuration
	core  *protocol.Shard
	batch protocol.Batch
	now   *step // the step that is being taken
}

var pageInputs = inputKinds()

func inputKinds() map[string]protocol.InputKind {
	kinds := make(map[string]protocol.InputKind)
	for k := protocol.InMessage; k <= protocol.InResidenceOver; k++ {
		kinds[k.String()] = k
	}
	return kinds
}

func newPages(h trace.Header) (*pages, error) {
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
	p.conf = conf
	p.core.Configure(conf)
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
	kind, ok := pageInputs[rec.Act]
	if !ok {
		return nil, fmt.Errorf("%q is no input of the core of pages", rec.Act)
	}
	in := protocol.Input{Kind: kind, Page: rec.Page, Stamp: rec.Stamp, Msg: rec.Message}
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
