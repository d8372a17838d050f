package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/coverage"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Config is what a run is made of.
type Config struct {
	Nodes     int
	Fanout    int
	Pages     int  // in all, at least Segments
	Segments  int  // 0 is 1; their slots are dealt from node 0 on
	Processes int  // of each node; 0 is 1
	Breaks    bool // connections break and are dialled again
	Lateral   bool // Data goes over links of its own, in any order
	Recreate  bool // segments are removed and others created in their place, and processes crash
	Greedy    bool // who was served faults again at once, to store
	Residence int  // steps that a page stays with who was granted it; 0 is 100
	Exact     bool // a recall is held back that long, and not a random part of it
	Check     int  // check the invariants every so many steps; 0 is only at the end
	Blind     bool // no invariant is checked: what the core refuses, what it panics with and who waits in vain still end a run
	Seed      uint64

	Replay   string                              // the command that runs this again, without the seed
	Observer func(*protocol.Event)               // told every action, where not nil
	Effects  func(addr.NodeID, *protocol.Effect) // told every effect, where not nil
}

// process is an application's process at a node, with a mapping of its own.
type process struct {
	right []protocol.Right // by page: None, Read or Write
	wants []protocol.Right // by page: the access that it waits for
}

// node is one simulated node.
type node struct {
	id     addr.NodeID
	shard  *protocol.Shard
	view   int // index in World.views
	conf   *protocol.Configuration
	early  protocol.Early[*packet]
	frame  []uint64 // one word per page
	filled []bool   // the frame has content
	home   []uint64
	order  []protocol.Order // by page: what the effects have made of it
	procs  []*process
	again  []addr.PageNum // faults to be raised again
	log    *trace.Log     // nil: off
}

type word struct {
	generation uint64
	page       addr.PageNum
}

// World is the simulated cluster.
type World struct {
	cfg      Config
	rng      *rand.Rand
	nodes    []*node
	holders  []map[*node]struct{} // by page: the nodes that have a right to it
	drafts   *coord.Drafts
	views    []view // all that the store has had
	names    int    // of segments, that were given
	sessions map[pair]*session
	active   []*session         // with something under way
	lateral  []*packet          // Data, where Config.Lateral
	flight   [][]*packet        // by page: all that is under way, in the order of sending
	held     []residence        // in the order of their deadlines
	trees    map[word]*Topology // by page, and generation

	memory map[word]uint64 // the atomic memory that strong pages refine
	next   uint64          // the next value to store: all are different

	turns   map[addr.ManagerID]*turns
	grants  []int           // by page: grants that leaves took
	asked   map[word]int    // by page and node (generation is the node): grants when it asked
	granted map[word]uint64 // version of the root's last write grant

	requests  map[asker]protocol.Txn // that are out
	residents map[asker]*resident    // where Config.Exact

	Coverage   *coverage.Coverage
	Steps      int
	Served     int // accesses that waited and were served
	ServedBy   []int
	Duplicates int // frames that the simulated session dropped
	Broken     int // connections
	Removed    int // segments
	Skipped    int // pages that went from one segment to another in one step of a node's views
	Early      int // messages that waited for a configuration
	Late       int // messages about a segment that was gone
	Crashed    int // processes
	Longest    int // the most grants of a page while a request for it waited
	batch      protocol.Batch
	out        []outgoing
	trace      uint64
	recorders  []*trace.Recorder // by node, while Record is on
	traffic    map[pair]*traffic // over the links
	stepping   bool              // a node is at work
	failed     string            // what has ended the run in the middle of a step
	history    *History          // nil: off
}

// traffic counts the messages that one node has sent another, and those that its
// core has taken.
type traffic struct{ sent, taken uint64 }

func (w *World) link(from, to addr.NodeID) *traffic {
	t := w.traffic[pair{from, to}]
	if t == nil {
		t = new(traffic)
		w.traffic[pair{from, to}] = t
	}
	return t
}

type outgoing struct {
	to      addr.NodeID
	packets []*packet
}

// Failure is what a World panics with: a property that does not hold.
type Failure struct {
	Property string
	Text     string
	Config   Config
	Step     int
}

func (f *Failure) Error() string {
	return fmt.Sprintf("%s at step %d: %s\nrun again: %s -seed %d", f.Property, f.Step, f.Text, f.Config.Replay, f.Config.Seed)
}

