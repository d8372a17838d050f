package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// Config is what a run is made of.
type Config struct {
	Nodes  int
	Fanout int
	Pages  int
	Seed   uint64
}

// packet is one message under way, with the word of its page.
type packet struct {
	msg  protocol.Message
	word uint64
}

type pair struct{ from, to addr.NodeID }

// node is one simulated node.
type node struct {
	id     addr.NodeID
	shard  *protocol.Shard
	right  []protocol.Right // what processes may do, as the effects left it
	frame  []uint64         // one word per page
	filled []bool           // the frame has content
	home   []uint64
	held   []addr.PageNum // residences to be ended
	wants  []want         // by page
}

// want is what the node's application waits for.
type want uint8

const (
	wantNothing want = iota
	wantRead
	wantWrite
)

// World is the simulated cluster.
type World struct {
	cfg   Config
	rng   *rand.Rand
	nodes []*node
	links map[pair][]packet
	busy  []pair // links with packets, in order of becoming so

	memory []uint64 // the atomic memory that strong pages refine
	next   uint64   // the next value to store: all are different

	Coverage Coverage
	Steps    int
	Served   int // faults that were served
	batch    protocol.Batch
}

// Coverage counts actions by role and by the phase in which they began.
type Coverage map[Key]int

// Key is one cell of Coverage. Role is leaf, intermediate or root.
type Key struct {
	Action protocol.Action
	Role   string
	Phase  protocol.Phase
}

// observer feeds Coverage.
type observer struct{ c Coverage }

func (o observer) Observe(e *protocol.Event) {
	role := "intermediate"
	switch e.Level {
	case 0:
		role = "leaf"
	case e.Depth:
		role = "root"
	}
	o.c[Key{e.Action, role, e.Before}]++
}

// New makes a cluster of one segment, all of whose pages are virgin.
func New(cfg Config) *World {
	w := &World{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 1)), links: make(map[pair][]packet),
		memory: make([]uint64, cfg.Pages), next: 1, Coverage: make(Coverage)}
	conf := &protocol.Configuration{Epoch: 1, Fanout: cfg.Fanout}
	for i := range cfg.Nodes {
		conf.Members = append(conf.Members, 1)
		conf.Slots = append(conf.Slots, protocol.Slot{Home: addr.NodeID(i), Term: 1})
	}
	conf = conf.WithSegments([]protocol.Segment{{First: 0, Pages: int64(cfg.Pages), Generation: 1, Policy: protocol.Block}})
	for i := range cfg.Nodes {
		n := &node{id: addr.NodeID(i), shard: protocol.NewShard(addr.NodeID(i), 1, 0, conf, observer{w.Coverage}),
			right: make([]protocol.Right, cfg.Pages), frame: make([]uint64, cfg.Pages), filled: make([]bool, cfg.Pages),
			home: make([]uint64, cfg.Pages), wants: make([]want, cfg.Pages)}
		w.nodes = append(w.nodes, n)
	}
	return w
}

// fail panics with what is needed to see it again.
func (w *World) fail(format string, args ...any) {
	panic(fmt.Sprintf("nodes %d fan-out %d pages %d seed %d step %d: %s",
		w.cfg.Nodes, w.cfg.Fanout, w.cfg.Pages, w.cfg.Seed, w.Steps, fmt.Sprintf(format, args...)))
}

// step gives one input to a node's core and carries out the batch.
func (w *World) step(n *node, in protocol.Input, word uint64) {
	w.Steps++
	w.batch.Reset()
	if err := n.shard.Step(in, &w.batch); err != nil {
		if errors.Is(err, protocol.ErrForeign) {
			w.fail("%v", err)
		}
		w.fail("unexpected: %v", err)
	}
	for i := range w.batch.Effects {
		w.effect(n, &w.batch.Effects[i], word)
	}
}

func (w *World) effect(n *node, e *protocol.Effect, word uint64) {
	p := e.Page
	switch e.Kind {
	case protocol.Send:
		pk := packet{msg: e.Msg}
		if e.Msg.Data == protocol.PageData {
			if e.Msg.From.Tag == addr.Root {
				pk.word = n.home[p]
			} else {
				if !n.filled[p] {
					w.fail("node %d sends %v, which is a hole", n.id, p)
				}
				pk.word = n.frame[p]
			}
		}
		k := pair{n.id, e.Msg.To.Node}
		if len(w.links[k]) == 0 {
			w.busy = append(w.busy, k)
		}
		w.links[k] = append(w.links[k], pk)
	case protocol.FrameProtect:
		n.right[p] = min(n.right[p], protocol.Owned)
	case protocol.FrameDrop:
		n.right[p], n.filled[p], n.frame[p] = protocol.None, false, 0
	case protocol.FrameFill:
		n.frame[p], n.filled[p] = word, true
	case protocol.FrameZero:
		n.frame[p], n.filled[p] = 0, true
	case protocol.FrameGrant:
		if !n.filled[p] {
			w.fail("node %d grants %v, which is a hole", n.id, p)
		}
		n.right[p] = e.Right
		w.access(n, p)
	case protocol.FrameToHome:
		n.home[p] = n.frame[p]
	case protocol.HomeToFrame:
		n.frame[p], n.filled[p] = n.home[p], true
	case protocol.HomeFill:
		n.home[p] = word
	case protocol.HomeDrop:
		n.home[p] = ^uint64(0) // whoever reads it is found out
	case protocol.Held:
		n.held = append(n.held, p)
	case protocol.Written:
	}
}

