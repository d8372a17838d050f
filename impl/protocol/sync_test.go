package protocol

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mome-dsm/mome/impl/addr"
)

var syncSeed = flag.Uint64("syncseed", 0, "run only this seed of TestSyncRandomSchedules")

// syncConfiguration has n members and as many slots, slot i at node i.
func syncConfiguration(n int) *Configuration {
	conf := &Configuration{Epoch: 5, Fanout: MaxFanout}
	for i := range n {
		conf.Members = append(conf.Members, addr.Incarnation(1+i%2))
		conf.Slots = append(conf.Slots, Slot{Home: addr.NodeID(i)})
	}
	return conf
}

// syncWorld is nodes with FIFO links, applications that use them, and the
// oracle that watches what the applications see.
type syncWorld struct {
	conf  *Configuration
	nodes []*SyncNode
	links map[[2]addr.NodeID][]Sync
	batch SyncBatch
	log   []string
	fail  func(string)

	procs    []*proc
	requests uint64
	objects  []uint64
	parties  uint32 // of every barrier

	holder    map[uint64]*proc
	ownerDied map[uint64]bool
	fences    map[uint64]uint64
	arrivals  map[*barrier]map[uint64]map[uint32]bool
	last      map[*barrier]uint64 // no later round can be over: somebody is gone

	grants, deaths, rounds, broken, overtakes, canceled int
}

// proc is a process of an application.
type proc struct {
	id   uint64
	node addr.NodeID
	dead bool

	open  map[uint64]SyncInput // requests without an answer
	held  map[uint64]uint64    // object: fence
	seats map[seatKey]*procSeat
}

type seatKey struct {
	object uint64
	index  uint32
}

type procSeat struct {
	barrier *barrier // which life of the name
	round   uint64   // the next
	broken  bool
	left    bool // a leave has no answer yet
}

func newSyncWorld(nodes, objects int, parties uint32, fail func(string)) *syncWorld {
	w := &syncWorld{
		conf: syncConfiguration(nodes), links: make(map[[2]addr.NodeID][]Sync), fail: fail, parties: parties,
		holder: make(map[uint64]*proc), ownerDied: make(map[uint64]bool), fences: make(map[uint64]uint64),
		arrivals: make(map[*barrier]map[uint64]map[uint32]bool), last: make(map[*barrier]uint64),
	}
	for i := range nodes {
		w.nodes = append(w.nodes, NewSyncNode(addr.NodeID(i), w.conf.Members[i], w.conf))
	}
	for i := range objects {
		w.objects = append(w.objects, uint64(i))
	}
	return w
}

func (w *syncWorld) failf(format string, args ...any) {
	tail := w.log[max(0, len(w.log)-60):]
	w.fail(fmt.Sprintf(format, args...) + "\n" + strings.Join(tail, "\n"))
}

func (w *syncWorld) spawn(node addr.NodeID) *proc {
	p := &proc{id: uint64(1 + len(w.procs)), node: node, open: make(map[uint64]SyncInput),
		held: make(map[uint64]uint64), seats: make(map[seatKey]*procSeat)}
	w.procs = append(w.procs, p)
	return p
}

// request gives an input of a process to its node.
func (w *syncWorld) request(p *proc, in SyncInput) uint64 {
	in.Party = p.id
	if in.Kind != InProcessDied {
		w.requests++
		in.Request = w.requests
		p.open[in.Request] = in
	}
	w.step(p.node, in)
	return in.Request
}

// step runs a node, puts what it sends on the links, and watches its answers.
func (w *syncWorld) step(node addr.NodeID, in SyncInput) {
	n := w.nodes[node]
	if in.Kind == InSync {
		w.log = append(w.log, fmt.Sprintf("node %d <- %d: %v %v %+v", node, in.Sync.From, SyncKind(in.Sync.Kind), SyncCode(in.Sync.Code), *in.Sync))
	} else {
		w.log = append(w.log, fmt.Sprintf("node %d: %v %+v", node, in.Kind, in))
	}
	before := make(map[uint64]lock)
	for object, l := range n.locks {
		was := *l
		was.queue = slices.Clone(l.queue)
		before[object] = was
	}
	fence := n.fence
	w.batch.Reset()
	if err := n.Step(in, &w.batch); err != nil {
		w.failf("step: %v", err)
	}
	for _, s := range w.batch.Send {
		if s.To == node {
			w.failf("node %d sends to itself", node)
		}
		link := [2]addr.NodeID{node, s.To}
		w.links[link] = append(w.links[link], s.Msg)
	}
	if n.fence == fence+1 {
		w.watchOrder(n, before)
	}
	for _, a := range w.batch.Answers {
		w.log = append(w.log, fmt.Sprintf("   answer %v: %v %+v", a.Kind, a.Code, a))
		w.watch(a)
	}
}