// New makes a cluster, all of whose pages are virgin.
func New(cfg Config) *World {
	cfg.Segments = max(cfg.Segments, 1)
	cfg.Processes = max(cfg.Processes, 1)
	if cfg.Residence == 0 {
		cfg.Residence = 100
	}
	w := &World{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 1)), sessions: make(map[pair]*session),
		flight: make([][]*packet, cfg.Pages), trees: make(map[word]*Topology), memory: make(map[word]uint64), next: 1,
		turns: make(map[addr.ManagerID]*turns), grants: make([]int, cfg.Pages), asked: make(map[word]int), granted: make(map[word]uint64),
		traffic: make(map[pair]*traffic), requests: make(map[asker]protocol.Txn), residents: make(map[asker]*resident), Coverage: coverage.New(coverage.Strong), ServedBy: make([]int, cfg.Nodes)}
	w.found()
	for range cfg.Pages {
		w.holders = append(w.holders, make(map[*node]struct{}))
	}
	for i := range cfg.Nodes {
		n := &node{id: addr.NodeID(i), conf: w.views[0].conf,
			shard: protocol.NewShard(addr.NodeID(i), incarnation(addr.NodeID(i)), 0, w.views[0].conf, w),
			frame: make([]uint64, cfg.Pages), filled: make([]bool, cfg.Pages), home: make([]uint64, cfg.Pages),
			order: make([]protocol.Order, cfg.Pages)}
		for range cfg.Processes {
			n.procs = append(n.procs, newProcess(cfg.Pages))
		}
		w.nodes = append(w.nodes, n)
	}
	return w
}

func newProcess(pages int) *process {
	return &process{right: make([]protocol.Right, pages), wants: make([]protocol.Right, pages)}
}

func (w *World) fail(property, format string, args ...any) {
	f := &Failure{property, fmt.Sprintf(format, args...), w.cfg, w.Steps}
	if w.stepping {
		w.failed = f.Error()
	}
	panic(f)
}

// wrong is fail for what only somebody sees who looks at all nodes at once, or
// knows the atomic memory.
func (w *World) wrong(property, format string, args ...any) {
	if !w.cfg.Blind {
		w.fail(property, format, args...)
	}
}

// Observe implements protocol.Observer.
func (w *World) Observe(e *protocol.Event) {
	n := w.nodes[e.At.Node]
	w.Coverage.Event(e, n.shard.RightTo(e.Page))
	n.log.Action(e, n.shard)
	mine := word{uint64(e.At.Node), e.Page}
	switch e.Action {
	case protocol.ActReadFault, protocol.ActWriteFault, protocol.ActWriteback:
		w.asked[mine] = w.grants[e.Page]
	case protocol.ActLeafRecvGrant:
		w.grants[e.Page]++
		w.Longest = max(w.Longest, w.grants[e.Page]-w.asked[mine]-1)
	}
	if e.At.Tag != addr.Leaf {
		w.takeTurns(n, e)
	}
	w.carried(n, e)
	w.resides(n, e)
	if w.cfg.Observer != nil {
		w.cfg.Observer(e)
	}
}

// step gives one input to a node's core and carries out the batch. It reports
// whether the core took it; if not, it came too early.
func (w *World) step(n *node, in protocol.Input, content uint64) bool {
	w.Steps++
	before := w.stepping
	w.stepping = true
	took := w.carryOut(n, in, content)
	w.stepping = before
	return took
}

// carryOut is step, which ends here where a property falls.
func (w *World) carryOut(n *node, in protocol.Input, content uint64) bool {
	w.batch.Reset()
	w.out = w.out[:0]
	in.Stamp = uint32(w.Steps)
	n.log.Input(&in)
	err := w.stepCore(n, in)
	n.log.Output(&in, w.batch.Effects, err)
	if err != nil {
		switch {
		case errors.Is(err, protocol.ErrForeign):
			w.fail("ErrForeign", "node %d: %v", n.id, err)
		case errors.Is(err, protocol.ErrEarly):
			return false
		}
		w.fail("Step", "node %d: unexpected %v", n.id, err)
	}
	p := in.Page
	if in.Kind == protocol.InMessage {
		p = in.Msg.Page
	}
	w.noteHolder(n, p)
	for i := range w.batch.Effects {
		w.digest(&w.batch.Effects[i])
		if w.cfg.Effects != nil {
			w.cfg.Effects(n.id, &w.batch.Effects[i])
		}
		if err := n.order[p].Apply(&w.batch.Effects[i]); err != nil {
			w.wrong("OrderInv", "node %d: %v", n.id, err)
		}
		w.effect(n, &w.batch.Effects[i], content)
		w.recordContent(n, &w.batch.Effects[i])
	}
	w.checkOrder(n, p)
	for _, o := range w.out {
		w.send(n.id, o.to, o.packets)
	}
	if w.cfg.Check > 0 && w.Steps%w.cfg.Check == 0 {
		w.CheckPage(p)
	}
	return true
}