// access lets the application use what it was granted, and checks that.
func (w *World) access(n *node, p addr.PageNum) {
	switch {
	case n.wants[p] == wantRead && n.right[p] >= protocol.Read:
		w.Load(n.id, p)
	case n.wants[p] == wantWrite && n.right[p] >= protocol.Write:
		w.Store(n.id, p)
	default:
		return
	}
	n.wants[p] = wantNothing
	w.Served++
}

// Load is an application's load, where the node may read.
func (w *World) Load(id addr.NodeID, p addr.PageNum) {
	n := w.nodes[id]
	if n.right[p] < protocol.Read {
		return
	}
	if n.frame[p] != w.memory[p] {
		w.fail("DataValueInv: node %d reads %d of %v, the last store was %d", id, n.frame[p], p, w.memory[p])
	}
}

// Store is an application's store, where the node may write.
func (w *World) Store(id addr.NodeID, p addr.PageNum) {
	n := w.nodes[id]
	if n.right[p] < protocol.Write {
		return
	}
	for _, o := range w.nodes {
		if o != n && o.right[p] != protocol.None {
			w.fail("SingleWriterInv: node %d stores to %v, node %d has %v", id, p, o.id, o.right[p])
		}
	}
	if n.frame[p] != w.memory[p] {
		w.fail("DataValueInv: node %d writes over %d of %v, the last store was %d", id, n.frame[p], p, w.memory[p])
	}
	n.frame[p] = w.next
	w.memory[p] = w.next
	w.next++
}

// Fault is an application's access to a page; the access itself takes place
// when it is granted.
func (w *World) Fault(id addr.NodeID, p addr.PageNum, write bool) {
	n := w.nodes[id]
	kind := protocol.InReadFault
	n.wants[p] = max(n.wants[p], wantRead)
	if write {
		kind = protocol.InWriteFault
		n.wants[p] = wantWrite
	}
	w.step(n, protocol.Input{Kind: kind, Page: p}, 0)
}

// Deliver hands over the oldest message of a random link.
func (w *World) Deliver() bool {
	if len(w.busy) == 0 {
		return false
	}
	i := w.rng.IntN(len(w.busy))
	k := w.busy[i]
	pk := w.links[k][0]
	w.links[k] = w.links[k][1:]
	if len(w.links[k]) == 0 {
		w.busy[i] = w.busy[len(w.busy)-1]
		w.busy = w.busy[:len(w.busy)-1]
	}
	w.step(w.nodes[k.to], protocol.Input{Kind: protocol.InMessage, Msg: &pk.msg}, pk.word)
	return true
}

// EndResidence ends a random residence that holds a recall back.
func (w *World) EndResidence() bool {
	var with []*node
	for _, n := range w.nodes {
		if len(n.held) > 0 {
			with = append(with, n)
		}
	}
	if len(with) == 0 {
		return false
	}
	n := with[w.rng.IntN(len(with))]
	i := w.rng.IntN(len(n.held))
	p := n.held[i]
	n.held = append(n.held[:i], n.held[i+1:]...)
	w.step(n, protocol.Input{Kind: protocol.InResidenceOver, Page: p}, 0)
	return true
}

// Random takes one random step.
func (w *World) Random() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	p := addr.PageNum(w.rng.IntN(w.cfg.Pages))
	switch r := w.rng.IntN(100); {
	case r < 60:
		w.Deliver()
	case r < 75:
		w.EndResidence()
	case r < 82:
		w.Fault(n.id, p, false)
	case r < 90:
		w.Fault(n.id, p, true)
	case r < 93:
		w.step(n, protocol.Input{Kind: protocol.InEvict, Page: p}, 0)
	case r < 96:
		w.step(n, protocol.Input{Kind: protocol.InWriteback, Page: p}, 0)
	case r < 98:
		w.Load(n.id, p)
	default:
		w.Store(n.id, p)
	}
}

// Settle delivers everything and demands that nobody waits (QuietInv).
func (w *World) Settle() {
	for {
		for w.EndResidence() || w.Deliver() {
		}
		// A write that was granted as a read faults again, as a process would.
		again := false
		for _, n := range w.nodes {
			for p, want := range n.wants {
				if want != wantNothing && !n.shard.Asking(addr.PageNum(p)) {
					again = true
					w.Fault(n.id, addr.PageNum(p), want == wantWrite)
				}
			}
		}
		if !again {
			break
		}
	}
	for _, n := range w.nodes {
		for p, want := range n.wants {
			if want != wantNothing {
				w.fail("QuietInv: node %d waits for page %d, and nothing is under way", n.id, p)
			}
		}
	}
}