// watchOrder: a hand-over is FIFO, or prefers the node that gave the lock up,
// and the front of the queue is overtaken NearTurns times at most.
func (w *syncWorld) watchOrder(n *SyncNode, before map[uint64]lock) {
	for object, l := range n.locks {
		was, ok := before[object]
		if !ok || l.fence != n.fence || len(was.queue) == 0 {
			continue
		}
		i := slices.Index(was.queue, l.holder)
		switch {
		case i < 0:
			w.failf("lock %d went to %+v, who did not wait: %+v", object, l.holder, was.queue)
		case i > 0:
			w.overtakes++
			near := slices.IndexFunc(was.queue, func(x waiter) bool { return x.node == was.holder.node })
			if i != near || was.overtaken >= NearTurns || l.overtaken != was.overtaken+1 {
				w.failf("lock %d went to place %d of %+v, from node %d", object, i, was.queue, was.holder.node)
			}
		case l.overtaken != 0:
			w.failf("lock %d went to the front, which counts as overtaken", object)
		}
	}
}

func (w *syncWorld) watch(a Answer) {
	p := w.procs[a.Party-1]
	in, ok := p.open[a.Request]
	if !ok || in.Kind != a.Kind || p.dead {
		w.failf("answer to nothing: %+v", a)
		return
	}
	delete(p.open, a.Request)
	key := seatKey{in.Object, in.Index}
	switch a.Kind {
	case InLockAcquire:
		w.watchAcquire(p, in, a)
	case InLockRelease:
		if a.Code != CodeOK {
			w.failf("release: %v", a.Code)
		}
	case InLockCancel:
		if _, ok := p.open[in.Target]; ok {
			w.failf("a cancel is answered before its acquire")
		}
	case InBarrierJoin:
		if a.Code == CodeOK && p.seats[key] == nil {
			p.seats[key] = &procSeat{barrier: w.nodes[w.conf.Slots[in.Object%uint64(len(w.nodes))].Home].barriers[in.Object], round: 1}
			for _, q := range w.procs {
				s := q.seats[key]
				if q != p && !q.dead && s != nil && !s.left && s.barrier == p.seats[key].barrier {
					w.failf("seat %+v is taken twice", key)
				}
			}
		}
	case InBarrierWait:
		s := p.seats[key]
		switch a.Code {
		case CodeOK:
			if got := w.arrivals[s.barrier][in.Round]; len(got) != int(w.parties) {
				w.failf("round %d of %d is over, and only %v have arrived", in.Round, in.Object, got)
			}
			if in.Round == s.round {
				s.round++
				w.rounds++
			}
		case CodePartyDied:
			if !s.left && !s.barrier.broken {
				w.failf("barrier %d is not broken", in.Object)
			}
			s.broken = true
			w.broken++
		case CodeCanceled:
		default:
			w.failf("wait: %v", a.Code)
		}
	case InBarrierLeave:
		if a.Code != CodeOK {
			w.failf("leave: %v", a.Code)
		}
		delete(p.seats, key)
	}
}

// watchAcquire: mutual exclusion, fences, and a death is told exactly once.
func (w *syncWorld) watchAcquire(p *proc, in SyncInput, a Answer) {
	switch a.Code {
	case CodeOK:
		if q := w.holder[in.Object]; q != nil {
			w.failf("lock %d: %d and %d have it", in.Object, q.id, p.id)
		}
		if a.Fence <= w.fences[in.Object] {
			w.failf("lock %d: fence %d after %d", in.Object, a.Fence, w.fences[in.Object])
		}
		if a.OwnerDied != w.ownerDied[in.Object] {
			w.failf("lock %d: owner died %v, want %v", in.Object, a.OwnerDied, w.ownerDied[in.Object])
		}
		w.fences[in.Object], w.holder[in.Object] = a.Fence, p
		delete(w.ownerDied, in.Object)
		p.held[in.Object] = a.Fence
		w.grants++
	case CodeBusy:
		if !in.Try {
			w.failf("busy, and it was no try")
		}
	case CodeCanceled:
		w.canceled++
	default:
		w.failf("acquire: %v", a.Code)
	}
}

