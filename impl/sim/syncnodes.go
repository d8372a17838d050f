package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// syncNodes is the machines of locks and barriers of a few nodes, and links that
// deliver in order and some time.
type syncNodes struct {
	seed  uint64
	blind bool // nothing is watched
	conf  *protocol.Configuration
	nodes []*syncNode
	links map[pair][]protocol.Sync
	fell  *Violation // the first one that observed has found
	// traffic is what the links have carried, failed what a step has ended with.
	traffic map[pair]traffic
	failed  string

	// noticed is told every action, if it is set.
	noticed func(e *protocol.SyncEvent)
	// observed is told every action and the state after it, unless blind.
	observed func(e *protocol.SyncEvent, state []byte)
	answered func(protocol.Answer) *Violation
	// arrives is told what comes over a link, if it is set.
	arrives func(protocol.Sync)
}

type syncNode struct {
	world    *syncNodes
	core     *protocol.SyncNode
	recorder *trace.Recorder
	log      *trace.SyncLog
}

// ObserveSync implements protocol.SyncObserver.
func (n *syncNode) ObserveSync(e *protocol.SyncEvent) {
	n.log.Action(e, n.core)
	if n.world.noticed != nil {
		n.world.noticed(e)
	}
	if !n.world.blind {
		n.world.observed(e, n.core.AppendState(nil, e))
	}
}

// Violation is a property of locks or barriers that did not hold.
type Violation struct{ Property, What string }

func (v *Violation) Error() string { return v.Property + ": " + v.What }

func violated(property, format string, args ...any) *Violation {
	return &Violation{property, fmt.Sprintf(format, args...)}
}

func newSyncNodes(nodes int, seed uint64, blind bool) syncNodes {
	w := syncNodes{seed: seed, blind: blind, conf: &protocol.Configuration{Epoch: 1, Fanout: protocol.MaxFanout},
		links: make(map[pair][]protocol.Sync), traffic: make(map[pair]traffic)}
	for i := range nodes {
		w.conf.Members = append(w.conf.Members, 1)
		w.conf.Slots = append(w.conf.Slots, protocol.Slot{Home: addr.NodeID(i), Term: 1})
	}
	for i := range nodes {
		w.nodes = append(w.nodes, &syncNode{core: protocol.NewSyncNode(addr.NodeID(i), 1, w.conf)})
	}
	return w
}

// watchAll has the nodes tell what they do. It is called once the world has its
// place in memory.
func (w *syncNodes) watchAll() {
	for _, n := range w.nodes {
		n.world = w
		n.core.Observe(n)
	}
}

// Record makes the nodes write logs into a directory, as real nodes do;
// EndRecord completes them.
// Preconditions: nothing has happened yet, and LocksConfig.Late is not set.
func (w *syncNodes) Record(dir string) error {
	slots, err := json.Marshal(w.conf)
	if err != nil {
		return err
	}
	for i, n := range w.nodes {
		n.recorder, err = trace.NewRecorder(dir, trace.Header{Spec: "strong", Node: addr.NodeID(i), Incarnation: 1,
			Nodes: len(w.nodes), PageSize: addr.PageSize, Slots: slots, Simulated: true, Seed: w.seed, Build: "impl/sim"}, 1)
		if err == nil {
			n.log, err = n.recorder.Sync()
		}
		if err != nil {
			return errors.Join(err, w.EndRecord())
		}
	}
	return nil
}

// EndRecord completes the logs, with the accounts of cores and links.
func (w *syncNodes) EndRecord() error {
	var errs []error
	for i, n := range w.nodes {
		self := addr.NodeID(i)
		a := trace.Account{Shards: make([]trace.CoreAccount, 1), Sync: &trace.CoreAccount{Work: n.core.Work()}, Failed: w.failed}
		for peer := range addr.NodeID(len(w.nodes)) {
			if peer != self {
				a.Links = append(a.Links, trace.LinkAccount{Peer: peer, SyncsSent: w.traffic[pair{self, peer}].sent, SyncsReceived: w.traffic[pair{peer, self}].taken})
			}
		}
		errs = append(errs, n.recorder.Close(&a))
	}
	return errors.Join(errs...)
}

// recoverViolation turns a panic of the core into the violation that it is.
func recoverViolation(err *error) {
	switch r := recover().(type) {
	case nil:
	case string:
		*err = violated("panic", "%s", r)
	default:
		panic(r)
	}
}

func (w *syncNodes) busyLinks() []pair {
	return slices.SortedFunc(maps.Keys(w.links), func(a, b pair) int {
		return slices.Compare([]addr.NodeID{a.from, a.to}, []addr.NodeID{b.from, b.to})
	})
}

func (w *syncNodes) deliver(link pair) *Violation {
	m := w.links[link][0]
	if w.links[link] = w.links[link][1:]; len(w.links[link]) == 0 {
		delete(w.links, link)
	}
	if w.arrives != nil {
		w.arrives(m)
	}
	v := w.step(link.to, protocol.SyncInput{Kind: protocol.InSync, Sync: &m})
	if c := w.traffic[link]; w.failed == "" {
		c.taken++
		w.traffic[link] = c
	}
	return v
}

func (w *syncNodes) settle() *Violation {
	for len(w.links) > 0 {
		for _, link := range w.busyLinks() {
			if v := w.deliver(link); v != nil {
				return v
			}
		}
	}
	return nil
}

// step runs a node, puts what it sends on the links, and watches its answers.
func (w *syncNodes) step(node addr.NodeID, in protocol.SyncInput) (v *Violation) {
	n := w.nodes[node]
	defer func() {
		// The core panics where it contradicts itself within a node.
		if r := recover(); r != nil {
			v = violated("Admit", "%v", r)
		}
		if v != nil {
			w.failed = v.Error()
		}
	}()
	var b protocol.SyncBatch
	n.log.Input(&in)
	err := n.core.Step(in, &b)
	n.log.Output(&in, &b, err)
	if err != nil {
		return violated("Admit", "%v", err)
	}
	for _, s := range b.Send {
		link := pair{node, s.To}
		w.links[link] = append(w.links[link], s.Msg)
		c := w.traffic[link]
		c.sent++
		w.traffic[link] = c
	}
	for _, a := range b.Answers {
		if v := w.answered(a); v != nil && !w.blind {
			return v
		}
	}
	return w.fell
}