// noteHolder keeps World.holders up to date.
func (w *World) noteHolder(n *node, p addr.PageNum) {
	if n.shard.RightTo(p) == protocol.None {
		delete(w.holders[p], n)
	} else {
		w.holders[p][n] = struct{}{}
	}
}

// stepCore makes a Failure of what the core panics with.
func (w *World) stepCore(n *node, in protocol.Input) error {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case string:
			property := "panic"
			if strings.Contains(r, protocol.ErrForeign.Error()) {
				property = "ErrForeign"
			}
			w.fail(property, "node %d: %s", n.id, r)
		default:
			panic(r)
		}
	}()
	return n.shard.Step(in, &w.batch)
}

func (w *World) effect(n *node, e *protocol.Effect, content uint64) {
	p := e.Page
	switch e.Kind {
	case protocol.Send:
		w.sendMessage(n, e)
	case protocol.FrameProtect:
		for _, pr := range n.procs {
			pr.right[p] = min(pr.right[p], protocol.Read)
		}
	case protocol.FrameDrop:
		for _, pr := range n.procs {
			pr.right[p] = protocol.None
		}
		n.filled[p], n.frame[p] = false, 0
	case protocol.FrameFill:
		n.frame[p], n.filled[p] = content, true
	case protocol.FrameZero:
		n.frame[p], n.filled[p] = 0, true
	case protocol.FrameGrant:
		w.frameGrant(n, p, e.Access)
	case protocol.FrameToHome:
		n.home[p] = n.frame[p]
	case protocol.HomeToFrame:
		n.frame[p], n.filled[p] = n.home[p], true
	case protocol.HomeFill:
		n.home[p] = content
	case protocol.HomeDrop:
		n.home[p] = ^uint64(0) // whoever reads it is found out
	case protocol.Held:
		w.hold(n, e)
	case protocol.Written:
		w.raiseAgain(n, p)
	}
}

// checkOrder demands that after a step a page is what its states say (OrderInv).
func (w *World) checkOrder(n *node, p addr.PageNum) {
	if w.cfg.Blind || w.generation(n, p) == 0 {
		return
	}
	root, home := n.shard.Tree(p).Root(), false
	if root.Node == n.id {
		m := n.shard.Manager(p, root)
		home = m.Home == protocol.Valid
	}
	l := n.shard.Leaf(p)
	if err := n.order[p].Fits(l.Right, l.Arrived, home); err != nil {
		w.fail("OrderInv", "node %d, %v: %v", n.id, p, err)
	}
}

func (w *World) sendMessage(n *node, e *protocol.Effect) {
	p := e.Page
	pk := &packet{msg: e.Msg}
	if e.Msg.Kind == protocol.Data {
		if e.Msg.From.Tag == addr.Root {
			pk.word = n.home[p]
		} else {
			pk.word = n.frame[p]
		}
	}
	if m := &e.Msg; m.Kind == protocol.Grant && m.Op == protocol.OpWrite && m.From.Tag == addr.Root {
		k := word{m.Generation, p}
		if m.Version <= w.granted[k] {
			w.wrong("VersionInv", "the root grants write of %v with version %d again", p, m.Version)
		}
		w.granted[k] = m.Version
	}
	w.flight[p] = append(w.flight[p], pk)
	w.link(n.id, e.Msg.To.Node).sent++
	if w.cfg.Lateral && pk.msg.Kind == protocol.Data {
		w.lateral = append(w.lateral, pk)
		return
	}
	for i := range w.out {
		if w.out[i].to == e.Msg.To.Node {
			w.out[i].packets = append(w.out[i].packets, pk)
			return
		}
	}
	w.out = append(w.out, outgoing{e.Msg.To.Node, []*packet{pk}})
}

// landed removes a packet from those under way.
func (w *World) landed(pk *packet) {
	list := w.flight[pk.msg.Page]
	for i, o := range list {
		if o == pk {
			w.flight[pk.msg.Page] = append(list[:i:i], list[i+1:]...)
			return
		}
	}
	panic("sim: a packet that is not under way")
}

// frameGrant lets the processes that wait use the page.
func (w *World) frameGrant(n *node, p addr.PageNum, access protocol.Right) {
	for i, pr := range n.procs {
		switch want := pr.wants[p]; {
		case want == protocol.None:
			continue
		case want == protocol.Write && access < protocol.Write:
			w.raiseAgain(n, p)
			continue
		case access == protocol.Write:
			// A node that may write may let every process write.
			pr.right[p] = protocol.Write
		default:
			pr.right[p] = protocol.Read
		}
		w.Served++
		w.ServedBy[n.id]++
		want := pr.wants[p]
		pr.wants[p] = protocol.None
		if want == protocol.Write {
			w.store(n, i, p, true)
		} else {
			w.load(n, i, p, true)
		}
	}
}