func (w *syncWorld) waits(p *proc, object uint64) bool {
	for _, in := range p.open {
		if in.Kind == InLockAcquire && in.Object == object {
			return true
		}
	}
	return false
}

func (w *syncWorld) release(p *proc, object uint64) {
	fence := p.held[object]
	delete(p.held, object)
	delete(w.holder, object)
	w.request(p, SyncInput{Kind: InLockRelease, Object: object, Fence: fence})
}

func (w *syncWorld) die(p *proc) {
	p.dead = true
	w.deaths++
	for object := range p.held {
		delete(w.holder, object)
		w.ownerDied[object] = true
	}
	for _, s := range p.seats {
		if !s.left {
			w.last[s.barrier] = 0
		}
	}
	clear(p.open)
	w.request(p, SyncInput{Kind: InProcessDied})
}

// deliver takes the first message of a link.
func (w *syncWorld) deliver(link [2]addr.NodeID) {
	m := w.links[link][0]
	if w.links[link] = w.links[link][1:]; len(w.links[link]) == 0 {
		delete(w.links, link)
	}
	w.step(link[1], SyncInput{Kind: InSync, Sync: &m})
}

// busyLinks are the links with messages, in order.
func (w *syncWorld) busyLinks() [][2]addr.NodeID {
	return slices.SortedFunc(maps.Keys(w.links), func(a, b [2]addr.NodeID) int { return slices.Compare(a[:], b[:]) })
}

func (w *syncWorld) settle() {
	for len(w.links) > 0 {
		for _, link := range w.busyLinks() {
			w.deliver(link)
		}
	}
	w.checkQuiet()
}

// checkQuiet: with nothing on its way, who waits for a lock waits for a living
// holder, and who waits at a barrier waits for a party that can still come.
func (w *syncWorld) checkQuiet() {
	for _, p := range w.procs {
		for _, in := range p.open {
			switch in.Kind {
			case InLockAcquire:
				if w.holder[in.Object] == nil {
					w.failf("process %d waits for lock %d, and nobody has it", p.id, in.Object)
				}
			case InBarrierWait:
				s := p.seats[seatKey{in.Object, in.Index}]
				if last, gone := w.last[s.barrier]; s.barrier.broken || gone && in.Round > last ||
					len(w.arrivals[s.barrier][in.Round]) == int(w.parties) {
					w.failf("process %d waits at barrier %d for round %d in vain", p.id, in.Object, in.Round)
				}
			default:
				w.failf("process %d: no answer to %v", p.id, in.Kind)
			}
		}
	}
}

// end lets everybody give everything up, and checks that nothing is remembered.
func (w *syncWorld) end() {
	w.settle()
	for again := true; again; {
		again = false
		for _, p := range w.procs {
			for _, object := range slices.Sorted(maps.Keys(p.held)) {
				if !p.dead {
					w.release(p, object)
					again = true
				}
			}
		}
		w.settle()
	}
	for _, p := range w.procs {
		for !p.dead && len(p.seats) > 0 {
			w.leave(func(int) int { return 0 }, p)
			w.settle()
		}
	}
	w.settle()
	for _, n := range w.nodes {
		for object, l := range n.locks {
			if l.fence != 0 || !w.ownerDied[object] {
				w.failf("node %d remembers lock %d: %+v", n.self, object, *l)
			}
		}
		left := n.Tables()
		left.Locks = 0
		if left != (SyncTables{}) || len(n.parties)+len(n.calls)+len(n.awaited) != 0 {
			w.failf("node %d remembers something: %s", n.self, dumpSync(n))
		}
	}
}

// random does one thing; choose(n) is below n.
func (w *syncWorld) random(choose func(n int) int, deadly bool) {
	if links := w.busyLinks(); len(links) > 0 && choose(3) > 0 {
		w.deliver(links[choose(len(links))])
		return
	}
	var alive []*proc
	for _, p := range w.procs {
		if !p.dead {
			alive = append(alive, p)
		}
	}
	if len(alive) < 2*len(w.nodes) {
		w.spawn(addr.NodeID(choose(len(w.nodes))))
		return
	}
	p := alive[choose(len(alive))]
	object := w.objects[choose(len(w.objects))]
	switch choose(12) {
	case 0, 1, 2:
		if _, ok := p.held[object]; !ok && !w.waits(p, object) {
			w.request(p, SyncInput{Kind: InLockAcquire, Object: object, Try: choose(4) == 0})
		}
	case 3, 4, 5:
		if _, ok := p.held[object]; ok {
			w.release(p, object)
		}
	case 6:
		if choose(3) == 0 {
			w.cancel(choose, p)
		}
	case 7:
		if !w.seated(p, object) {
			w.request(p, SyncInput{Kind: InBarrierJoin, Object: object, Index: uint32(choose(int(w.parties))), Parties: w.parties})
		}
	case 8, 9, 10:
		w.await(choose, p)
	case 11:
		switch {
		case choose(10) == 0:
			w.leave(choose, p)
		case deadly && choose(8) == 0:
			w.die(p)
		}
	}
}

