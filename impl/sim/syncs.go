package sim

import (
	"math/rand/v2"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// SyncConfig is a world of locks or of barriers.
type SyncConfig struct {
	Nodes   int
	Objects int    // how many locks or barriers there are
	Parties uint32 // of each barrier
	Seed    uint64
	// Late: now and then a Release that a home has taken arrives there again.
	// The links of a run never do that, so such a world cannot be recorded.
	Late bool
	// Blind: nothing is watched. What the core refuses, what it panics with and
	// who waits in vain still end a run.
	Blind bool
}

// Syncs is the machines of locks and barriers of a few nodes, links that deliver
// in order and some time, and processes, which objects has use either.
type Syncs struct {
	cfg      SyncConfig
	objects  objects
	rng      *rand.Rand
	parties  []*party // all that there have been
	alive    []*party // always as many
	requests uint64

	conf  *protocol.Configuration
	nodes []*syncNode
	links map[pair][]protocol.Sync
	fell  *Violation // the first one that objects has observed
	// traffic is what the links have carried, failed what a step has ended with.
	traffic map[pair]traffic
	failed  string

	// Counts is how often what a run is there for has happened.
	Counts map[string]int
}

// objects is what the processes of a world use: Locks or Barriers. It watches what
// they are answered.
type objects interface {
	// act is something that a process does, or that befalls it.
	act() *Violation
	// asks is told what a process is about to ask for.
	asks(*protocol.SyncInput)
	// answered is told what has come of it.
	answered(*party, protocol.SyncInput, protocol.Answer) *Violation
	// dies is told that a process is about to die.
	dies(*party)
	// arrives is told what comes over a link.
	arrives(protocol.Sync)
	// noticed is told every action.
	noticed(*protocol.SyncEvent)
	// observed is told every action of a home, which says what its state is after
	// it, unless the world is blind.
	observed(e *protocol.SyncEvent, home *protocol.SyncNode)
	// finish lets everybody come to an end, and demands that nobody waits then.
	finish() error
}

// Objects of a world need not want to know these.
func (*Syncs) asks(*protocol.SyncInput)    {}
func (*Syncs) arrives(protocol.Sync)       {}
func (*Syncs) noticed(*protocol.SyncEvent) {}

// party is a process of a node.
type party struct {
	id    uint64
	node  addr.NodeID
	open  map[uint64]protocol.SyncInput // requests without an answer
	held  map[uint64]uint64             // lock: fence
	past  map[uint64]uint64             // lock: a fence that is over
	seats map[seatKey]*barrierSeat
}

// newSyncs makes a world in which nothing has happened yet, with so many processes
// at each node.
func newSyncs(cfg SyncConfig, o objects, processes int) *Syncs {
	w := &Syncs{cfg: cfg, objects: o, rng: rand.New(rand.NewPCG(cfg.Seed, 0)), Counts: make(map[string]int),
		conf:  &protocol.Configuration{Epoch: 1, Fanout: protocol.MaxFanout, Members: protocol.Founders(cfg.Nodes)},
		links: make(map[pair][]protocol.Sync), traffic: make(map[pair]traffic)}
	w.conf.Slots = protocol.DealSlots(cfg.Nodes, w.conf.Members)
	for i := range addr.NodeID(cfg.Nodes) {
		n := &syncNode{world: w, core: protocol.NewSyncNode(i, 1, w.conf)}
		n.core.Observe(n)
		w.nodes = append(w.nodes, n)
		for range processes {
			w.alive = append(w.alive, w.spawn(i))
		}
	}
	return w
}

func (w *Syncs) spawn(node addr.NodeID) *party {
	p := &party{id: uint64(1 + len(w.parties)), node: node, open: make(map[uint64]protocol.SyncInput),
		held: make(map[uint64]uint64), past: make(map[uint64]uint64), seats: make(map[seatKey]*barrierSeat)}
	w.parties = append(w.parties, p)
	return p
}

// Run takes so many random steps, lets everybody come to an end, and returns the
// first property that did not hold, a *Violation.
func (w *Syncs) Run(steps int) (err error) {
	defer recoverViolation(&err)
	for range steps {
		if v := w.random(); v != nil {
			return v
		}
	}
	return w.objects.finish()
}

func (w *Syncs) random() *Violation {
	if links := w.busyLinks(); len(links) > 0 && w.rng.IntN(3) > 0 {
		return w.deliver(links[w.rng.IntN(len(links))])
	}
	return w.objects.act()
}

// someone is a process that is alive.
func (w *Syncs) someone() *party { return w.alive[w.rng.IntN(len(w.alive))] }

// asks says whether a request of the kind has no answer yet.
func (p *party) asks(kind protocol.SyncInputKind, object uint64, index uint32) bool {
	for _, in := range p.open {
		if in.Kind == kind && in.Object == object && in.Index == index {
			return true
		}
	}
	return false
}

func (w *Syncs) request(p *party, in protocol.SyncInput) *Violation {
	w.requests++
	in.Party, in.Request = p.id, w.requests
	p.open[in.Request] = in
	w.objects.asks(&in)
	return w.step(p.node, in)
}

// answer gives a process its answer.
func (w *Syncs) answer(a protocol.Answer) *Violation {
	p := w.parties[a.Party-1]
	in, ok := p.open[a.Request]
	if !ok || in.Kind != a.Kind {
		return violated("NoLostRequest", "an answer to nothing: %+v", a)
	}
	delete(p.open, a.Request)
	return w.objects.answered(p, in, a)
}

// die ends a process; another one takes its place.
func (w *Syncs) die(p *party) *Violation {
	w.Counts["deaths"]++
	w.objects.dies(p)
	clear(p.open)
	w.alive[slices.Index(w.alive, p)] = w.spawn(p.node)
	return w.step(p.node, protocol.SyncInput{Kind: protocol.InProcessDied, Party: p.id})
}
