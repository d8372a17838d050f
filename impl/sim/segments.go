package sim

import (
	"bytes"
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/protocol"
)

// The segments of a world are those of real views, one after another, as a store
// would have them: what the same pages are given to, and what has changed between
// two views, is for impl/coord to say. Each node takes views in its own time, and
// may skip some. The properties are those of spec/segment/SegmentInvs.tla.

// view is what the store has at a moment, and what all nodes will know then.
type view struct {
	view *coord.View
	conf *protocol.Configuration
}

// elsewhere is the segment that has all pages but those of the world.
const elsewhere = "elsewhere"

// found makes the first view.
func (w *World) found() {
	lives := make(map[addr.NodeID]addr.Incarnation)
	for i := range w.cfg.Nodes {
		lives[addr.NodeID(i)] = incarnation(addr.NodeID(i))
	}
	conf := &protocol.Configuration{Epoch: 1, Fanout: w.cfg.Fanout, Members: protocol.NewMembers(lives)}
	conf.Slots = protocol.DealSlots(w.cfg.Nodes, conf.Members)
	for i := range conf.Slots {
		conf.Slots[i].Term = term(i)
	}
	w.views = []view{{conf: conf}}
	var err error
	w.drafts, err = coord.NewDrafts(coord.Cluster{ID: "simulated", Nodes: w.cfg.Nodes, Fanout: w.cfg.Fanout, Slots: w.cfg.Nodes, Transport: "none", Repair: 1})
	if err != nil {
		panic(fmt.Sprintf("sim: %v", err))
	}
	for i := range w.cfg.Segments {
		w.create(w.name(), uint64((i+1)*w.cfg.Pages/w.cfg.Segments-i*w.cfg.Pages/w.cfg.Segments))
	}
	w.create(elsewhere, w.spare())
	w.views = w.views[len(w.views)-1:]
}

// name is one that no segment has had.
func (w *World) name() string {
	w.names++
	return fmt.Sprintf("s%d", w.names)
}

// spare is how many pages there are beyond those of the world.
func (w *World) spare() uint64 {
	base := w.drafts.View().Cluster.Base
	return uint64(base.Pages()) - uint64(w.cfg.Pages)
}

// create and remove make a view.
func (w *World) create(name string, pages uint64) {
	_, err := w.drafts.Create(name, pages, coord.Attrs{Home: "block"})
	w.decided(err)
}

func (w *World) remove(name string) { w.decided(w.drafts.Remove(name)) }

func (w *World) decided(err error) {
	if err != nil {
		panic(fmt.Sprintf("sim: %v", err))
	}
	v := w.drafts.View()
	var all []protocol.Segment
	for s := range v.Segments() {
		all = append(all, segmentOf(s))
	}
	conf := w.views[0].conf.WithSegments(all)
	conf.Generation = v.Generation
	w.views = append(w.views, view{v, conf})
}

func segmentOf(s coord.Segment) protocol.Segment {
	return protocol.Segment{First: s.First, Pages: int64(s.Pages), Generation: s.Generation, Policy: protocol.Block}
}

// Recreate removes a segment and creates what has its pages from then on.
type Recreate uint8

const (
	SameName Recreate = iota
	OtherName
	Twice     // one comes and goes, and then another comes
	Split     // into two, if it has two pages
	Join      // with the one behind it, if there is one
	Elsewhere // the pages stay with the segment: another one, which has others, comes and goes
	numRecreate
)

// Recreate does so with the segment of a page. Every node hears of it in its own
// time.
func (w *World) Recreate(p addr.PageNum, how Recreate) {
	if how == Elsewhere {
		w.remove(elsewhere)
		w.create(elsewhere, w.spare())
		return
	}
	w.Removed++
	v := w.drafts.View()
	s, _ := v.SegmentAt(p)
	w.remove(s.Name)
	next, ok := v.SegmentAt(s.First + addr.PageNum(s.Pages))
	switch {
	case how == SameName:
		w.create(s.Name, s.Pages)
	case how == Twice:
		w.create(s.Name, s.Pages)
		w.remove(s.Name)
		w.create(s.Name, s.Pages)
	case how == Split && s.Pages > 1:
		w.create(w.name(), 1)
		w.create(s.Name, s.Pages-1)
	case how == Join && ok && next.Name != elsewhere:
		w.remove(next.Name)
		w.create(s.Name, s.Pages+next.Pages)
	default:
		w.create(w.name(), s.Pages)
	}
}