func (w *syncWorld) seated(p *proc, object uint64) bool {
	for key := range p.seats {
		if key.object == object {
			return true
		}
	}
	return false
}

func (w *syncWorld) cancel(choose func(int) int, p *proc) {
	var targets []uint64
	canceled := make(map[uint64]bool)
	for r, in := range p.open {
		if in.Kind == InLockAcquire {
			targets = append(targets, r)
		}
		canceled[in.Target] = true
	}
	slices.Sort(targets)
	if len(targets) == 0 {
		return
	}
	if t := targets[choose(len(targets))]; !canceled[t] {
		w.request(p, SyncInput{Kind: InLockCancel, Target: t})
	}
}

func (w *syncWorld) someSeat(choose func(int) int, p *proc) (seatKey, *procSeat) {
	var keys []seatKey
	for key, s := range p.seats {
		if !s.left {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return seatKey{}, nil
	}
	slices.SortFunc(keys, func(a, b seatKey) int {
		return cmp.Or(cmp.Compare(a.object, b.object), cmp.Compare(a.index, b.index))
	})
	key := keys[choose(len(keys))]
	return key, p.seats[key]
}

func (w *syncWorld) await(choose func(int) int, p *proc) {
	key, s := w.someSeat(choose, p)
	if s == nil {
		return
	}
	if s.broken && choose(4) > 0 {
		w.leave(choose, p)
		return
	}
	round := s.round
	if round > 1 && choose(6) == 0 {
		round--
	}
	rounds := w.arrivals[s.barrier]
	if rounds == nil {
		rounds = make(map[uint64]map[uint32]bool)
		w.arrivals[s.barrier] = rounds
	}
	if rounds[round] == nil {
		rounds[round] = make(map[uint32]bool)
	}
	rounds[round][key.index] = true
	w.request(p, SyncInput{Kind: InBarrierWait, Object: key.object, Index: key.index, Parties: w.parties, Round: round})
}

func (w *syncWorld) leave(choose func(int) int, p *proc) {
	key, s := w.someSeat(choose, p)
	if s == nil {
		return
	}
	s.left = true
	last, gone := w.last[s.barrier]
	if !w.arrivals[s.barrier][s.round][key.index] {
		w.last[s.barrier] = s.round - 1
	} else if !gone || s.round < last {
		w.last[s.barrier] = s.round
	}
	w.request(p, SyncInput{Kind: InBarrierLeave, Object: key.object, Index: key.index})
}

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
	locks, barriers := make(map[uint64]lock), make(map[uint64]barrier)
	meetings, parties := make(map[uint64]meeting), make(map[uint64]party)
	for k, v := range n.locks {
		locks[k] = *v
	}
	for k, v := range n.barriers {
		barriers[k] = *v
	}
	for k, v := range n.meetings {
		meetings[k] = *v
	}
	for k, v := range n.parties {
		parties[k] = *v
	}
	return fmt.Sprintf("%d %d %d|%+v|%+v|%+v|%+v|%+v|%+v|%+v|%+v", n.lamport, n.cut, n.fence,
		parties, n.calls, n.turns, n.awaited, meetings, locks, barriers, n.local)
}

// cloneSync is a deep copy.
func cloneSync(n *SyncNode) *SyncNode {
	c := *n
	c.local = nil
	c.parties, c.meetings = make(map[uint64]*party), make(map[uint64]*meeting)
	c.locks, c.barriers = make(map[uint64]*lock), make(map[uint64]*barrier)
	c.calls, c.turns, c.awaited = maps.Clone(n.calls), maps.Clone(n.turns), maps.Clone(n.awaited)
	for k, v := range n.parties {
		p := *v
		c.parties[k] = &p
	}
	for k, v := range n.meetings {
		m := *v
		m.seats = slices.Clone(m.seats)
		for i := range m.seats {
			m.seats[i].waits = slices.Clone(m.seats[i].waits)
		}
		c.meetings[k] = &m
	}
	for k, v := range n.locks {
		l := *v
		l.queue = slices.Clone(l.queue)
		c.locks[k] = &l
	}
	for k, v := range n.barriers {
		b := *v
		b.seats, b.nodes = maps.Clone(b.seats), slices.Clone(b.nodes)
		c.barriers[k] = &b
	}
	return &c
}

