package protocol

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
)

// carried is a message that was sent, and what it must carry beside what it
// says.
type carried struct {
	what    string // kind and ends, as short prints them
	version uint64
}

// TestCarried follows five faults on a tree with an intermediate, and looks at
// what each message that leaves a node carries. That is the transaction, made
// at the fault and copied onto everything that it causes; the version, which
// each write grant of the root advances; epoch, term, cut and generation; and
// the Lamport clock. Data carries the cut under which its content was last
// prepared for a store: that of the node's write grant, wherever the content
// has gone since. Node 3 is below mid2@2; the home is node 0.
func TestCarried(t *testing.T) {
	conf := testConfiguration(4, 2)
	k := newCluster(conf)
	for _, c := range []struct {
		name  string
		kind  InputKind
		node  addr.NodeID
		count uint64 // of the node's transactions
		// Of Data: node 3 stores under the cut 7, and later under 8.
		prepared uint64
		cut      uint64
		want     []carried
	}{
		{"the first write", InWriteFault, 3, 1, 0, 7, []carried{
			{"leaf@3 -> mid2@2: Req(write, 3, none)", 0},
			{"mid2@2 -> root@0: Req(write, 3, none)", 0},
			{"root@0 -> mid2@2: Grant(write, zero, 3)", 1},
			{"mid2@2 -> leaf@3: Grant(write, zero, 3)", 1},
		}},
		{"Data from a leaf to a leaf", InReadFault, 1, 1, 7, 8, []carried{
			{"leaf@1 -> mid2@0: Req(read, 1, none)", 0},
			{"root@0 -> mid2@2: Recall(owned, leaf, 1)", 1},
			{"mid2@2 -> leaf@3: Recall(owned, leaf, 1)", 1},
			{"leaf@3 -> leaf@1: Data", 1},
			{"leaf@3 -> mid2@2: Ack(owned, true)", 1},
			{"mid2@2 -> root@0: Ack(owned, true)", 1},
			{"mid2@0 -> leaf@1: Grant(read, sent, 1)", 1},
		}},
		{"an upgrade", InWriteFault, 3, 2, 0, 8, []carried{
			{"leaf@3 -> mid2@2: Req(write, 3, owned)", 1},
			{"mid2@2 -> root@0: Req(write, 3, owned)", 1},
			{"mid2@0 -> leaf@1: Recall(none, nobody, 3)", 1},
			{"leaf@1 -> mid2@0: Ack(none, false)", 1},
			{"root@0 -> mid2@2: Grant(write, have, 3)", 2},
			{"mid2@2 -> leaf@3: Grant(write, have, 3)", 2},
		}},
		{"Data from a leaf to the home", InWriteback, 3, 3, 8, 9, []carried{
			{"leaf@3 -> mid2@2: Req(writeback, 3, write)", 2},
			{"mid2@2 -> root@0: Req(writeback, 3, write)", 2},
			{"root@0 -> mid2@2: Recall(read, home, 3)", 2},
			{"mid2@2 -> leaf@3: Recall(read, home, 3)", 2},
			{"leaf@3 -> root@0: Data", 2},
			{"leaf@3 -> mid2@2: Ack(read, true)", 2},
			{"mid2@2 -> root@0: Ack(read, true)", 2},
			{"root@0 -> mid2@2: Grant(writeback, have, 3)", 2},
			{"mid2@2 -> leaf@3: Grant(writeback, have, 3)", 2},
		}},
		{"Data from the home", InReadFault, 1, 2, 8, 9, []carried{
			{"leaf@1 -> mid2@0: Req(read, 1, none)", 0},
			{"root@0 -> leaf@1: Data", 2},
			{"mid2@0 -> leaf@1: Grant(read, sent, 1)", 2},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			txn := Txn{Leaf: c.node, Incarnation: 1, Counter: c.count}
			var got, want []string
			for _, s := range k.shards {
				s.cut = c.cut
			}
			k.each = func(m, cause *Message, before, after uint64) {
				got = append(got, fmt.Sprintf("%s version %d", short(m), m.Version))
				if m.Txn != txn {
					t.Errorf("%s carries the transaction %+v, want %+v", short(m), m.Txn, txn)
				}
				if m.Kind == Data && m.Prepared != c.prepared || m.Kind != Data && m.Prepared != 0 {
					t.Errorf("%s carries a page prepared under the cut %d, want %d", short(m), m.Prepared, c.prepared)
				}
				if m.Epoch != 10 || m.Term != 3 || m.Cut != c.cut || m.Generation != 5 || m.FromIncarnation != 1 || m.ToIncarnation != 1 {
					t.Errorf("%s carries %+v", short(m), *m)
				}
				if m.Lamport <= before || m.Lamport > after || cause != nil && m.Lamport <= cause.Lamport {
					t.Errorf("%s carries the time %d, the sender's clock went from %d to %d", short(m), m.Lamport, before, after)
				}
			}
			k.fault(c.kind, c.node, 0)
			for _, w := range c.want {
				want = append(want, fmt.Sprintf("%s version %d", w.what, w.version))
			}
			if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
				t.Errorf("sent\n%s\nwant\n%s", g, w)
			}
		})
	}
}

// TestClockAdopts: the clock of whoever takes a message is later than the
// message, and so is what it sends then. Data is no exception.
func TestClockAdopts(t *testing.T) {
	conf := testConfiguration(3, 64)
	s := NewShard(1, 1, 0, conf, nil)
	var b Batch
	step := func(in Input) {
		t.Helper()
		b.Reset()
		if err := s.Step(in, &b); err != nil {
			t.Fatal(err)
		}
	}
	step(Input{Kind: InReadFault})
	req := b.Effects[0].Msg
	answer := Message{Envelope: Envelope{Generation: 5, From: req.To, To: req.From,
		FromIncarnation: 1, ToIncarnation: 1, Epoch: 10, Term: 3}, Txn: req.Txn}
	data := answer
	data.Kind, data.Lamport = Data, 500
	step(Input{Kind: InMessage, Msg: &data})
	if s.lamport <= 500 {
		t.Errorf("Data of the time 500 leaves the clock at %d", s.lamport)
	}
	grant := answer
	grant.Kind, grant.Op, grant.Source, grant.Leaf, grant.Lamport = Grant, OpRead, Sent, 1, 20
	step(Input{Kind: InMessage, Msg: &grant})
	step(Input{Kind: InWriteFault})
	if m := b.Effects[len(b.Effects)-1].Msg; m.Kind != Req || m.Lamport <= 500 {
		t.Errorf("after Data of the time 500 it sends %s at %d", short(&m), m.Lamport)
	}
}

// TestPreparedIsForgotten: where a content goes, its cut goes too.
func TestPreparedIsForgotten(t *testing.T) {
	k := newCluster(testConfiguration(3, 64))
	for _, s := range k.shards {
		s.cut = 7
	}
	k.fault(InWriteFault, 1, 0)
	k.fault(InReadFault, 2, 0)
	k.fault(InWriteback, 1, 0)
	for i, s := range k.shards {
		if n := s.prepared.len(); n != 1 {
			t.Errorf("node %d knows the cut of %d contents, want 1", i, n)
		}
	}
	k.fault(InEvict, 2, 0)
	k.fault(InEvict, 1, 0)
	k.fault(InWriteFault, 0, 0)
	for i, want := range []int{1, 0, 0} {
		if n := k.shards[i].prepared.len(); n != want {
			t.Errorf("node %d knows the cut of %d contents, want %d", i, n, want)
		}
	}
}
