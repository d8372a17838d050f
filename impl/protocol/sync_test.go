package protocol

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mome-dsm/mome/impl/addr"
)

var syncSeed = flag.Uint64("syncseed", 0, "run only this seed of TestSyncRandomSchedules")

func TestSyncRandomSchedules(t *testing.T) {
	for _, c := range []struct {
		nodes, objects int
		parties        uint32
		deadly         bool
	}{
		{1, 1, 2, true}, {2, 2, 2, true}, {3, 2, 3, true}, {3, 3, 4, false}, {5, 2, 3, true}, {9, 4, 5, true},
	} {
		name := fmt.Sprintf("nodes=%d/objects=%d/parties=%d/deadly=%v", c.nodes, c.objects, c.parties, c.deadly)
		t.Run(name, func(t *testing.T) {
			var grants, deaths, rounds, broken, overtakes, canceled int
			seeds := uint64(40)
			if invariantsOn {
				seeds = 10 // the race detector is slow, and there is one goroutine
			}
			for seed := uint64(1); seed <= seeds; seed++ {
				if *syncSeed != 0 && seed != *syncSeed {
					continue
				}
				rng := rand.New(rand.NewPCG(seed, 0))
				w := newSyncWorld(c.nodes, c.objects, c.parties, func(s string) {
					t.Fatalf("%s\nreproduce: go test ./impl/protocol -run '%s' -syncseed %d", s, t.Name(), seed)
				})
				for i := range 3000 {
					w.random(rng.IntN, c.deadly)
					if i%500 == 499 {
						w.settle()
					}
				}
				w.end()
				grants += w.grants
				deaths += w.deaths
				rounds += w.rounds
				broken += w.broken
				overtakes += w.overtakes
				canceled += w.canceled
			}
			t.Logf("%d grants, %d overtaking, %d canceled; %d rounds passed, %d waits broken; %d deaths",
				grants, overtakes, canceled, rounds, broken, deaths)
			if *syncSeed != 0 {
				return
			}
			if grants < 500 || rounds < 30 || canceled < 20 || c.deadly != (deaths > 20) || c.nodes > 1 && overtakes < 10 {
				t.Error("the schedules did not get around")
			}
		})
	}
}

// syncProperty is the same with the choices of rapid, which shrinks them.
func syncProperty(t *rapid.T) {
	n := rapid.IntRange(1, 4).Draw(t, "nodes")
	w := newSyncWorld(n, rapid.IntRange(1, 3).Draw(t, "objects"), uint32(rapid.IntRange(1, 4).Draw(t, "parties")),
		func(s string) { t.Fatal(s) })
	choose := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") }
	for range rapid.IntRange(1, 300).Draw(t, "steps") {
		w.random(choose, true)
	}
	w.end()
}

func TestSyncProperty(t *testing.T) { rapid.Check(t, syncProperty) }

func FuzzSyncProperty(f *testing.F) { f.Fuzz(rapid.MakeFuzz(syncProperty)) }

// TestSyncDeterministic: the same inputs give the same batches.
func TestSyncDeterministic(t *testing.T) {
	run := func() string {
		w := newSyncWorld(4, 3, 3, func(s string) { t.Fatal(s) })
		rng := rand.New(rand.NewPCG(7, 7))
		for range 5000 {
			w.random(rng.IntN, true)
		}
		return strings.Join(w.log, "\n")
	}
	if first, second := run(), run(); first != second {
		t.Error("two runs of one seed differ")
	}
}

// dumpSync is all that a node remembers, in a fixed order.
func dumpSync(n *SyncNode) string {
	locks, barriers := make(map[uint64]LockState), make(map[uint64][]barrier)
	meetings, parties := make(map[uint64][]Meeting), make(map[uint64]party)
	for k, v := range n.locks {
		locks[k] = *v
	}
	for k, v := range n.barriers {
		for _, b := range v {
			barriers[k] = append(barriers[k], *b)
		}
	}
	for k, v := range n.meetings {
		for _, m := range v {
			meetings[k] = append(meetings[k], *m)
		}
	}
	for k, v := range n.parties {
		parties[k] = *v
	}
	return fmt.Sprintf("%d %d %d %d|%+v|%+v|%+v|%+v|%+v|%+v|%+v|%+v", n.lamport, n.cut, n.fence, n.generations,
		parties, n.calls, n.turns, n.awaited, meetings, locks, barriers, n.local)
}

// cloneSync is a deep copy.
func cloneSync(n *SyncNode) *SyncNode {
	c := *n
	c.local = nil
	c.parties, c.meetings = make(map[uint64]*party), make(map[uint64][]*Meeting)
	c.locks, c.barriers = make(map[uint64]*LockState), make(map[uint64][]*barrier)
	c.calls, c.turns, c.awaited = maps.Clone(n.calls), maps.Clone(n.turns), maps.Clone(n.awaited)
	for k, v := range n.parties {
		p := *v
		c.parties[k] = &p
	}
	for k, v := range n.meetings {
		for _, m := range v {
			m := *m
			m.Seats = slices.Clone(m.Seats)
			for i := range m.Seats {
				m.Seats[i].Waits = slices.Clone(m.Seats[i].Waits)
			}
			c.meetings[k] = append(c.meetings[k], &m)
		}
	}
	for k, v := range n.locks {
		l := *v
		l.Queue = slices.Clone(l.Queue)
		c.locks[k] = &l
	}
	for k, v := range n.barriers {
		for _, b := range v {
			b := *b
			b.seats, b.nodes, b.left = maps.Clone(b.seats), slices.Clone(b.nodes), maps.Clone(b.left)
			c.barriers[k] = append(c.barriers[k], &b)
		}
	}
	return &c
}

