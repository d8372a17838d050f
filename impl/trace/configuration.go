package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/mome-dsm/mome/impl/protocol"
)

// Change is what a conf record in the log of a shard holds: the segments from
// here on. Members, slots and homes stay what the header says.
type Change struct {
	Epoch      uint64
	Generation uint64 // of the segment created last, removed or not
	Segments   []protocol.Segment
}

// Configuration is what the node knew of the cluster when the log began: it has
// no segments yet.
func (h Header) Configuration() (*protocol.Configuration, error) {
	conf := new(protocol.Configuration)
	if err := decodeStrictly(h.Slots, conf); err != nil {
		return nil, fmt.Errorf("slots: %w", err)
	}
	switch {
	case len(conf.Members) != h.Nodes:
		return nil, fmt.Errorf("slots: %d members, the cluster has %d nodes", len(conf.Members), h.Nodes)
	case conf.Fanout < 2 || conf.Fanout > protocol.MaxFanout:
		return nil, fmt.Errorf("slots: the fan-out is %d", conf.Fanout)
	case len(conf.Slots) == 0:
		return nil, fmt.Errorf("slots: there are none")
	}
	for i, s := range conf.Slots {
		if int(s.Home) >= h.Nodes {
			return nil, fmt.Errorf("slots: the home of slot %d is node %d of %d", i, s.Home, h.Nodes)
		}
	}
	return conf, nil
}

// Change is what a conf record says.
func (r *Record) Change() (Change, error) {
	var c Change
	if err := decodeStrictly(r.Conf, &c); err != nil {
		return Change{}, fmt.Errorf("conf: %w", err)
	}
	for _, s := range c.Segments {
		if s.Pages < 1 {
			return Change{}, fmt.Errorf("conf: a segment of %d pages", s.Pages)
		}
	}
	return c, nil
}

// Configure is the configuration that a conf record makes of the one before it.
func (r *Record) Configure(before *protocol.Configuration) (*protocol.Configuration, error) {
	c, err := r.Change()
	if err != nil {
		return nil, err
	}
	conf := before.WithSegments(c.Segments)
	conf.Epoch, conf.Generation = c.Epoch, max(conf.Generation, c.Generation)
	return conf, nil
}

func decodeStrictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the value")
	}
	return nil
}
