package sim

import (
	"fmt"
	"math/bits"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// topology is the tree of one page, by index: leaves first, by node.
type topology struct {
	places []addr.Place
	parent []int // -1: the root
	child  []int // which child of its parent
	kids   [][]int
	index  map[addr.Place]int
	leaves int
}

func newTopology(t protocol.Tree, nodes int) *topology {
	g := &topology{index: make(map[addr.Place]int), leaves: nodes}
	add := func(p addr.Place) int {
		g.index[p] = len(g.places)
		g.places = append(g.places, p)
		g.parent = append(g.parent, -1)
		g.child = append(g.child, 0)
		g.kids = append(g.kids, nil)
		return len(g.places) - 1
	}
	for i := range nodes {
		add(addr.Place{Node: addr.NodeID(i), Tag: addr.Leaf})
	}
	for i := 0; i < len(g.places); i++ {
		if g.places[i].Tag == addr.Root {
			continue
		}
		up, c := t.Parent(g.places[i])
		j, ok := g.index[up]
		if !ok {
			j = add(up)
		}
		g.parent[i], g.child[i] = j, c
		for len(g.kids[j]) <= c {
			g.kids[j] = append(g.kids[j], -1)
		}
		g.kids[j][c] = i
	}
	return g
}

// snapshot is the spec's state of one page: mgr, leaf, home, up, down and data,
// for the newest generation of its segment. Nodes that do not know it yet are
// as if they had never touched the page.
type snapshot struct {
	*topology
	page     addr.PageNum
	mgr      []protocol.ManagerState // by index; leaves have none
	leaf     []protocol.LeafState
	val      []uint64 // of the leaves
	filled   []bool
	up, down [][]*protocol.Message // by index: the channel between it and its parent
	data     []*packet
	home     uint64
	root     int
	procs    [][]*process
}

func (w *World) snapshot(p addr.PageNum) *snapshot {
	g, newest := uint32(0), 0
	for _, n := range w.nodes {
		g, newest = max(g, w.generation(n, p)), max(newest, n.conf)
	}
	if w.trees[p] == nil {
		for _, n := range w.nodes {
			if w.generation(n, p) != 0 {
				w.trees[p] = newTopology(n.shard.Tree(p), w.cfg.Nodes)
				break
			}
		}
	}
	if is := w.confs[newest].Segment(p); is == nil || is.Generation != g {
		return nil // it is being removed
	}
	t := w.trees[p]
	s := &snapshot{topology: t, page: p, mgr: make([]protocol.ManagerState, len(t.places)),
		leaf: make([]protocol.LeafState, t.leaves), val: make([]uint64, t.leaves), filled: make([]bool, t.leaves),
		up: make([][]*protocol.Message, len(t.places)), down: make([][]*protocol.Message, len(t.places)),
		procs: make([][]*process, t.leaves)}
	for i, at := range t.places {
		n := w.nodes[at.Node]
		here := w.generation(n, p) == g
		switch {
		case at.Tag == addr.Leaf && here:
			s.leaf[i], s.val[i], s.filled[i] = n.shard.Leaf(p), n.frame[p], n.filled[p]
			s.procs[i] = n.procs
			if m := s.leaf[i].Grant; m != nil {
				s.down[i] = append(s.down[i], m)
			}
			if m := s.leaf[i].Recall; m != nil {
				s.down[i] = append(s.down[i], m)
			}
		case at.Tag != addr.Leaf && here:
			s.mgr[i] = n.shard.Manager(p, at)
		case at.Tag != addr.Leaf:
			s.mgr[i] = protocol.ManagerState{Owner: -1, Virgin: true}
		}
		if at.Tag == addr.Root {
			s.root, s.home, s.mgr[i].Right = i, n.home[p], protocol.Write
		}
	}
	for _, pk := range w.flight[p] {
		m := &pk.msg
		if m.Generation != g {
			continue
		}
		switch m.Kind {
		case protocol.Data:
			s.data = append(s.data, pk)
		case protocol.Req, protocol.Ack:
			s.up[t.index[m.From]] = append(s.up[t.index[m.From]], m)
		default:
			s.down[t.index[m.To]] = append(s.down[t.index[m.To]], m)
		}
	}
	return s
}

// Invariants are those of StrongInvs.tla, by name, and what the code adds:
// ProcessInv (a process has no more than its node) and VersionInv (copies that
// may be read have one version).
var Invariants = []struct {
	Name string
	Of   func(*snapshot) string
}{
	{"SingleWriterInv", SingleWriterInv}, {"DataValueInv", DataValueInv}, {"OneOwnerInv", OneOwnerInv},
	{"DataFreshInv", DataFreshInv}, {"HomeFreshInv", HomeFreshInv}, {"StoreFreshInv", StoreFreshInv},
	{"ProcessInv", ProcessInv}, {"VersionInv", VersionInv},
	{"TypeInv", TypeInv}, {"InclusionInv", InclusionInv}, {"MarkedOnlyInv", MarkedOnlyInv}, {"SupplierInv", SupplierInv},
	{"OneDownInv", OneDownInv}, {"AckOnlyInv", AckOnlyInv}, {"OneDataInv", OneDataInv}, {"LocalGrantInv", LocalGrantInv},
	{"HaveInv", HaveInv}, {"SurplusInv", SurplusInv}, {"AskerInv", AskerInv}, {"QuietInv", QuietInv},
}

// CheckPage checks every invariant for one page.
func (w *World) CheckPage(p addr.PageNum) {
	s := w.snapshot(p)
	if s == nil {
		return
	}
	for _, inv := range Invariants {
		if why := inv.Of(s); why != "" {
			w.fail(inv.Name, "%v: %s", p, why)
		}
	}
}

// SingleWriterInv: a page that somebody may write is readable nowhere else.
func SingleWriterInv(s *snapshot) string {
	for i := range s.leaf {
		for j := range s.leaf {
			if i != j && s.leaf[i].Right == protocol.Write && s.leaf[j].Right != protocol.None {
				return fmt.Sprintf("node %d may write, node %d has %v", i, j, s.leaf[j].Right)
			}
		}
	}
	return ""
}

// reader is a leaf that may read, or -1.
func (s *snapshot) reader() int {
	for i := range s.leaf {
		if s.leaf[i].Right >= protocol.Read {
			return i
		}
	}
	return -1
}

// DataValueInv: all copies that may be read hold the same content.
func DataValueInv(s *snapshot) string {
	r := s.reader()
	for i := range s.leaf {
		if s.leaf[i].Right >= protocol.Read && (!s.filled[i] || s.val[i] != s.val[r]) {
			return fmt.Sprintf("node %d reads %d, node %d reads %d", i, s.val[i], r, s.val[r])
		}
	}
	return ""
}

// OneOwnerInv: at most one leaf has the duty to supply, and while it has, the
// home is stale.
func OneOwnerInv(s *snapshot) string {
	owner := -1
	for i := range s.leaf {
		if s.leaf[i].Right < protocol.Owned {
			continue
		}
		if owner >= 0 {
			return fmt.Sprintf("nodes %d and %d own it", owner, i)
		}
		owner = i
	}
	if owner >= 0 && !s.mgr[s.root].Stale {
		return fmt.Sprintf("node %d owns it, and the home is not stale", owner)
	}
	return ""
}

// DataFreshInv: data in flight or arrived is what every readable copy holds.
func DataFreshInv(s *snapshot) string {
	r := s.reader()
	if r < 0 {
		return ""
	}
	for _, d := range s.data {
		if d.word != s.val[r] {
			return fmt.Sprintf("%d is on its way to %v, node %d reads %d", d.word, d.msg.To, r, s.val[r])
		}
	}
	for i := range s.leaf {
		if s.leaf[i].Arrived && s.val[i] != s.val[r] {
			return fmt.Sprintf("%d has arrived at node %d, node %d reads %d", s.val[i], i, r, s.val[r])
		}
	}
	return ""
}

// HomeFreshInv: a home that is not stale holds what every readable copy holds.
func HomeFreshInv(s *snapshot) string {
	if r := s.reader(); r >= 0 && !s.mgr[s.root].Stale && s.val[r] != s.homeVal() {
		return fmt.Sprintf("the home holds %d, node %d reads %d", s.homeVal(), r, s.val[r])
	}
	return ""
}

// homeVal is the content of a home that is not stale.
func (s *snapshot) homeVal() uint64 {
	if s.mgr[s.root].Virgin {
		return 0
	}
	return s.home
}

// StoreFreshInv: nobody stores while an older content is on its way to anybody.
func StoreFreshInv(s *snapshot) string {
	writer := false
	for i := range s.leaf {
		writer = writer || s.leaf[i].Right == protocol.Write
	}
	if !writer {
		return ""
	}
	if len(s.data) > 0 {
		return fmt.Sprintf("Data is on its way to %v, and somebody may write", s.data[0].msg.To)
	}
	for i := range s.leaf {
		if s.leaf[i].Arrived {
			return fmt.Sprintf("Data has arrived at node %d, and somebody may write", i)
		}
	}
	return ""
}

// ProcessInv: a process may do no more than its node.
func ProcessInv(s *snapshot) string {
	for i, procs := range s.procs {
		for k, pr := range procs {
			if pr.right[s.page] > s.leaf[i].Right || pr.right[s.page] == protocol.Write && s.leaf[i].Right != protocol.Write {
				return fmt.Sprintf("process %d of node %d has %v, its node %v", k, i, pr.right[s.page], s.leaf[i].Right)
			}
		}
	}
	return ""
}

// VersionInv: copies that may be read have one version, and the root knows it.
func VersionInv(s *snapshot) string {
	r := s.reader()
	for i := range s.leaf {
		if s.leaf[i].Right == protocol.None {
			continue
		}
		if v := s.leaf[i].Version; v != s.leaf[r].Version || v > s.mgr[s.root].Version {
			return fmt.Sprintf("node %d has version %d, node %d %d, the root %d",
				i, v, r, s.leaf[r].Version, s.mgr[s.root].Version)
		}
	}
	return ""
}

func (s *snapshot) right(i int) protocol.Right {
	if i < s.leaves {
		return s.leaf[i].Right
	}
	return s.mgr[i].Right
}

// TypeInv: every queue has its bound, and every wait set its shape.
func TypeInv(s *snapshot) string {
	for i := s.leaves; i < len(s.places); i++ {
		m := &s.mgr[i]
		switch {
		case m.QueuedRecalls > 1 || m.Queued != m.QueuedRecalls+bits.OnesCount64(m.QueuedRequests):
			return fmt.Sprintf("%v queues %d, %d of them recalls", s.places[i], m.Queued, m.QueuedRecalls)
		case m.Climbing && (m.Wait != 0 || m.WaitHome || i == s.root):
			return fmt.Sprintf("%v climbs, and waits for others", s.places[i])
		case m.Recall && (m.RecallWait == 0 || m.RecallKeep > protocol.Owned):
			return fmt.Sprintf("%v collects a recall from nobody", s.places[i])
		case (m.Marked|m.Wait|m.RecallWait)>>len(s.kids[i]) != 0:
			return fmt.Sprintf("%v knows a child that does not exist", s.places[i])
		}
	}
	return ""
}

// InclusionInv: a child never has more than its parent recorded.
func InclusionInv(s *snapshot) string {
	for i, up := range s.parent {
		if up >= 0 && s.right(i) > s.mgr[up].Recorded(s.child[i]) {
			return fmt.Sprintf("%v has %v, %v recorded %v", s.places[i], s.right(i), s.places[up], s.mgr[up].Recorded(s.child[i]))
		}
	}
	return ""
}

// MarkedOnlyInv: a manager never records more for its children than it has
// itself; one owner; a writer is alone.
func MarkedOnlyInv(s *snapshot) string {
	for i := s.leaves; i < len(s.places); i++ {
		m := &s.mgr[i]
		for rest := m.Marked; rest != 0; rest &= rest - 1 {
			c := bits.TrailingZeros64(rest)
			if m.Recorded(c) > m.Right {
				return fmt.Sprintf("%v has %v and recorded %v for child %d", s.places[i], m.Right, m.Recorded(c), c)
			}
			if m.Recorded(c) == protocol.Write && m.Marked != 1<<c {
				return fmt.Sprintf("%v: child %d may write, marked are %b", s.places[i], c, m.Marked)
			}
		}
	}
	return ""
}

// SupplierInv: an idle manager with the duty to supply has a child with it (an
// idle root: or a home that is not stale).
func SupplierInv(s *snapshot) string {
	for i := s.leaves; i < len(s.places); i++ {
		m := &s.mgr[i]
		if m.Busy != protocol.OpNone || m.Recall {
			continue
		}
		duty := m.Right >= protocol.Owned
		if i == s.root {
			duty = m.Stale
		}
		if owned := m.Owner >= 0; owned != duty {
			return fmt.Sprintf("%v: right %v, stale %v, owner %d", s.places[i], m.Right, m.Stale, m.Owner)
		}
	}
	return ""
}

// OneDownInv: a link carries at most a Grant and a Recall down, in that order,
// and at most a request and an acknowledgement up.
func OneDownInv(s *snapshot) string {
	for i := range s.places {
		d, u := s.down[i], s.up[i]
		if len(d) > 2 || len(d) == 2 && (d[0].Kind != protocol.Grant || d[1].Kind != protocol.Recall) {
			return fmt.Sprintf("%d messages down to %v, the first is a %v", len(d), s.places[i], d[0].Kind)
		}
		if len(u) > 2 || len(u) == 2 && u[0].Kind == u[1].Kind {
			return fmt.Sprintf("%d messages up from %v, the first is a %v", len(u), s.places[i], u[0].Kind)
		}
	}
	return ""
}

// AckOnlyInv: an acknowledgement answers a Recall that its parent waits for.
func AckOnlyInv(s *snapshot) string {
	for i, up := range s.parent {
		for _, m := range s.up[i] {
			if m.Kind == protocol.Ack && (s.mgr[up].Wait|s.mgr[up].RecallWait)&(1<<s.child[i]) == 0 {
				return fmt.Sprintf("%v acknowledges, and %v does not wait for it", s.places[i], s.places[up])
			}
		}
	}
	return ""
}

// OneDataInv: at most one Data is on its way to, or has arrived at, each leaf
// and the home.
func OneDataInv(s *snapshot) string {
	n := make(map[addr.Place]int)
	for i := range s.leaf {
		if s.leaf[i].Arrived {
			n[s.places[i]]++
		}
	}
	for _, d := range s.data {
		if n[d.msg.To]++; n[d.msg.To] > 1 {
			return fmt.Sprintf("two Data for %v", d.msg.To)
		}
	}
	return ""
}

// LocalGrantInv: a request climbs only where the right of the subtree does not
// cover it. While a recall is being collected the child may have given up more
// than the manager.
func LocalGrantInv(s *snapshot) string {
	for i := s.leaves; i < len(s.places); i++ {
		m := &s.mgr[i]
		if !m.Climbing {
			continue
		}
		if m.Busy == protocol.OpRead && m.Right >= protocol.Read || m.Busy == protocol.OpWrite && m.Right >= protocol.Write ||
			m.Busy == protocol.OpWriteback && !m.Recall && m.Right >= protocol.Write && m.Recorded(m.BusyChild) < protocol.Owned {
			return fmt.Sprintf("%v has %v and climbs to %v", s.places[i], m.Right, m.Busy)
		}
	}
	return ""
}

// HaveInv: "have" reaches a leaf only while it has a copy (rule 5).
func HaveInv(s *snapshot) string {
	for i := range s.leaf {
		for _, g := range s.down[i] {
			if g.Kind == protocol.Grant && g.Op == protocol.OpWrite && g.Source == protocol.Have && s.leaf[i].Right < protocol.Read {
				return fmt.Sprintf("node %d is told to use its own copy, and has none", i)
			}
		}
	}
	return ""
}

// SurplusInv: a leaf is never sent a page that it has.
func SurplusInv(s *snapshot) string {
	for i := range s.leaf {
		if s.leaf[i].Right >= protocol.Read && s.leaf[i].Arrived {
			return fmt.Sprintf("Data has arrived at node %d, which has the page", i)
		}
	}
	for _, d := range s.data {
		if to := d.msg.To; to.Tag == addr.Leaf && s.leaf[to.Node].Right >= protocol.Read {
			return fmt.Sprintf("Data is on its way to node %d, which has the page", to.Node)
		}
	}
	return ""
}

// AskerInv: who asks to read is not asked for the page itself (rule 1).
func AskerInv(s *snapshot) string {
	for i := s.leaves; i < len(s.places); i++ {
		if m := &s.mgr[i]; m.Busy == protocol.OpRead && m.Wait&(1<<m.BusyChild) != 0 {
			return fmt.Sprintf("%v asks child %d for the page that it wants", s.places[i], m.BusyChild)
		}
	}
	return ""
}

// QuietInv: where no protocol step is possible, nobody waits. What is under way
// can always be taken, but for a Grant that waits for its Data and what is
// behind it.
func QuietInv(s *snapshot) string {
	if len(s.data) > 0 {
		return ""
	}
	for i := range s.places {
		if len(s.up[i]) > 0 {
			return ""
		}
		if len(s.down[i]) == 0 {
			continue
		}
		head := s.down[i][0]
		switch {
		case head.Kind == protocol.Recall:
			return ""
		case i >= s.leaves:
			if s.mgr[i].Climbing {
				return ""
			}
		case head.Source != protocol.Sent || s.leaf[i].Arrived:
			return ""
		}
	}
	for i := range s.places {
		if len(s.down[i]) > 0 {
			return fmt.Sprintf("a %v waits at %v", s.down[i][0].Kind, s.places[i])
		}
		if i < s.leaves && s.leaf[i].Req != protocol.OpNone {
			return fmt.Sprintf("node %d waits for its %v", i, s.leaf[i].Req)
		}
		if i >= s.leaves && !s.mgr[i].Idle() {
			return fmt.Sprintf("%v is not idle", s.places[i])
		}
	}
	return ""
}
