package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

type syncNode struct {
	world    *Syncs
	core     *protocol.SyncNode
	recorder *trace.Recorder
	log      *trace.SyncLog
}

// ObserveSync implements protocol.SyncObserver.
func (n *syncNode) ObserveSync(e *protocol.SyncEvent) {
	n.log.Action(e, n.core)
	n.world.objects.noticed(e)
	if e.At.Tag == addr.Root && !n.world.cfg.Blind {
		n.world.objects.observed(e, n.core)
	}
}

// Violation is a property of locks or barriers that did not hold.
type Violation struct{ Property, What string }

func (v *Violation) Error() string { return v.Property + ": " + v.What }

func violated(property, format string, args ...any) *Violation {
	return &Violation{property, fmt.Sprintf(format, args...)}
}

// Record makes the nodes write logs into a directory, as real nodes do;
// EndRecord completes them.
// Preconditions: nothing has happened yet, and SyncConfig.Late is not set.
func (w *Syncs) Record(dir string) error {
	slots, err := trace.SlotsOf(w.conf)
	if err != nil {
		return err
	}
	for i, n := range w.nodes {
		n.recorder, err = trace.NewRecorder(dir, trace.Header{Spec: "strong", Node: addr.NodeID(i), Incarnation: 1,
			Nodes: len(w.nodes), PageSize: addr.PageSize, Slots: slots, Simulated: true, Seed: w.cfg.Seed, Build: "impl/sim"}, 1)
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
func (w *Syncs) EndRecord() error {
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

// Recorded runs the world as Run does, and leaves its logs in the directory.
// Preconditions: those of Record.
func (w *Syncs) Recorded(dir string, steps int) error {
	if err := w.Record(dir); err != nil {
		return err
	}
	return errors.Join(w.Run(steps), w.EndRecord())
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

func (w *Syncs) busyLinks() []pair {
	return slices.SortedFunc(maps.Keys(w.links), func(a, b pair) int {
		return slices.Compare([]addr.NodeID{a.from, a.to}, []addr.NodeID{b.from, b.to})
	})
}

func (w *Syncs) deliver(link pair) *Violation {
	m := w.links[link][0]
	if w.links[link] = w.links[link][1:]; len(w.links[link]) == 0 {
		delete(w.links, link)
	}
	w.objects.arrives(m)
	v := w.step(link.to, protocol.SyncInput{Kind: protocol.InSync, Sync: &m})
	if c := w.traffic[link]; w.failed == "" {
		c.taken++
		w.traffic[link] = c
	}
	return v
}

func (w *Syncs) settle() *Violation {
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
func (w *Syncs) step(node addr.NodeID, in protocol.SyncInput) (v *Violation) {
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
	for _, m := range b.Send {
		link := pair{node, m.To.Node}
		w.links[link] = append(w.links[link], m)
		c := w.traffic[link]
		c.sent++
		w.traffic[link] = c
	}
	for _, a := range b.Answers {
		if v := w.answer(a); v != nil && !w.cfg.Blind {
			return v
		}
	}
	return w.fell
}