// raiseAgain notes that processes which still wait fault again.
func (w *World) raiseAgain(n *node, p addr.PageNum) {
	for _, q := range n.again {
		if q == p {
			return
		}
	}
	n.again = append(n.again, p)
}

// load is a process's load, checked against the atomic memory; waited says that
// it has faulted.
func (w *World) load(n *node, i int, p addr.PageNum, waited bool) {
	last := w.fresh(n, i, p)
	w.history.done(w, n, i, p, waited, false, n.frame[p], last)
}

// fresh checks that a process sees what the atomic memory has, which it
// returns.
func (w *World) fresh(n *node, i int, p addr.PageNum) uint64 {
	last := w.memory[word{w.generation(n, p), p}]
	if n.frame[p] != last {
		w.wrong("DataValueInv", "process %d of node %d reads %d of %v, the last store was %d", i, n.id, n.frame[p], p, last)
	}
	return last
}

// store is a process's store, checked against the atomic memory.
func (w *World) store(n *node, i int, p addr.PageNum, waited bool) {
	g := w.generation(n, p)
	for o := range w.holders[p] {
		if o != n && w.generation(o, p) == g {
			w.wrong("SingleWriterInv", "node %d stores to %v, node %d has %v", n.id, p, o.id, o.shard.RightTo(p))
		}
	}
	last := w.fresh(n, i, p)
	w.history.done(w, n, i, p, waited, true, w.next, last)
	n.frame[p] = w.next
	w.memory[word{g, p}] = w.next
	w.next++
}

// Access is a process's load or store: done at once where its mapping allows
// it, a fault otherwise.
func (w *World) Access(id addr.NodeID, proc int, p addr.PageNum, write bool) {
	n := w.nodes[id]
	pr := n.procs[proc]
	if w.generation(n, p) == 0 {
		return
	}
	want := protocol.Read
	if write {
		want = protocol.Write
	}
	if pr.right[p] >= want {
		if write {
			w.store(n, proc, p, false)
		} else {
			w.load(n, proc, p, false)
		}
		return
	}
	if pr.wants[p] < want {
		w.history.called(id, proc, p)
	}
	pr.wants[p] = max(pr.wants[p], want)
	w.raise(n, p)
}

// raise hands the faults of a page to the core.
func (w *World) raise(n *node, p addr.PageNum) {
	want := protocol.None
	for _, pr := range n.procs {
		want = max(want, pr.wants[p])
	}
	switch want {
	case protocol.Read:
		w.step(n, protocol.Input{Kind: protocol.InReadFault, Page: p}, 0)
	case protocol.Write:
		w.step(n, protocol.Input{Kind: protocol.InWriteFault, Page: p}, 0)
	}
}

// Evict drops a read copy of a node.
func (w *World) Evict(id addr.NodeID, p addr.PageNum) {
	w.step(w.nodes[id], protocol.Input{Kind: protocol.InEvict, Page: p}, 0)
}

// Writeback cleans a page that a node owns.
func (w *World) Writeback(id addr.NodeID, p addr.PageNum) {
	w.step(w.nodes[id], protocol.Input{Kind: protocol.InWriteback, Page: p}, 0)
}

// Crash ends a process; another one takes its place, without mappings.
func (w *World) Crash(id addr.NodeID, proc int) {
	w.Crashed++
	w.nodes[id].procs[proc] = newProcess(w.cfg.Pages)
}

// Trace is a digest of all that was sent and granted so far.
func (w *World) Trace() uint64 { return w.trace }

// digest adds an effect to the trace (FNV-1a over its fields).
func (w *World) digest(e *protocol.Effect) {
	m := &e.Msg
	for _, v := range [...]uint64{uint64(e.Kind), uint64(e.Access), uint64(e.Stamp), uint64(e.Page), uint64(m.Kind), uint64(m.Op),
		uint64(m.Have), uint64(m.Keep), uint64(m.Source), uint64(m.Dst), uint64(m.Leaf), m.Generation,
		uint64(addr.ID(m.Page, m.From)), uint64(addr.ID(m.Page, m.To)), m.Lamport, m.Version, m.Txn.Counter} {
		w.trace = (w.trace ^ v) * 1099511628211
	}
}
