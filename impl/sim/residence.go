package sim

import (
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// residence is a recall that is held back.
type residence struct {
	n        *node
	p        addr.PageNum
	segment  uint64 // its generation
	deadline int
}

// resident is a page at a leaf that has a right to it.
type resident struct {
	granted int // when the leaf took its last Grant
	held    int // when a recall began to be held back, or 0
}

// hold holds a recall back. Where clocks are exact, for the rest of the residence,
// which began at the stamp that the core gives back, as the shell does.
func (w *World) hold(n *node, e *protocol.Effect) {
	r := residence{n, e.Page, w.generation(n, e.Page), w.Steps + w.cfg.Residence}
	if w.cfg.Exact {
		r.deadline = int(e.Stamp) + w.cfg.Residence
	}
	i := len(w.held)
	for i > 0 && w.held[i-1].deadline > r.deadline {
		i--
	}
	w.held = slices.Insert(w.held, i, r)
	if has := w.residents[asker{n.id, word{r.segment, e.Page}}]; has != nil {
		has.held = w.Steps
	}
}

// endResidence ends a residence that holds a recall back, the i-th.
func (w *World) endResidence(i int) {
	r := w.held[i]
	w.held = append(w.held[:i:i], w.held[i+1:]...)
	if w.generation(r.n, r.p) == r.segment {
		w.step(r.n, protocol.Input{Kind: protocol.InResidenceOver, Page: r.p}, 0)
	}
}

// EndResidence ends a residence, and says whether there was one: a random one,
// or, where clocks are exact, the one that ends first, at its time.
func (w *World) EndResidence() bool {
	switch {
	case len(w.held) == 0:
		return false
	case w.cfg.Exact:
		w.Steps = max(w.Steps, w.held[0].deadline)
		w.endResidence(0)
	default:
		w.endResidence(w.rng.IntN(len(w.held)))
	}
	return true
}

// lateness is by how many steps a residence may end late: several may be over at
// once, and each takes a step.
func (w *World) lateness() int { return 2 * len(w.nodes) * w.cfg.Pages }

// resides follows how long leaves have pages. ResidenceProp, where clocks are
// exact: a page stays at least Config.Residence with who was granted it, counted
// from the last Grant, and a recall is held back no longer than that.
func (w *World) resides(n *node, e *protocol.Event) {
	if !w.cfg.Exact || e.At.Tag != addr.Leaf {
		return
	}
	k := asker{n.id, word{w.generation(n, e.Page), e.Page}}
	has := w.residents[k]
	switch e.Action {
	case protocol.ActEvict:
		delete(w.residents, k)
	case protocol.ActLeafRecvGrant:
		if e.Message.Op == protocol.OpWriteback {
			return
		}
		if has == nil {
			has = &resident{}
			w.residents[k] = has
		}
		has.granted = w.Steps
	case protocol.ActLeafRecvRecall:
		if has == nil {
			return
		}
		due := has.granted + w.cfg.Residence
		if w.Steps < due {
			w.wrong("ResidenceProp", "%v leaves node %d %d steps after it was granted, not %d", e.Page, n.id, w.Steps-has.granted, w.cfg.Residence)
		}
		if late := w.Steps - max(due, has.held); late > w.lateness() {
			w.wrong("ResidenceProp", "a recall of %v is held back at node %d for %d steps more than the residence", e.Page, n.id, late)
		}
		has.held = 0
		if n.shard.RightTo(e.Page) == protocol.None {
			delete(w.residents, k)
		}
	}
}
