package protocol

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/mome-dsm/mome/impl/addr"
)

// syncScript runs scenarios of locks and barriers. Process 12 is a process of
// node 1. Object o has its home at node o % nodes. Requests have names of their
// own where the script gives none.
//
//	nodes n=3               start again
//	acquire p=12 o=0 [try] [id=7] [hold]
//	cancel p=12 target=7 [silent] [hold]
//	release p=12 o=0 fence=1 [hold]
//	join | wait | leave     p=12 o=0 i=0 [parties=2] [round=1] [hold]
//	died p=12 [hold]
//	deliver from=1 to=0 [n=1]
//	settle
//	tables node=0
//
// After each command all messages are delivered, unless it says hold. The
// output is what arrives where, and what the processes are answered.
type syncScript struct {
	nodes []*SyncNode
	links map[[2]addr.NodeID][]Sync
	id    uint64
	out   strings.Builder
}

func (s *syncScript) step(t *testing.T, node addr.NodeID, in SyncInput) {
	var b SyncBatch
	if err := s.nodes[node].Step(in, &b); err != nil {
		t.Fatal(err)
	}
	for _, a := range b.Answers {
		fmt.Fprintf(&s.out, "process %d: %v: %v", a.Party, a.Kind, a.Code)
		if a.Fence != 0 {
			fmt.Fprintf(&s.out, ", fence %d", a.Fence)
		}
		if a.OwnerDied {
			s.out.WriteString(", owner died")
		}
		s.out.WriteString("\n")
	}
	for _, m := range b.Send {
		link := [2]addr.NodeID{node, m.To.Node}
		s.links[link] = append(s.links[link], m)
	}
}

func (s *syncScript) deliver(t *testing.T, link [2]addr.NodeID) {
	m := s.links[link][0]
	s.links[link] = s.links[link][1:]
	fmt.Fprintf(&s.out, "  %d -> %d %v", link[0], link[1], m.Kind)
	if m.Code != 0 {
		fmt.Fprintf(&s.out, " %v", m.Code)
	}
	if m.Party != 0 {
		fmt.Fprintf(&s.out, " party %d", m.Party)
	}
	if number := m.Fence + m.Round + uint64(m.Parties); number != 0 { // it has one of them
		fmt.Fprintf(&s.out, " (%d)", number)
	}
	if m.Generation != 0 {
		fmt.Fprintf(&s.out, " of generation %d", m.Generation)
	}
	s.out.WriteString("\n")
	s.step(t, link[1], SyncInput{Kind: InSync, Sync: &m})
}

func (s *syncScript) settle(t *testing.T) {
	for again := true; again; {
		again = false
		for from := range s.nodes {
			for to := range s.nodes {
				link := [2]addr.NodeID{addr.NodeID(from), addr.NodeID(to)}
				for len(s.links[link]) > 0 {
					s.deliver(t, link)
					again = true
				}
			}
		}
	}
}

var scriptKinds = map[string]SyncInputKind{"acquire": InLockAcquire, "cancel": InLockCancel, "release": InLockRelease,
	"join": InBarrierJoin, "wait": InBarrierWait, "leave": InBarrierLeave, "died": InProcessDied}

func (s *syncScript) run(t *testing.T, d *datadriven.TestData) string {
	number := func(key string) uint64 {
		var v uint64
		d.MaybeScanArgs(t, key, &v)
		return v
	}
	s.out.Reset()
	switch d.Cmd {
	case "nodes":
		s.nodes, s.links = nil, make(map[[2]addr.NodeID][]Sync)
		n := int(number("n"))
		conf := syncConfiguration(n)
		for i := range n {
			s.nodes = append(s.nodes, NewSyncNode(addr.NodeID(i), conf.Member(addr.NodeID(i)), conf))
		}
	case "deliver":
		for range max(1, number("n")) {
			s.deliver(t, [2]addr.NodeID{addr.NodeID(number("from")), addr.NodeID(number("to"))})
		}
	case "settle":
		s.settle(t)
	case "tables":
		return fmt.Sprintf("%+v\n", s.nodes[number("node")].Tables())
	default:
		kind, ok := scriptKinds[d.Cmd]
		if !ok {
			t.Fatalf("%s: no such command: %s", d.Pos, d.Cmd)
		}
		s.id++
		id := 1000 + s.id
		if d.HasArg("id") {
			id = number("id")
		}
		in := SyncInput{Kind: kind, Try: d.HasArg("try"), Index: uint32(number("i")), Parties: uint32(number("parties")),
			Party: number("p"), Request: id, Object: number("o"), Target: number("target"),
			Fence: number("fence"), Round: number("round")}
		if d.HasArg("silent") {
			in.Request = 0
		}
		s.step(t, addr.NodeID(in.Party/10), in)
		if !d.HasArg("hold") {
			s.settle(t)
		}
	}
	return s.out.String()
}

func runSyncScript(t *testing.T, path string) {
	var s syncScript
	datadriven.RunTest(t, path, s.run)
}

func TestLockScenarios(t *testing.T) { runSyncScript(t, "testdata/sync/lock") }