// TestSyncReceive is the receive rule.
func TestSyncReceive(t *testing.T) {
	base := Sync{Envelope: Envelope{Epoch: 5, Term: 3, Cut: 7, FromIncarnation: 2, ToIncarnation: 1,
		From: addr.Place{Node: 1, Tag: addr.Leaf}, To: addr.Place{Node: 0, Tag: addr.Root}},
		Kind: SyncAcquire, Object: 0, Party: 9, Request: 1}
	answer := func(m *Sync) {
		m.Kind, m.From.Tag, m.To.Tag, m.Fence = SyncGrant, addr.Root, addr.Leaf, 1
	}
	for _, c := range []struct {
		name    string
		change  func(m *Sync)
		err     error
		dropped uint64
		behind  bool
	}{
		{"fits", func(*Sync) {}, nil, 0, false},
		{"newer epoch", func(m *Sync) { m.Epoch = 6 }, nil, 0, true},
		{"older epoch", func(m *Sync) { m.Epoch = 1 }, nil, 0, false},
		{"no kind", func(m *Sync) { m.Kind = 0 }, ErrForeign, 0, false},
		{"unknown kind", func(m *Sync) { m.Kind = 200 }, ErrForeign, 0, false},
		{"unknown code", func(m *Sync) { m.Code = 200 }, ErrForeign, 0, false},
		{"wrong role", func(m *Sync) { m.From.Tag = addr.Root }, ErrForeign, 0, false},
		{"from this node", func(m *Sync) { m.From.Node, m.FromIncarnation = 0, 1 }, ErrForeign, 0, false},
		{"for another node", func(m *Sync) { m.To.Node = 2 }, ErrForeign, 0, false},
		{"to another role", func(m *Sync) { m.To.Tag = addr.Leaf }, ErrForeign, 0, false},
		{"not the home", func(m *Sync) { m.Object = 1 }, ErrForeign, 0, false},
		{"not the home yet", func(m *Sync) { m.Object, m.Epoch = 1, 6 }, ErrEarly, 0, true},
		{"answer to nothing", func(m *Sync) { answer(m); m.Object = 1 }, ErrForeign, 0, false},
		{"answer not of the home", answer, ErrForeign, 0, false},
		{"old incarnation", func(m *Sync) { m.FromIncarnation = 1 }, nil, 1, false},
		{"new incarnation", func(m *Sync) { m.FromIncarnation, m.Epoch = 3, 6 }, ErrEarly, 0, true},
		{"stranger", func(m *Sync) { m.From.Node = 7 }, nil, 1, false},
		{"our former incarnation", func(m *Sync) { m.ToIncarnation = 0 }, nil, 1, false},
		{"our former incarnation, newer epoch", func(m *Sync) { m.ToIncarnation, m.Epoch = 0, 6 }, nil, 1, true},
		{"old incarnation, newer epoch", func(m *Sync) { m.FromIncarnation, m.Epoch = 1, 6 }, nil, 1, true},
		{"another term", func(m *Sync) { m.Term = 2 }, nil, 1, false},
		{"another term, newer epoch", func(m *Sync) { m.Term, m.Epoch = 2, 6 }, nil, 1, true},
		{"a later term without its epoch", func(m *Sync) { m.Term = 4 }, nil, 1, false},
		{"term to come", func(m *Sync) { m.Term, m.Epoch = 4, 6 }, ErrEarly, 0, true},
		{"newcomer", func(m *Sync) { m.From.Node, m.Epoch = 7, 6 }, ErrEarly, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := NewSyncNode(0, 1, syncConfiguration(3))
			m := base
			c.change(&m)
			var b SyncBatch
			err := n.Step(SyncInput{Kind: InSync, Sync: &m}, &b)
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("error %v, want %v", err, c.err)
			}
			if n.Dropped() != c.dropped || n.Behind() != c.behind {
				t.Errorf("dropped %d, behind %v", n.Dropped(), n.Behind())
			}
			if granted := len(b.Send) == 1; granted != (err == nil && c.dropped == 0) {
				t.Errorf("sent %+v", b.Send)
			} else if granted {
				if g := b.Send[0]; g.Cut != 7 || g.Term != 3 || g.Epoch != 5 || g.FromIncarnation != 1 || g.ToIncarnation != 2 || g.Lamport == 0 {
					t.Errorf("the answer carries %+v", g)
				}
			} else if n.cut != 0 || n.lamport != 0 {
				t.Errorf("cut %d, clock %d of what was not taken", n.cut, n.lamport)
			}
		})
	}
}
