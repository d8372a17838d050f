package protocol

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
)

// syncConfiguration has n members and as many slots, slot i at node i.
func syncConfiguration(n int) *Configuration {
	lives := make(map[addr.NodeID]addr.Incarnation)
	for i := range n {
		lives[addr.NodeID(i)] = addr.Incarnation(1 + i%2)
	}
	conf := &Configuration{Epoch: 5, Fanout: MaxFanout, Members: NewMembers(lives)}
	conf.Slots = DealSlots(n, conf.Members)
	for i := range conf.Slots {
		conf.Slots[i].Term = 3
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
	barrier *barrier // which generation of the name
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
		w.nodes = append(w.nodes, NewSyncNode(addr.NodeID(i), w.conf.Member(addr.NodeID(i)), w.conf))
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
		w.log = append(w.log, fmt.Sprintf("node %d <- %d: %v %v %+v", node, in.Sync.From.Node, in.Sync.Kind, in.Sync.Code, *in.Sync))
	} else {
		w.log = append(w.log, fmt.Sprintf("node %d: %v %+v", node, in.Kind, in))
	}
	before := make(map[uint64]LockState)
	for object, l := range n.locks {
		was := *l
		was.Queue = slices.Clone(l.Queue)
		before[object] = was
	}
	fence := n.fence
	w.batch.Reset()
	if err := n.Step(in, &w.batch); err != nil {
		w.failf("step: %v", err)
	}
	for _, m := range w.batch.Send {
		if m.To.Node == node {
			w.failf("node %d sends to itself", node)
		}
		link := [2]addr.NodeID{node, m.To.Node}
		w.links[link] = append(w.links[link], m)
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
func (w *syncWorld) watchOrder(n *SyncNode, before map[uint64]LockState) {
	for object, l := range n.locks {
		was, ok := before[object]
		if !ok || l.Fence != n.fence || len(was.Queue) == 0 {
			continue
		}
		i := slices.Index(was.Queue, l.Holder)
		switch {
		case i < 0:
			w.failf("lock %d went to %+v, who did not wait: %+v", object, l.Holder, was.Queue)
		case i > 0:
			w.overtakes++
			near := slices.IndexFunc(was.Queue, func(x Waiter) bool { return x.Node == was.Holder.Node })
			if i != near || was.Overtaken >= NearTurns || l.Overtaken != was.Overtaken+1 {
				w.failf("lock %d went to place %d of %+v, from node %d", object, i, was.Queue, was.Holder.Node)
			}
		case l.Overtaken != 0:
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
			m, _ := barrierClient{w.nodes[p.node]}.seat(in.Object, in.Index, p.id)
			p.seats[key] = &procSeat{barrier: w.home(in.Object).generation(in.Object, m.Generation), round: 1}
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
			if !s.left && !s.barrier.Broken {
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
				if last, gone := w.last[s.barrier]; s.barrier.Broken || gone && in.Round > last ||
					len(w.arrivals[s.barrier][in.Round]) == int(w.parties) {
					w.failf("process %d waits at barrier %d for round %d in vain", p.id, in.Object, in.Round)
				}
				for i := range w.parties {
					if _, taken := s.barrier.seats[i]; !w.arrivals[s.barrier][in.Round][i] && !taken && !w.mayJoin(in.Object, i) &&
						!w.isBefore(in.Object, s.barrier, i) {
						w.failf("process %d waits at barrier %d for seat %d, which nobody can take", p.id, in.Object, i)
					}
				}
			default:
				w.failf("process %d: no answer to %v", p.id, in.Kind)
			}
		}
	}
}

func (w *syncWorld) home(object uint64) barrierHome {
	return barrierHome{w.nodes[w.conf.Slots[object%uint64(len(w.nodes))].Home]}
}

// isBefore says whether the party of a seat is still in an older generation, which
// it can leave.
func (w *syncWorld) isBefore(object uint64, b *barrier, index uint32) bool {
	for _, older := range w.home(object).barriers[object] {
		if _, taken := older.seats[index]; older == b || taken && !older.Broken {
			return older != b
		}
	}
	return false
}

// mayJoin says whether a newcomer would get a seat.
func (w *syncWorld) mayJoin(object uint64, index uint32) bool {
	home := cloneSync(w.home(object).SyncNode)
	home.Observe(nil)
	var b SyncBatch
	in := SyncInput{Kind: InBarrierJoin, Object: object, Index: index, Parties: w.parties, Party: 1 << 40, Request: 1}
	return home.Step(in, &b) == nil && len(b.Answers) == 1 && b.Answers[0].Code == CodeOK
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
			if l.Fence != 0 || !w.ownerDied[object] {
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
