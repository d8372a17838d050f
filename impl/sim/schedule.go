package sim

import (
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// take gives a packet to its node, which keeps what is early.
func (w *World) take(pk *packet) {
	n := w.nodes[pk.msg.To.Node]
	if m := &pk.msg; m.Kind == protocol.Data && m.To.Tag == addr.Leaf && m.Generation == w.generation(n, m.Page) &&
		n.shard.RightTo(m.Page) != protocol.None && n.frame[m.Page] != pk.word {
		w.wrong("DataFreshInv", "node %d gets %d for %v and has %d", n.id, pk.word, m.Page, n.frame[m.Page])
	}
	if !w.receive(n, pk) {
		w.keep(n, pk)
	}
}

// Deliver takes a random link one step further: a frame to its receiver, or a
// received message to the core. It says whether there was one.
func (w *World) Deliver() bool {
	i := w.rng.IntN(len(w.active) + 1)
	if len(w.lateral) > 0 && (i == len(w.active) || len(w.active) == 0) {
		k := w.rng.IntN(len(w.lateral))
		pk := w.lateral[k]
		w.lateral = append(w.lateral[:k:k], w.lateral[k+1:]...)
		w.take(pk)
		return true
	}
	if len(w.active) == 0 {
		return false
	}
	w.advance(w.active[i%len(w.active)])
	return true
}

// advance is one step of a link that is not idle.
func (w *World) advance(s *session) {
	inFlight := s.inFlight()
	if len(inFlight) > 0 && (len(s.inbox) == 0 || w.rng.IntN(2) == 0) {
		w.transfer(s, inFlight[w.rng.IntN(len(inFlight))])
		return
	}
	if len(s.inbox) > 0 {
		w.takeHead(s)
	}
}

// raiseOne lets a node raise its faults again that were not answered in full.
func (w *World) raiseOne(n *node) bool {
	if len(n.again) == 0 {
		return false
	}
	p := n.again[0]
	n.again = n.again[1:]
	if w.generation(n, p) != 0 {
		w.raise(n, p)
	}
	return true
}

// Random takes one random step.
func (w *World) Random() {
	if len(w.held) > 0 && w.held[0].deadline < w.Steps {
		w.endResidence(0)
	}
	if w.cfg.Exact {
		for range w.held { // those that are held now, and not what comes of them
			if len(w.held) > 0 && w.held[0].deadline <= w.Steps {
				w.endResidence(0)
			}
		}
	}
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	proc := w.rng.IntN(len(n.procs))
	p := addr.PageNum(w.rng.IntN(w.cfg.Pages))
	switch r := w.rng.IntN(1000); {
	case r < 640:
		w.Deliver()
	case r < 720:
		if w.cfg.Exact {
			w.Steps++ // time goes by
		} else {
			w.EndResidence()
		}
	case r < 760:
		w.raiseOne(n)
	case r < 830:
		w.Access(n.id, proc, p, false)
	case r < 910:
		w.Access(n.id, proc, p, true)
	case r < 940:
		w.Evict(n.id, p)
	case r < 970:
		w.Writeback(n.id, p)
	case r < 990:
		if w.cfg.Breaks && len(w.active) > 0 {
			s := w.active[w.rng.IntN(len(w.active))]
			switch w.rng.IntN(3) {
			case 0:
				w.dial(s, true)
			case 1:
				w.dial(s, false)
			default:
				s.acknowledge()
			}
		}
	case r < 994:
		if w.cfg.Recreate {
			w.Configure(n.id)
		}
	case r < 997:
		if w.cfg.Recreate {
			w.Crash(n.id, proc)
		}
	case r < 998:
		if w.cfg.Recreate {
			w.Recreate(p, Recreate(w.rng.IntN(int(numRecreate))))
		}
	}
	if w.cfg.Greedy {
		w.Access(n.id, proc, p, true)
	}
}

// settleSteps bounds Settle: no run of the suite needs a tenth.
const settleSteps = 200_000

// Settle lets everything come to an end and demands that nobody waits.
func (w *World) Settle() {
	for _, n := range w.nodes {
		for w.Configure(n.id) {
		}
	}
	for i := 0; ; i++ {
		if i == settleSteps {
			w.fail("FaultServedProp", "there is no end to it")
		}
		again := w.Deliver() || w.EndResidence()
		for _, n := range w.nodes {
			if again {
				break
			}
			again = w.raiseOne(n)
		}
		if !again {
			break
		}
	}
	for _, n := range w.nodes {
		for i, pr := range n.procs {
			for p, want := range pr.wants {
				if want != protocol.None {
					w.fail("FaultServedProp", "process %d of node %d waits to %v page %d, and nothing is under way", i, n.id, want, p)
				}
			}
		}
	}
	for p := range w.cfg.Pages {
		w.CheckPage(addr.PageNum(p))
	}
	w.checkRest()
}
