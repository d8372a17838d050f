package sim

import (
	"fmt"
	"math/bits"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// Invariants are those of StrongInvs.tla, by name, and what the code adds:
// ProcessInv (a process has no more than its node) and VersionInv (who may read
// has the root's version).
var Invariants = []struct {
	Name string
	Of   func(*Snapshot) string
}{
	{"SingleWriterInv", SingleWriterInv}, {"DataValueInv", DataValueInv}, {"OneOwnerInv", OneOwnerInv},
	{"DataFreshInv", DataFreshInv}, {"HomeFreshInv", HomeFreshInv}, {"StoreFreshInv", StoreFreshInv},
	{"ProcessInv", ProcessInv}, {"VersionInv", VersionInv},
	{"TypeInv", TypeInv}, {"InclusionInv", InclusionInv}, {"MarkedOnlyInv", MarkedOnlyInv}, {"SupplierInv", SupplierInv},
	{"OneDownInv", OneDownInv}, {"AckOnlyInv", AckOnlyInv}, {"OneDataInv", OneDataInv}, {"LocalGrantInv", LocalGrantInv},
	{"HaveInv", HaveInv}, {"SurplusInv", SurplusInv}, {"AskerInv", AskerInv}, {"QuietInv", QuietInv},
}

// CheckPage checks every invariant for one page, unless the world is blind.
func (w *World) CheckPage(p addr.PageNum) {
	if w.cfg.Blind {
		return
	}
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
func SingleWriterInv(s *Snapshot) string {
	for i := range s.Leaf {
		if s.Leaf[i].Right != protocol.Write {
			continue
		}
		for j := range s.Leaf {
			if i != j && s.Leaf[j].Right != protocol.None {
				return fmt.Sprintf("%v may write, %v has %v", s.Places[i], s.Places[j], s.Leaf[j].Right)
			}
		}
	}
	return ""
}

// reader is a leaf that may read, or -1.
func (s *Snapshot) reader() int {
	for i := range s.Leaf {
		if s.Leaf[i].Right >= protocol.Read {
			return i
		}
	}
	return -1
}

// DataValueInv: all copies that may be read hold the same content.
func DataValueInv(s *Snapshot) string {
	r := s.reader()
	for i := range s.Leaf {
		if s.Leaf[i].Right >= protocol.Read && (!s.Filled[i] || s.Val[i] != s.Val[r]) {
			return fmt.Sprintf("%v reads %d, %v reads %d", s.Places[i], s.Val[i], s.Places[r], s.Val[r])
		}
	}
	return ""
}

// OneOwnerInv: at most one leaf has the duty to supply, and while it has, the
// home is stale.
func OneOwnerInv(s *Snapshot) string {
	owner := -1
	for i := range s.Leaf {
		if s.Leaf[i].Right < protocol.Owned {
			continue
		}
		if owner >= 0 {
			return fmt.Sprintf("%v and %v own it", s.Places[owner], s.Places[i])
		}
		owner = i
	}
	if owner >= 0 && s.Managers[s.Root].Home != protocol.Stale {
		return fmt.Sprintf("%v owns it, and the home is not stale", s.Places[owner])
	}
	return ""
}

// DataFreshInv: data in flight or arrived is what every readable copy holds.
func DataFreshInv(s *Snapshot) string {
	r := s.reader()
	if r < 0 {
		return ""
	}
	for _, d := range s.Data {
		if d.Word != s.Val[r] {
			return fmt.Sprintf("%d is on its way to %v, %v reads %d", d.Word, d.To, s.Places[r], s.Val[r])
		}
	}
	for i := range s.Leaf {
		if s.Leaf[i].Arrived && s.Val[i] != s.Val[r] {
			return fmt.Sprintf("%d has arrived at %v, %v reads %d", s.Val[i], s.Places[i], s.Places[r], s.Val[r])
		}
	}
	return ""
}

// HomeFreshInv: a home that is not stale holds what every readable copy holds.
func HomeFreshInv(s *Snapshot) string {
	if r := s.reader(); r >= 0 && s.Managers[s.Root].Home != protocol.Stale && s.Val[r] != s.homeVal() {
		return fmt.Sprintf("the home holds %d, %v reads %d", s.homeVal(), s.Places[r], s.Val[r])
	}
	return ""
}

// homeVal is the content of a home that is not stale.
func (s *Snapshot) homeVal() uint64 {
	if s.Managers[s.Root].Home == protocol.Virgin {
		return 0
	}
	return s.Home
}

// StoreFreshInv: nobody stores while an older content is on its way to anybody.
func StoreFreshInv(s *Snapshot) string {
	writer := false
	for i := range s.Leaf {
		writer = writer || s.Leaf[i].Right == protocol.Write
	}
	if !writer {
		return ""
	}
	if len(s.Data) > 0 {
		return fmt.Sprintf("Data is on its way to %v, and somebody may write", s.Data[0].To)
	}
	for i := range s.Leaf {
		if s.Leaf[i].Arrived {
			return fmt.Sprintf("Data has arrived at %v, and somebody may write", s.Places[i])
		}
	}
	return ""
}

// ProcessInv: a process may do no more than its node.
func ProcessInv(s *Snapshot) string {
	for i, procs := range s.procs {
		for k, pr := range procs {
			if pr.right[s.page] > s.Leaf[i].Right || pr.right[s.page] == protocol.Write && s.Leaf[i].Right != protocol.Write {
				return fmt.Sprintf("process %d of node %d has %v, its node %v", k, s.Places[i].Node, pr.right[s.page], s.Leaf[i].Right)
			}
		}
	}
	return ""
}

// VersionInv: who may read has the root's version, or the one before: while a
// write that the root has granted is on its way to who asked for it.
func VersionInv(s *Snapshot) string {
	root, granted := s.Managers[s.Root].Version, false
	for i := range s.Leaf {
		granted = granted || s.Leaf[i].Op == protocol.OpWrite
	}
	for i := range s.Leaf {
		l := &s.Leaf[i]
		if l.Right == protocol.None || l.Version == root || granted && l.Version+1 == root {
			continue
		}
		return fmt.Sprintf("node %d has version %d, the root %d", s.Places[i].Node, l.Version, root)
	}
	return ""
}

func (s *Snapshot) right(i int) protocol.Right {
	if i < s.Leaves {
		return s.Leaf[i].Right
	}
	return s.Managers[i].Right
}

// TypeInv: every queue has its bound, and every wait set its shape.
func TypeInv(s *Snapshot) string {
	for i := s.Leaves; i < len(s.Places); i++ {
		m := &s.Managers[i]
		recalls, requests := 0, uint64(0)
		for k := range m.Queue {
			w := &m.Queue[k]
			if w.IsRecall() {
				recalls++
			} else {
				requests |= 1 << w.Child
			}
		}
		switch {
		case recalls > 1 || len(m.Queue) != recalls+bits.OnesCount64(requests):
			return fmt.Sprintf("%v queues %d, %d of them recalls", s.Places[i], len(m.Queue), recalls)
		case m.Busy.Climbing && (m.Busy.Wait != 0 || m.Busy.HomeDue != 0 || i == s.Root):
			return fmt.Sprintf("%v climbs, and waits for others", s.Places[i])
		case m.Recall.Active && (m.Recall.Wait == 0 || m.Recall.Keep > protocol.Owned || m.Recall.HomeDue != 0):
			return fmt.Sprintf("%v collects a recall from nobody", s.Places[i])
		case (m.Marked|m.Busy.Wait|m.Recall.Wait)>>len(s.Kids[i]) != 0:
			return fmt.Sprintf("%v knows a child that does not exist", s.Places[i])
		}
	}
	return ""
}

// InclusionInv: a child never has more than its parent recorded.
func InclusionInv(s *Snapshot) string {
	for i, up := range s.Parent {
		if up >= 0 && s.right(i) > s.Managers[up].Recorded(s.Child[i]) {
			return fmt.Sprintf("%v has %v, %v recorded %v", s.Places[i], s.right(i), s.Places[up], s.Managers[up].Recorded(s.Child[i]))
		}
	}
	return ""
}

// MarkedOnlyInv: a manager never records more for its children than it has
// itself; one owner; a writer is alone.
func MarkedOnlyInv(s *Snapshot) string {
	for i := s.Leaves; i < len(s.Places); i++ {
		m := &s.Managers[i]
		for rest := m.Marked; rest != 0; rest &= rest - 1 {
			c := bits.TrailingZeros64(uint64(rest))
			if m.Recorded(c) > m.Right {
				return fmt.Sprintf("%v has %v and recorded %v for child %d", s.Places[i], m.Right, m.Recorded(c), c)
			}
			if m.Recorded(c) == protocol.Write && m.Marked != 1<<c {
				return fmt.Sprintf("%v: child %d may write, marked are %b", s.Places[i], c, m.Marked)
			}
		}
	}
	return ""
}

// SupplierInv: an idle manager with the duty to supply has a child with it (an
// idle root: or a home that is not stale).
func SupplierInv(s *Snapshot) string {
	for i := s.Leaves; i < len(s.Places); i++ {
		m := &s.Managers[i]
		if m.Busy.Op != protocol.OpNone || m.Recall.Active {
			continue
		}
		duty := m.Right >= protocol.Owned
		if i == s.Root {
			duty = m.Home == protocol.Stale
		}
		if owned := m.Owner.Child() >= 0; owned != duty {
			return fmt.Sprintf("%v: right %v, home %v, owner %d", s.Places[i], m.Right, m.Home, m.Owner.Child())
		}
	}
	return ""
}

// OneDownInv: a link carries at most a Grant and a Recall down, in that order,
// and at most a request and an acknowledgement up.
func OneDownInv(s *Snapshot) string {
	for i := range s.Places {
		d, u := s.Down[i], s.Up[i]
		if len(d) > 2 || len(d) == 2 && (d[0].Kind != protocol.Grant || d[1].Kind != protocol.Recall) {
			return fmt.Sprintf("%d messages down to %v, the first is a %v", len(d), s.Places[i], d[0].Kind)
		}
		if len(u) > 2 || len(u) == 2 && u[0].Kind == u[1].Kind {
			return fmt.Sprintf("%d messages up from %v, the first is a %v", len(u), s.Places[i], u[0].Kind)
		}
	}
	return ""
}

// AckOnlyInv: an acknowledgement answers a Recall that its parent waits for.
func AckOnlyInv(s *Snapshot) string {
	for i, up := range s.Parent {
		for _, m := range s.Up[i] {
			if m.Kind == protocol.Ack && (s.Managers[up].Busy.Wait|s.Managers[up].Recall.Wait)&(1<<s.Child[i]) == 0 {
				return fmt.Sprintf("%v acknowledges, and %v does not wait for it", s.Places[i], s.Places[up])
			}
		}
	}
	return ""
}

// OneDataInv: at most one Data is on its way to, or has arrived at, each leaf
// and the home.
func OneDataInv(s *Snapshot) string {
	n := make(map[addr.Place]int)
	for i := range s.Leaf {
		if s.Leaf[i].Arrived {
			n[s.Places[i]]++
		}
	}
	for _, d := range s.Data {
		if n[d.To]++; n[d.To] > 1 {
			return fmt.Sprintf("two Data for %v", d.To)
		}
	}
	return ""
}

// LocalGrantInv: a request climbs only where the right of the subtree does not
// cover it. While a recall is being collected the child may have given up more
// than the manager.
func LocalGrantInv(s *Snapshot) string {
	for i := s.Leaves; i < len(s.Places); i++ {
		m := &s.Managers[i]
		if !m.Busy.Climbing {
			continue
		}
		if m.Busy.Op == protocol.OpRead && m.Right >= protocol.Read || m.Busy.Op == protocol.OpWrite && m.Right >= protocol.Write ||
			m.Busy.Op == protocol.OpWriteback && !m.Recall.Active && m.Right >= protocol.Owned && m.Recorded(int(m.Busy.Child)) < protocol.Owned {
			return fmt.Sprintf("%v has %v and climbs to %v", s.Places[i], m.Right, m.Busy.Op)
		}
	}
	return ""
}

// HaveInv: "have" reaches a leaf only while it has a copy (rule 5).
func HaveInv(s *Snapshot) string {
	for i := range s.Leaf {
		for _, g := range s.Down[i] {
			if g.Kind == protocol.Grant && g.Op == protocol.OpWrite && g.Source == protocol.Have && s.Leaf[i].Right < protocol.Read {
				return fmt.Sprintf("%v is told to use its own copy, and has none", s.Places[i])
			}
		}
	}
	return ""
}

// SurplusInv: a leaf is never sent a page that it has.
func SurplusInv(s *Snapshot) string {
	for i := range s.Leaf {
		if s.Leaf[i].Right >= protocol.Read && s.Leaf[i].Arrived {
			return fmt.Sprintf("Data has arrived at %v, which has the page", s.Places[i])
		}
	}
	for _, d := range s.Data {
		if to := d.To; to.Tag == addr.Leaf && s.Leaf[s.Index[to]].Right >= protocol.Read {
			return fmt.Sprintf("Data is on its way to %v, which has the page", to)
		}
	}
	return ""
}

// AskerInv: who asks to read is not asked for the page itself (rule 1).
func AskerInv(s *Snapshot) string {
	for i := s.Leaves; i < len(s.Places); i++ {
		if m := &s.Managers[i]; m.Busy.Op == protocol.OpRead && m.Busy.Wait&(1<<m.Busy.Child) != 0 {
			return fmt.Sprintf("%v asks child %d for the page that it wants", s.Places[i], m.Busy.Child)
		}
	}
	return ""
}

// QuietInv: where no protocol step is possible, nobody waits. What is under way
// can always be taken, but for a Grant that waits for its Data and what is
// behind it.
func QuietInv(s *Snapshot) string {
	if len(s.Data) > 0 {
		return ""
	}
	for i := range s.Places {
		if len(s.Up[i]) > 0 {
			return ""
		}
		if len(s.Down[i]) == 0 {
			continue
		}
		head := s.Down[i][0]
		switch {
		case head.Kind == protocol.Recall:
			return ""
		case i >= s.Leaves:
			if s.Managers[i].Busy.Climbing {
				return ""
			}
		case head.Source != protocol.Sent || s.Leaf[i].Arrived:
			return ""
		}
	}
	for i := range s.Places {
		if len(s.Down[i]) > 0 {
			return fmt.Sprintf("a %v waits at %v", s.Down[i][0].Kind, s.Places[i])
		}
		if i < s.Leaves && s.Leaf[i].Op != protocol.OpNone {
			return fmt.Sprintf("%v waits for its %v", s.Places[i], s.Leaf[i].Op)
		}
		if i >= s.Leaves && !s.Managers[i].Idle() {
			return fmt.Sprintf("%v is not idle", s.Places[i])
		}
	}
	return ""
}