// Configure lets a node take a later view, and says whether there is one. It may
// skip some.
func (w *World) Configure(id addr.NodeID) bool {
	n := w.nodes[id]
	left := w.newer(n)
	if left == 0 {
		return false
	}
	w.configure(n, 1+w.rng.IntN(left))
	return true
}

// newer is how many views a node has not taken yet.
func (w *World) newer(n *node) int { return len(w.views) - 1 - n.view }

// generation is that of the page in the view of a node, zero where it has no
// segment.
func (w *World) generation(n *node, p addr.PageNum) uint64 {
	return generationIn(w.views[n.view].conf, p)
}

func generationIn(conf *protocol.Configuration, p addr.PageNum) uint64 {
	if s := conf.Segment(p); s != nil {
		return s.Generation
	}
	return 0
}

// configure lets a node take the view so many behind its own, as the shell does:
// what goes with a segment goes with all that the node has of it.
func (w *World) configure(n *node, next int) {
	old, now := w.views[n.view], w.views[n.view+next]
	had := w.remembered(n)
	removed, created := now.view.Since(old.view)
	var gone, made []protocol.Segment
	for _, s := range removed {
		gone = append(gone, segmentOf(s))
	}
	for _, s := range created {
		made = append(made, segmentOf(s))
	}
	n.conf = n.conf.Follow(gone, made, now.view.Epoch, now.view.Generation)
	n.view += next
	w.recordConfiguration(n)
	n.shard.Configure(n.conf, gone)
	for i := range gone {
		for p := gone[i].First; p < addr.PageNum(w.cfg.Pages) && gone[i].Contains(p); p++ {
			n.frame[p], n.filled[p], n.home[p], n.order[p] = 0, false, 0, protocol.Order{}
			w.forgetTurns(n, p)
			w.noteHolder(n, p)
			for _, pr := range n.procs {
				pr.right[p], pr.wants[p] = protocol.None, protocol.None
			}
		}
	}
	w.checkView(n, old.conf, had)
	n.early.Replay(func(_ *protocol.Message, pk *packet) error {
		if !w.receive(n, pk) {
			return protocol.ErrEarly
		}
		return nil
	})
	w.checkEarly(n)
}

// remembered is what a node's core knows of each page that has a segment there.
func (w *World) remembered(n *node) [][]byte {
	had := make([][]byte, w.cfg.Pages)
	if w.cfg.Blind {
		return had
	}
	for i := range had {
		if p := addr.PageNum(i); n.conf.Segment(p) != nil {
			had[i] = w.appendState(nil, n, n.shard, p)
		}
	}
	return had
}

func (w *World) appendState(b []byte, n *node, s *protocol.Shard, p addr.PageNum) []byte {
	b = s.AppendState(b, p, addr.Place{Node: n.id, Tag: addr.Leaf})
	for _, at := range w.places(n, s, p) {
		b = s.AppendState(b, p, at)
	}
	return b
}

