package protocol

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
)

// testConfiguration has pages 0..63 in a segment of generation 5; page 0 has
// its home at node 0, and every node is in its first incarnation.
func testConfiguration(nodes, fanout int) *Configuration {
	c := &Configuration{Epoch: 10, Fanout: fanout, Members: Founders(nodes)}
	c.Slots = DealSlots(nodes, c.Members)
	for i := range c.Slots {
		c.Slots[i].Term = 3
	}
	return c.WithSegments([]Segment{{First: 0, Pages: 64, Generation: 5}})
}

// digest is all that a message may change.
func (s *Shard) digest() string {
	text := fmt.Sprintf("%d %d %d", s.lamport, s.cut, s.txns)
	for p, v := range s.views.all {
		text += fmt.Sprintf(" %v:%+v", p, v)
	}
	for id, d := range s.directories.all {
		text += fmt.Sprintf(" %v:%+v", id, d)
	}
	for id, t := range s.transactions.all {
		text += fmt.Sprintf(" %v:%+v", id, *t)
	}
	for p, a := range s.asks.all {
		text += fmt.Sprintf(" %v:%+v", p, *a)
	}
	for id, cut := range s.prepared.all {
		text += fmt.Sprintf(" %v:%d", id, cut)
	}
	return text
}

// TestReceiveRule tries the receive rule (README.md) on a request that
// is in order, with one or two fields changed.
func TestReceiveRule(t *testing.T) {
	good := Message{Kind: Req, Op: OpRead, Leaf: 1, Page: 0, Envelope: Envelope{Generation: 5, From: addr.Place{Node: 1, Tag: addr.Leaf}, To: addr.Place{Node: 0, Tag: addr.Root},
		FromIncarnation: 1, ToIncarnation: 1, Epoch: 10, Term: 3, Cut: 7, Lamport: 20},
		Txn: Txn{Leaf: 1, Incarnation: 1, Counter: 1}}
	for _, c := range []struct {
		name   string
		change func(*Message)
		want   error // nil: handled; errDropped: dropped without an error
		learns bool  // of a newer epoch
	}{
		{"in order", func(m *Message) {}, nil, false},
		{"older epoch", func(m *Message) { m.Epoch = 2 }, nil, false},
		{"newer epoch", func(m *Message) { m.Epoch = 11 }, nil, true},
		{"another node", func(m *Message) { m.To.Node = 2 }, ErrForeign, false},
		{"from this node", func(m *Message) { m.From.Node = 0 }, ErrForeign, false},
		{"our former incarnation", func(m *Message) { m.ToIncarnation = 0 }, errDropped, false},
		{"our former incarnation, segment to come", func(m *Message) { m.ToIncarnation, m.Generation = 0, 6 }, errDropped, false},
		{"former generation", func(m *Message) { m.Generation = 4 }, errDropped, false},
		{"segment to come", func(m *Message) { m.Generation = 6 }, ErrEarly, false},
		{"no segment there, a former one", func(m *Message) { m.Page = 100 }, errDropped, false},
		{"no segment there, one to come", func(m *Message) { m.Page, m.Generation = 100, 6 }, ErrEarly, false},
		{"no member", func(m *Message) { m.From.Node = 9 }, errDropped, false},
		{"sender's former incarnation", func(m *Message) { m.FromIncarnation = 0 }, errDropped, false},
		{"sender's former incarnation, newer epoch", func(m *Message) { m.FromIncarnation, m.Epoch = 0, 12 }, errDropped, true},
		{"sender's next incarnation", func(m *Message) { m.FromIncarnation, m.Epoch = 2, 11 }, ErrEarly, true},
		{"member to come", func(m *Message) { m.From.Node, m.Epoch = 9, 11 }, ErrEarly, true},
		{"another term", func(m *Message) { m.Term = 2 }, errDropped, false},
		{"a later term without its epoch", func(m *Message) { m.Term = 11 }, errDropped, false},
		{"term to come", func(m *Message) { m.Term, m.Epoch = 11, 11 }, ErrEarly, true},
		{"leaf of nobody", func(m *Message) { m.Leaf = 9 }, ErrForeign, false},
		{"leaf to come", func(m *Message) { m.Leaf, m.Epoch = 9, 11 }, ErrEarly, true},
		{"not the sender's leaf", func(m *Message) { m.Leaf = 2 }, ErrForeign, false},
		{"no kind", func(m *Message) { m.Kind = KindInvalid }, ErrForeign, false},
		{"no such kind", func(m *Message) { m.Kind = 77 }, ErrForeign, false},
		{"read with a claim", func(m *Message) { m.Have = Read }, ErrForeign, false},
		{"write with the right to", func(m *Message) { m.Op, m.Have = OpWrite, Write }, ErrForeign, false},
		{"writeback of nothing", func(m *Message) { m.Op = OpWriteback }, ErrForeign, false},
		{"no such manager", func(m *Message) { m.To.Tag = 2 }, ErrForeign, false},
		{"to the leaf", func(m *Message) { m.To.Tag = addr.Leaf }, ErrForeign, false},
		{"from a root", func(m *Message) { m.From.Tag = addr.Root }, ErrForeign, false},
		{"ack of nothing", func(m *Message) { m.Kind = Ack }, ErrForeign, false},
		{"grant to a root", func(m *Message) { m.Kind, m.Source = Grant, Sent }, ErrForeign, false},
		{"recall of a root", func(m *Message) { m.Kind = Recall }, ErrForeign, false},
		{"data that nobody expects", func(m *Message) { m.Kind = Data }, ErrForeign, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := NewShard(0, 1, 0, testConfiguration(3, 64), nil)
			before := s.digest()
			m := good
			c.change(&m)
			var b Batch
			err := s.Step(Input{Kind: InMessage, Msg: &m}, &b)
			switch {
			case c.want == errDropped:
				if err != nil || s.Counters().Dropped != 1 {
					t.Errorf("not dropped: %v", err)
				}
			case !errors.Is(err, c.want):
				t.Errorf("got %v, want %v", err, c.want)
			}
			if c.want == nil {
				if s.cut != m.Cut || s.lamport <= m.Lamport || len(b.Effects) == 0 {
					t.Errorf("cut %d, clock %d, %d effects", s.cut, s.lamport, len(b.Effects))
				}
			} else if s.digest() != before || len(b.Effects) > 0 {
				t.Errorf("it changed %s\nto %s", before, s.digest())
			}
			if s.Behind() != c.learns {
				t.Errorf("behind: %v", s.Behind())
			}
		})
	}
}