// TestLateRelease: a turn that is over frees nothing, and a fence that was
// never given out is foreign.
func TestLateRelease(t *testing.T) {
	conf := syncConfiguration(2)
	n := NewSyncNode(0, 1, conf)
	var b SyncBatch
	message := func(m Sync) error {
		m.From, m.To = addr.Place{Node: 1, Tag: addr.Leaf}, addr.Place{Node: 0, Tag: addr.Root}
		m.FromIncarnation, m.ToIncarnation, m.Term = 2, 1, 3
		b.Reset()
		return n.Step(SyncInput{Kind: InSync, Sync: &m}, &b)
	}
	for fence := range uint64(3) {
		if fence > 0 {
			if err := message(Sync{Kind: SyncRelease, Party: 5, Fence: fence}); err != nil {
				t.Fatal(err)
			}
		}
		if err := message(Sync{Kind: SyncAcquire, Party: 5}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		party, fence uint64
		foreign      bool
	}{{5, 1, false}, {5, 2, false}, {6, 3, false}, {5, 4, true}} {
		before := n.locks[0].Fence
		err := message(Sync{Kind: SyncRelease, Party: c.party, Fence: c.fence})
		if errors.Is(err, ErrForeign) != c.foreign || n.locks[0] == nil || n.locks[0].Fence != before {
			t.Errorf("%+v: %v", c, err)
		}
		if !c.foreign && (len(b.Send) != 1 || b.Send[0].Code != CodeNotOwner) {
			t.Errorf("%+v: sent %+v", c, b.Send)
		}
	}
}

// TestLockQueueBound: a full queue refuses, and says so.
func TestLockQueueBound(t *testing.T) {
	n := NewSyncNode(0, 1, syncConfiguration(2))
	var b SyncBatch
	for i := range uint64(MaxWaiters + 2) {
		b.Reset()
		if err := n.Step(SyncInput{Kind: InLockAcquire, Object: 0, Party: 1 + i, Request: 1}, &b); err != nil {
			t.Fatal(err)
		}
		if i == 100 {
			break
		}
	}
	l := n.locks[0]
	for len(l.Queue) < MaxWaiters {
		l.Queue = append(l.Queue, Waiter{Node: 1, Party: uint64(1000 + len(l.Queue)), Request: 1})
	}
	b.Reset()
	if err := n.Step(SyncInput{Kind: InLockAcquire, Object: 0, Party: 500, Request: 7}, &b); err != nil {
		t.Fatal(err)
	}
	want := Answer{Kind: InLockAcquire, Code: CodeLimit, Party: 500, Request: 7}
	if len(b.Answers) != 1 || b.Answers[0] != want || len(l.Queue) != MaxWaiters {
		t.Errorf("answers %+v, %d wait", b.Answers, len(l.Queue))
	}
}

// TestPartyBounds: what a node remembers of one process is bounded.
func TestPartyBounds(t *testing.T) {
	for _, c := range []struct {
		in    SyncInput
		bound int
	}{
		{SyncInput{Kind: InLockAcquire}, MaxTurns},
		{SyncInput{Kind: InBarrierJoin, Parties: 1}, MaxCalls},
	} {
		t.Run(c.in.Kind.String(), func(t *testing.T) {
			n := NewSyncNode(0, 1, syncConfiguration(2))
			var b SyncBatch
			for i := range uint64(c.bound + 1) {
				in := c.in
				in.Party, in.Request, in.Object = 1, i, 2*i+1 // at home at node 1, which is silent
				if err := n.Step(in, &b); err != nil {
					t.Fatal(err)
				}
			}
			if len(b.Send) != c.bound || len(b.Answers) != 1 || b.Answers[0].Code != CodeLimit {
				t.Errorf("%d sent, answers %+v", len(b.Send), b.Answers)
			}
		})
	}
}

// BenchmarkLock is one turn, with everything a shell would copy.
func BenchmarkLock(b *testing.B) {
	for _, remote := range []bool{false, true} {
		b.Run(fmt.Sprintf("remote=%v", remote), func(b *testing.B) {
			conf := syncConfiguration(2)
			nodes := []*SyncNode{NewSyncNode(0, 1, conf), NewSyncNode(1, 2, conf)}
			object := uint64(0)
			if remote {
				object = 1
			}
			var batch, other SyncBatch
			do := func(in SyncInput) Answer {
				batch.Reset()
				if err := nodes[0].Step(in, &batch); err != nil {
					b.Fatal(err)
				}
				if remote {
					other.Reset()
					if err := nodes[1].Step(SyncInput{Kind: InSync, Sync: &batch.Send[0]}, &other); err != nil {
						b.Fatal(err)
					}
					if err := nodes[0].Step(SyncInput{Kind: InSync, Sync: &other.Send[0]}, &batch); err != nil {
						b.Fatal(err)
					}
				}
				return batch.Answers[0]
			}
			b.ReportAllocs()
			for b.Loop() {
				a := do(SyncInput{Kind: InLockAcquire, Object: object, Party: 1, Request: 1})
				do(SyncInput{Kind: InLockRelease, Object: object, Party: 1, Request: 2, Fence: a.Fence})
			}
		})
	}
}