// forge is a message that may mean anything, or nearly something.
func (w *syncWorld) forge(choose func(int) int) Sync {
	m := Sync{
		Kind: uint8(choose(int(SyncLeft) + 2)), Code: uint8(choose(3)), Count: uint32(choose(5)),
		Object: uint64(choose(len(w.objects) + 1)), Party: uint64(choose(len(w.procs) + 2)),
		Request: uint64(choose(int(w.requests) + 2)), Fence: uint64(choose(6)), Epoch: uint64(choose(7)),
		From: addr.NodeID(choose(len(w.nodes) + 1)), Tag: addr.Tag(choose(3)),
	}
	if SyncKind(m.Kind) >= SyncGrant && choose(8) > 0 {
		m.Tag, m.From = addr.Root, w.conf.Slots[m.Object%uint64(len(w.nodes))].Home
	} else if choose(8) > 0 {
		m.Tag = addr.Leaf
	}
	if choose(2) == 0 {
		m.Code = uint8(choose(int(numCodes) + 1))
	}
	m.FromIncarnation = w.conf.Member(m.From)
	if choose(10) == 0 {
		m.FromIncarnation = addr.Incarnation(choose(4))
	}
	if open := w.procs[max(0, int(m.Party)-1)%max(1, len(w.procs))]; choose(2) == 0 && len(open.open) > 0 {
		r := slices.Sorted(maps.Keys(open.open))[choose(len(open.open))]
		in := open.open[r]
		m.Party, m.Request, m.Object, m.Count = open.id, r, in.Object, in.Index
		if m.Tag == addr.Root {
			m.From = w.conf.Slots[m.Object%uint64(len(w.nodes))].Home
			m.FromIncarnation = w.conf.Member(m.From)
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
			m := w.forge(choose)
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

// TestSyncIsTheWires: the fields are those of wire.Sync, so that one type
// converts to the other. The core does not import the wire.
func TestSyncIsTheWires(t *testing.T) {
	fields := func(file string) []string {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		body := regexp.MustCompile(`(?s)\ntype Sync struct \{\n(.*?)\n\}`).FindSubmatch(src)
		if body == nil {
			t.Fatalf("%s has no type Sync", file)
		}
		var f []string
		for line := range strings.Lines(string(body[1])) {
			line, _, _ = strings.Cut(line, "//")
			f = append(f, strings.Join(strings.Fields(line), " "))
		}
		return f
	}
	if here, wire := fields("sync.go"), fields("../wire/frame.go"); !slices.Equal(here, wire) {
		t.Errorf("here %q\nwire %q", here, wire)
	}
}

// TestSyncReceive is the receive rule.
func TestSyncReceive(t *testing.T) {
	base := Sync{Kind: uint8(SyncAcquire), Object: 0, Party: 9, Request: 1, Epoch: 5, From: 1, FromIncarnation: 2, Tag: addr.Leaf}
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
		{"wrong role", func(m *Sync) { m.Tag = addr.Root }, ErrForeign, 0, false},
		{"from this node", func(m *Sync) { m.From, m.FromIncarnation = 0, 1 }, ErrForeign, 0, false},
		{"not the home", func(m *Sync) { m.Object = 1 }, ErrForeign, 0, false},
		{"not the home yet", func(m *Sync) { m.Object, m.Epoch = 1, 6 }, ErrEarly, 0, true},
		{"answer to nothing", func(m *Sync) { m.Kind, m.Tag, m.Object, m.Fence = uint8(SyncGrant), addr.Root, 1, 1 }, ErrForeign, 0, false},
		{"answer not of the home", func(m *Sync) { m.Kind, m.Tag, m.Fence = uint8(SyncGrant), addr.Root, 1 }, ErrForeign, 0, false},
		{"old incarnation", func(m *Sync) { m.FromIncarnation = 1 }, nil, 1, false},
		{"new incarnation", func(m *Sync) { m.FromIncarnation, m.Epoch = 3, 6 }, ErrEarly, 0, true},
		{"stranger", func(m *Sync) { m.From = 7 }, nil, 1, false},
		{"newcomer", func(m *Sync) { m.From, m.Epoch = 7, 6 }, ErrEarly, 0, true},
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
			}
		})
	}
}