// TestRemovedSegment: what was under way when a segment was removed is dropped,
// also where the node never had it, and nothing of it stays.
func TestRemovedSegment(t *testing.T) {
	c := testConfiguration(3, 64)
	s := NewShard(1, 1, 0, c, nil)
	var b Batch
	if err := s.Step(Input{Kind: InWriteFault, Page: 0}, &b); err != nil {
		t.Fatal(err)
	}
	req := b.Effects[0].Msg
	grant := Message{Kind: Grant, Op: OpWrite, Source: Zero, Leaf: 1, Envelope: Envelope{Generation: 5, From: req.To, To: req.From,
		FromIncarnation: 1, ToIncarnation: 1, Epoch: 10, Term: 3}, Version: 1}
	s.Configure(c.WithSegments(nil), c.Segments())
	if s.Asking(0) {
		t.Error("it still asks")
	}
	b.Reset()
	if err := s.Step(Input{Kind: InMessage, Msg: &grant}, &b); err != nil || s.Counters().Dropped != 1 {
		t.Errorf("after the removal: %v, %d dropped", err, s.Counters().Dropped)
	}
	s.Configure(c.WithSegments([]Segment{{First: 0, Pages: 64, Generation: 6}}), nil)
	if err := s.Step(Input{Kind: InMessage, Msg: &grant}, &b); err != nil || s.Counters().Dropped != 2 {
		t.Errorf("after the next creation: %v, %d dropped", err, s.Counters().Dropped)
	}
	if v, d := s.Tables(); v != 0 || d != 0 || len(b.Effects) != 0 {
		t.Errorf("%d views, %d directories, %d effects", v, d, len(b.Effects))
	}
}

// TestIdlePagesHaveNoPointers: a million touched pages cost the garbage
// collector nothing.
func TestIdlePagesHaveNoPointers(t *testing.T) {
	var check func(reflect.Type)
	check = func(r reflect.Type) {
		switch r.Kind() {
		case reflect.Struct:
			for i := range r.NumField() {
				check(r.Field(i).Type)
			}
		case reflect.Bool, reflect.Int8, reflect.Int32, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		default:
			t.Errorf("%v may have pointers", r)
		}
	}
	for _, v := range []any{Directory{}, View{}, addr.ManagerID(0), addr.PageNum(0), Message{}} {
		check(reflect.TypeOf(v))
	}
	if n := reflect.TypeOf(Directory{}).Size(); n > 24 {
		t.Errorf("a directory has %d bytes", n)
	}
	if n := reflect.TypeOf(View{}).Size(); n > 16 {
		t.Errorf("a view has %d bytes", n)
	}
}

// TestIdleManagersAreForgotten: only a page that is held, or that the home has
// a version of, is remembered.
func TestIdleManagersAreForgotten(t *testing.T) {
	c := newCluster(testConfiguration(4, 2))
	for p := addr.PageNum(0); p < 64; p++ {
		c.fault(InWriteFault, 3, p)
		c.fault(InWriteFault, 0, p) // takes it away from mid2@2 and leaf@3
	}
	if v, d := c.shards[3].Tables(); v != 0 || d != 0 {
		t.Errorf("node 3 remembers %d views and %d managers of pages that it has no right to", v, d)
	}
	if v, d := c.shards[2].Tables(); v != 0 || d != 0 {
		t.Errorf("node 2 remembers %d views and %d managers of pages that it has no right to", v, d)
	}
	for i, s := range c.shards {
		if s.transactions.len() != 0 || s.asks.len() != 0 {
			t.Errorf("node %d has %d transactions and %d requests", i, s.transactions.len(), s.asks.len())
		}
	}
}
