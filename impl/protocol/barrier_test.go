package protocol

import (
	"fmt"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
)

func TestBarrierScenarios(t *testing.T) { runSyncScript(t, "testdata/sync/barrier") }

// TestBarrierWaitBound: who asks again and again for one round is answered, the
// oldest request first.
func TestBarrierWaitBound(t *testing.T) {
	n := NewSyncNode(0, 1, syncConfiguration(1))
	var b SyncBatch
	ask := func(in SyncInput) {
		in.Party, in.Parties = 1, 2
		b.Reset()
		if err := n.Step(in, &b); err != nil {
			t.Fatal(err)
		}
	}
	ask(SyncInput{Kind: InBarrierJoin})
	for i := range uint64(MaxWaits) {
		ask(SyncInput{Kind: InBarrierWait, Request: 100 + i, Round: 1})
		if len(b.Answers) != 0 {
			t.Fatalf("answers %+v", b.Answers)
		}
	}
	ask(SyncInput{Kind: InBarrierWait, Request: 999, Round: 1})
	want := Answer{Kind: InBarrierWait, Code: CodeCanceled, Party: 1, Request: 100}
	if len(b.Answers) != 1 || b.Answers[0] != want {
		t.Errorf("answers %+v, want %+v", b.Answers, want)
	}
	if got := n.barriers[0][0].Arrived; got != 1 {
		t.Errorf("%d arrived", got)
	}
}

// TestBarrierMessages: a party sends one message for a round, and a node with
// many parties gets one.
func TestBarrierMessages(t *testing.T) {
	const nodes, each = 4, 8
	conf := syncConfiguration(nodes)
	var machines []*SyncNode
	for i := range nodes {
		machines = append(machines, NewSyncNode(addr.NodeID(i), conf.Member(addr.NodeID(i)), conf))
	}
	var queue []Sync
	sent := make(map[string]int)
	answers := 0
	step := func(node addr.NodeID, in SyncInput) {
		var b SyncBatch
		if err := machines[node].Step(in, &b); err != nil {
			t.Fatal(err)
		}
		queue = append(queue, b.Send...)
		answers += len(b.Answers)
	}
	drain := func() {
		for len(queue) > 0 {
			m := queue[0]
			queue = queue[1:]
			sent[m.Kind.String()]++
			step(m.To.Node, SyncInput{Kind: InSync, Sync: &m})
		}
	}
	all := func(in SyncInput) {
		for i := range uint32(nodes * each) {
			in.Index, in.Party, in.Parties, in.Request = i, uint64(i), nodes*each, uint64(in.Kind)
			step(addr.NodeID(i%nodes), in)
		}
		drain()
	}
	all(SyncInput{Kind: InBarrierJoin})
	clear(sent)
	answers = 0
	all(SyncInput{Kind: InBarrierWait, Round: 1})
	want := fmt.Sprint(map[string]int{"Arrive": (nodes - 1) * each, "Done": nodes - 1})
	if got := fmt.Sprint(sent); got != want || answers != nodes*each {
		t.Errorf("sent %s, want %s; %d answers", got, want, answers)
	}
}

func BenchmarkBarrierRound(b *testing.B) {
	for _, parties := range []uint32{2, 64, 1024} {
		b.Run(fmt.Sprintf("parties=%d", parties), func(b *testing.B) {
			n := NewSyncNode(0, 1, syncConfiguration(1))
			var batch SyncBatch
			in := SyncInput{Kind: InBarrierJoin, Parties: parties}
			all := func() {
				batch.Reset()
				for i := range parties {
					in.Index, in.Party = i, uint64(i)
					if err := n.Step(in, &batch); err != nil {
						b.Fatal(err)
					}
				}
			}
			all()
			in.Kind = InBarrierWait
			b.ReportAllocs()
			for b.Loop() {
				in.Round++
				all()
			}
		})
	}
}
