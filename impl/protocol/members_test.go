package protocol

import (
	"errors"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
)

// sparse has members whose numbers and lives have gaps, and two slots of 32 pages.
// The trees are of all members but node 7.
func sparse() *Configuration {
	lives := map[addr.NodeID]addr.Incarnation{2: 1, 3: 4, 6: 2, 7: 1, 11: 3, 12: 1}
	c := &Configuration{Epoch: 10, Fanout: 2, Members: NewMembers(lives)}
	delete(lives, 7)
	c.Slots = DealSlots(2, NewMembers(lives))
	return c.WithSegments([]Segment{{Pages: 64, Generation: 5, Policy: Block}})
}

func TestMembers(t *testing.T) {
	c := sparse()
	var nodes []addr.NodeID
	for n, life := range c.Members.All {
		if nodes = append(nodes, n); life != c.Member(n) || !c.Members.Has(n) {
			t.Errorf("node %d is in life %d, and in %d", n, life, c.Member(n))
		}
	}
	if len(nodes) != 6 || c.Members.Len() != 6 || nodes[0] != 2 || nodes[3] != 7 || nodes[5] != 12 {
		t.Errorf("%v, %d in all", nodes, c.Members.Len())
	}
	for _, n := range []addr.NodeID{0, 4, 10, 13, 0xffff} {
		if c.Members.Has(n) || c.Member(n) != 0 {
			t.Errorf("%d is a member", n)
		}
	}
	if none := NewMembers(nil); none.Len() != 0 || none.Has(0) {
		t.Errorf("%+v has members", none)
	}
}

// TestSparseMembers: pages go round among members whose numbers have gaps, and that
// are not all members of the cluster.
func TestSparseMembers(t *testing.T) {
	c := sparse()
	k := newCluster(c)
	members := c.Slots[0].Members
	for p := addr.PageNum(0); p < 64; p += 8 {
		for writer := range members.All {
			k.fault(InWriteFault, writer, p)
			for n := range members.All {
				if right := k.shards[n].RightTo(p); (right == Write) != (n == writer) || (right == None) == (n == writer) {
					t.Fatalf("node %d has %v to page %d, which node %d writes", n, right, p, writer)
				}
			}
			for n := range members.All {
				k.fault(InReadFault, n, p)
				if k.shards[n].RightTo(p) < Read {
					t.Fatalf("node %d may not read page %d", n, p)
				}
			}
		}
	}
}

// TestNotInTheTree: who is a member of the cluster and not of a page's tree has no
// part in it, until a later configuration says otherwise.
func TestNotInTheTree(t *testing.T) {
	c := sparse()
	root := c.Tree(0).Root()
	good := Message{Envelope: Envelope{Generation: 5, From: addr.Place{Node: 3, Tag: addr.Leaf},
		FromIncarnation: c.Member(3), Epoch: 10, Term: 1}, Kind: Req, Op: OpRead, Leaf: 3, Txn: Txn{Leaf: 3, Incarnation: c.Member(3), Counter: 1}}
	good.To, _ = c.Tree(0).Parent(good.From)
	good.ToIncarnation = c.Member(good.To.Node)
	for name, change := range map[string]func(*Message){
		"sender": func(m *Message) { m.From.Node, m.FromIncarnation = 7, c.Member(7) },
		"leaf":   func(m *Message) { m.Leaf, m.Txn.Leaf, m.Txn.Incarnation = 7, 7, c.Member(7) },
		"addressee": func(m *Message) {
			*m = Message{Envelope: Envelope{Generation: 5, From: root, To: addr.Place{Node: 7, Tag: addr.Leaf},
				FromIncarnation: c.Member(root.Node), ToIncarnation: c.Member(7), Epoch: 10, Term: 1}, Kind: Recall, Txn: m.Txn}
		},
	} {
		m := good
		if change(&m); m.From.Node == m.To.Node {
			t.Fatalf("%s: %v is within one node", name, &m)
		}
		s := NewShard(m.To.Node, m.ToIncarnation, 0, c, nil)
		var b Batch
		if err := s.Step(Input{Kind: InMessage, Msg: &m}, &b); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
		if m.Epoch++; !errors.Is(s.Step(Input{Kind: InMessage, Msg: &m}, &b), ErrEarly) {
			t.Errorf("%s: it does not wait for the newer epoch", name)
		}
	}
}

// TestMovedSlot: a slot that is of another term is forgotten, and no other.
func TestMovedSlot(t *testing.T) {
	c := sparse()
	k := newCluster(c)
	writer := addr.NodeID(12)
	k.fault(InWriteFault, writer, 0)
	k.fault(InWriteFault, writer, 32)
	moved := *c
	moved.Slots = []Slot{c.Slots[0], c.Slots[1]}
	moved.Slots[1].Home, moved.Slots[1].Term = 6, 2
	moved.Epoch++
	for n := range c.Members.All {
		s := k.shards[n]
		before := s.directories.len()
		kept := 0
		for id := range s.directories.all {
			if id.Page() == 0 {
				kept++
			}
		}
		s.Configure(&moved, nil)
		if s.directories.len() != kept {
			t.Errorf("node %d remembers %d managers, before %d, of which %d are of the slot that stays", n, s.directories.len(), before, kept)
		}
	}
	if k.shards[writer].RightTo(0) != Write || k.shards[writer].RightTo(32) != None {
		t.Errorf("the writer has %v to the page that stays, %v to the other", k.shards[writer].RightTo(0), k.shards[writer].RightTo(32))
	}
	for _, p := range []addr.PageNum{0, 32} {
		if k.fault(InReadFault, 3, p); k.shards[3].RightTo(p) < Read {
			t.Errorf("node 3 may not read page %d afterwards", p)
		}
	}
}
