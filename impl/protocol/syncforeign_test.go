package protocol

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
)

// forge is a message to a node that may mean anything, or nearly
// something.
func (w *syncWorld) forge(to addr.NodeID, toIncarnation addr.Incarnation, choose func(int) int) Sync {
	m := Sync{
		Kind: SyncKind(choose(int(SyncLeft) + 2)), Code: SyncCode(choose(3)), Try: choose(2) == 0,
		Index: uint32(choose(5)), Parties: uint32(choose(6)), Round: uint64(choose(6)),
		Object: uint64(choose(len(w.objects) + 1)), Party: uint64(choose(len(w.procs) + 2)),
		Request: uint64(choose(int(w.requests) + 2)), Fence: uint64(choose(6)),
		Envelope: Envelope{Epoch: uint64(choose(7)), Term: 3, ToIncarnation: toIncarnation, Generation: uint64(choose(4)),
			From: addr.Place{Node: addr.NodeID(choose(len(w.nodes) + 1)), Tag: addr.Tag(choose(3))},
			To:   addr.Place{Node: to, Tag: addr.Tag(choose(3))}},
	}
	if choose(20) == 0 {
		m.Term, m.ToIncarnation = uint64(choose(5)), addr.Incarnation(choose(4))
	}
	if m.Kind >= SyncGrant && choose(8) > 0 {
		m.From = addr.Place{Node: w.conf.Slots[m.Object%uint64(len(w.nodes))].Home, Tag: addr.Root}
		m.To.Tag = addr.Leaf
	} else if choose(8) > 0 {
		m.From.Tag, m.To.Tag = addr.Leaf, addr.Root
	}
	if choose(2) == 0 {
		m.Code = SyncCode(choose(int(numCodes) + 1))
	}
	if !m.ofGeneration() && choose(8) > 0 {
		m.Generation = 0
	}
	m.FromIncarnation = w.conf.Member(m.From.Node)
	if choose(10) == 0 {
		m.FromIncarnation = addr.Incarnation(choose(4))
	}
	if open := w.procs[max(0, int(m.Party)-1)%max(1, len(w.procs))]; choose(2) == 0 && len(open.open) > 0 {
		r := slices.Sorted(maps.Keys(open.open))[choose(len(open.open))]
		in := open.open[r]
		m.Party, m.Request, m.Object, m.Index = open.id, r, in.Object, in.Index
		if m.From.Tag == addr.Root {
			m.From.Node = w.conf.Slots[m.Object%uint64(len(w.nodes))].Home
			m.FromIncarnation = w.conf.Member(m.From.Node)
		}
	}
	return m
}

// foreignProperty: whatever a peer sends, a node does not panic, and what it
// refuses has changed nothing. A node that was lied to goes on being asked.
func foreignProperty(choose func(int) int, steps int, fail func(string)) (refused, taken int) {
	w := newSyncWorld(3, 2, 3, fail)
	for range 6 {
		w.spawn(addr.NodeID(choose(3)))
	}
	for range steps {
		w.random(choose, true)
		victim := cloneSync(w.nodes[choose(3)])
		for range 4 {
			before := dumpSync(victim)
			m := w.forge(victim.self, victim.incarnation, choose)
			var b SyncBatch
			err := victim.Step(SyncInput{Kind: InSync, Sync: &m}, &b)
			switch {
			case err == nil:
				taken++
				continue
			case !errors.Is(err, ErrForeign) && !errors.Is(err, ErrEarly):
				fail(fmt.Sprintf("%+v: %v", m, err))
			}
			refused++
			if after := dumpSync(victim); after != before || len(b.Send)+len(b.Answers) != 0 {
				fail(fmt.Sprintf("%+v was refused and changed something:\n%s\n%s\n%+v", m, before, after, b))
			}
		}
		for range 3 {
			in := SyncInput{Kind: InLockAcquire + SyncInputKind(choose(int(InProcessDied))), Try: choose(2) == 0,
				Index: uint32(choose(4)), Parties: uint32(choose(4)), Party: uint64(choose(len(w.procs) + 1)),
				Request: uint64(choose(9)), Object: uint64(choose(3)), Target: uint64(choose(int(w.requests) + 1)),
				Fence: uint64(choose(6)), Round: uint64(choose(4))}
			if err := victim.Step(in, &SyncBatch{}); err != nil {
				fail(fmt.Sprintf("%+v: %v", in, err))
			}
		}
	}
	return refused, taken
}

func TestSyncForeign(t *testing.T) {
	refused, taken := 0, 0
	for seed := range uint64(5) {
		rng := rand.New(rand.NewPCG(seed, 1))
		r, k := foreignProperty(rng.IntN, 800, func(s string) { t.Fatalf("seed %d: %s", seed, s) })
		refused, taken = refused+r, taken+k
	}
	t.Logf("%d refused, %d taken", refused, taken)
	if refused < 1000 || taken < 200 {
		t.Error("the messages were all alike")
	}
}

func FuzzSyncForeign(f *testing.F) {
	f.Add([]byte("0123456789"))
	f.Fuzz(func(t *testing.T, data []byte) {
		i := 0
		choose := func(n int) int {
			if i >= len(data) {
				return 0
			}
			i++
			return int(data[i-1]) % n
		}
		foreignProperty(choose, min(len(data)/8, 200), func(s string) { t.Fatal(s) })
	})
}
