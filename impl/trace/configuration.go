package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// Change is what a conf record in the log of a shard holds: the segments from
// here on. Members, slots and homes stay what the header says.
type Change struct {
	Epoch      uint64
	Generation uint64 // of the segment created last, removed or not
	Segments   []protocol.Segment
}

// slots is the JSON of Header.Slots. The members of a run stay what they are, and all
// of them are in the tree of every slot: they stand once.
type slots struct {
	Epoch      uint64
	Members    []addr.Incarnation // by NodeID
	Fanout     int
	Slots      []slot
	Generation uint64
}

type slot struct {
	Home addr.NodeID
	Term uint64
}

// SlotsOf is what a header says of the slots: Header.Configuration reads it.
func SlotsOf(conf *protocol.Configuration) (json.RawMessage, error) {
	s := slots{Epoch: conf.Epoch, Fanout: conf.Fanout, Generation: conf.Generation}
	for node, incarnation := range conf.Members.All {
		if int(node) != len(s.Members) {
			return nil, fmt.Errorf("slots: a run cannot be recorded that has a node %d and no node %d", node, len(s.Members))
		}
		s.Members = append(s.Members, incarnation)
	}
	for i, of := range conf.Slots {
		if !of.Members.Equal(conf.Members) {
			return nil, fmt.Errorf("slots: a run cannot be recorded in which slot %d has other members than the cluster", i)
		}
		s.Slots = append(s.Slots, slot{of.Home, of.Term})
	}
	return json.Marshal(&s)
}

// Configuration is what the node knew of the cluster when the log began: it has
// no segments yet.
func (h Header) Configuration() (*protocol.Configuration, error) {
	var s slots
	if err := decodeStrictly(h.Slots, &s); err != nil {
		return nil, fmt.Errorf("slots: %w", err)
	}
	switch {
	case len(s.Members) != h.Nodes:
		return nil, fmt.Errorf("slots: %d members, the cluster has %d nodes", len(s.Members), h.Nodes)
	case slices.Contains(s.Members, 0):
		return nil, fmt.Errorf("slots: node %d has no incarnation", slices.Index(s.Members, 0))
	case s.Fanout < 2 || s.Fanout > protocol.MaxFanout:
		return nil, fmt.Errorf("slots: the fan-out is %d", s.Fanout)
	case len(s.Slots) == 0:
		return nil, fmt.Errorf("slots: there are none")
	}
	lives := make(map[addr.NodeID]addr.Incarnation)
	for i, incarnation := range s.Members {
		lives[addr.NodeID(i)] = incarnation
	}
	conf := &protocol.Configuration{Epoch: s.Epoch, Members: protocol.NewMembers(lives), Fanout: s.Fanout, Generation: s.Generation}
	conf.Slots = protocol.DealSlots(len(s.Slots), conf.Members)
	for i, of := range s.Slots {
		if conf.Member(of.Home) == 0 {
			return nil, fmt.Errorf("slots: the home of slot %d is node %d of %d", i, of.Home, h.Nodes)
		}
		conf.Slots[i].Home, conf.Slots[i].Term = of.Home, of.Term
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