// checkView demands of a node that has just taken a view: of a page whose segment
// is gone it has nothing left (NothingInv), neither in its core nor in its memory
// (BytesInv), and of others what it had (StaysProp).
func (w *World) checkView(n *node, old *protocol.Configuration, had [][]byte) {
	if w.cfg.Blind {
		return
	}
	now := w.views[n.view].conf
	fresh := protocol.NewShard(n.id, incarnation(n.id), 0, now, nil)
	for i := range w.cfg.Pages {
		p := addr.PageNum(i)
		was, is := generationIn(old, p), generationIn(now, p)
		if was != 0 && was == is {
			if got := w.appendState(nil, n, n.shard, p); !bytes.Equal(got, had[i]) {
				w.fail("StaysProp", "node %d had %s of %v, and has %s when another segment changes", n.id, had[i], p, got)
			}
			continue
		}
		if right, asks := n.shard.RightTo(p), n.shard.Asking(p); right != protocol.None || asks {
			w.fail("NothingInv", "node %d has %v of %v and asks: %v, which it has for generation %d, and there is %d now", n.id, right, p, asks, was, is)
		}
		if n.filled[p] || n.frame[p] != 0 || n.home[p] != 0 {
			w.fail("BytesInv", "node %d has %d in the frame of %v and %d as its home, of generation %d, and there is %d now", n.id, n.frame[p], p, n.home[p], was, is)
		}
		if is == 0 {
			continue
		}
		if got, want := w.appendState(nil, n, n.shard, p), w.appendState(nil, n, fresh, p); !bytes.Equal(got, want) {
			w.fail("NothingInv", "node %d has %s of %v, of generation %d, and there is %d now", n.id, got, p, was, is)
		}
		if was != 0 {
			w.Skipped++
		}
	}
}

// keep has a node keep a message that is early.
func (w *World) keep(n *node, pk *packet) {
	w.Early++
	if err := n.early.Postpone(&pk.msg, pk, w.most()); err != nil {
		w.fail("ErrForeign", "node %d: %v", n.id, err)
	}
	pk.early = true
	// What is not kept any more is not under way.
	kept := make(map[*packet]bool)
	for _, k := range n.early.All {
		kept[k] = true
	}
	for _, k := range append([]*packet(nil), w.flight[pk.msg.Page]...) {
		if k.early && k.msg.To.Node == n.id && !kept[k] {
			w.landed(k)
		}
	}
	w.checkEarly(n)
}

// most is how many messages of one peer may be early: a request of its leaf and of
// each of its managers for each page.
func (w *World) most() int { return w.cfg.Pages * len(w.nodes) }

// checkEarly is EarlyInv: nothing but a request is early, each is ahead of the
// node's view, and of each sender one at most is kept of a page.
func (w *World) checkEarly(n *node) {
	if w.cfg.Blind {
		return
	}
	type sender struct {
		from addr.Place
		page addr.PageNum
	}
	seen := make(map[sender]bool)
	for m := range n.early.All {
		from := sender{m.From, m.Page}
		switch newest := w.views[n.view].view.Generation; {
		case m.Kind != protocol.Req:
			w.fail("EarlyInv", "node %d keeps a %v of %v", n.id, m.Kind, m.Page)
		case m.Generation <= newest:
			w.fail("EarlyInv", "node %d has heard of generation %d, and keeps a message of %d", n.id, newest, m.Generation)
		case seen[from]:
			w.fail("EarlyInv", "node %d keeps two messages of %v about %v", n.id, m.From, m.Page)
		}
		seen[from] = true
	}
}

// receive gives a packet to its node's core, and says whether that took it: if not,
// it is early. NoEffectProp: a message of another generation than the page has
// changes nothing.
func (w *World) receive(n *node, pk *packet) bool {
	m := &pk.msg
	// Under way until the core has it: but the invariants after the step must
	// not see it twice.
	w.landed(pk)
	is := w.generation(n, m.Page)
	other := m.Generation != is && !w.cfg.Blind
	var had []byte
	if other && n.conf.Segment(m.Page) != nil {
		had = w.appendState(nil, n, n.shard, m.Page)
	}
	took := w.step(n, protocol.Input{Kind: protocol.InMessage, Msg: m}, pk.word)
	if took {
		w.link(m.From.Node, n.id).taken++
	}
	if took && m.Generation != is {
		w.Late++
	}
	if other && (len(w.batch.Effects) > 0 || had != nil && !bytes.Equal(had, w.appendState(nil, n, n.shard, m.Page))) {
		w.fail("NoEffectProp", "node %d has generation %d of %v, and a %v of %d changes it", n.id, is, m.Page, m.Kind, m.Generation)
	}
	if !took {
		w.flight[m.Page] = append([]*packet{pk}, w.flight[m.Page]...)
	}
	return took
}
