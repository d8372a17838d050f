package validate

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// writer writes TLA+ expressions; the first error stays.
type writer struct {
	strings.Builder
	err error
}

// leafName is the name of a node's leaf.
func (w *writer) leafName(n addr.NodeID, t *names) string {
	if !t.tree.Has(addr.Place{Node: n, Tag: addr.Leaf}) {
		if w.err == nil {
			w.err = fmt.Errorf("there is no node %d", n)
		}
		return ""
	}
	return t.of(addr.Place{Node: n, Tag: addr.Leaf})
}

func (w *writer) printf(format string, args ...any) { fmt.Fprintf(w, format, args...) }

// leaf writes the post of a leaf: right, req, arrived.
func (w *writer) leaf(s *protocol.LeafState) {
	w.printf("[right|->%d,req|->[op|->%q,have|->%d],arrived|->%s]", s.Right, s.Op, s.Have, boolean(s.Arrived))
}

func boolean(b bool) string {
	if b {
		return "TRUE"
	}
	return "FALSE"
}

// manager writes the post of a manager: mgr as in Manager.tla, and home.
func (w *writer) manager(s *protocol.ManagerState, t *names, at addr.Place) {
	children := t.tree.Children(at)
	child := func(i int) string {
		if i < 0 || i >= children {
			if w.err == nil {
				w.err = fmt.Errorf("post: %v has no child %d", at, i)
			}
			return ""
		}
		return t.of(t.tree.Child(at, i))
	}
	collection := func(c *protocol.Collection) {
		w.WriteString("wait|->{")
		comma := ""
		for rest := uint64(c.Wait); rest != 0; rest &= rest - 1 {
			w.printf("%s%q", comma, child(bits.TrailingZeros64(rest)))
			comma = ","
		}
		w.printf("},homeDue|->%d,keep|->%d,dst|->%q,leaf|->%q,hit|->%s]", c.HomeDue, c.Keep, c.Dst, w.leafName(c.Leaf, t), boolean(c.Hit))
	}
	if extra := s.Marked >> children; extra != 0 {
		child(children + bits.TrailingZeros64(uint64(extra)))
	}
	if owner := s.Owner.Child(); owner >= children {
		child(owner)
	}
	w.printf("[mgr|->[right|->%d,recorded|->[", s.Right)
	for i := range children {
		if i > 0 {
			w.WriteByte(',')
		}
		w.printf("%s|->%d", child(i), s.Recorded(i))
	}
	w.WriteString("],busy|->")
	if b := &s.Busy; b.Op == protocol.OpNone {
		w.WriteString("NoBusy")
	} else {
		phase := "serve"
		if b.Climbing {
			phase = "up"
		}
		w.printf("[op|->%q,child|->%q,have|->%d,phase|->%q,source|->%q,", b.Op, child(int(b.Child)), b.Have, phase, b.Source)
		collection(&b.Collection)
	}
	w.WriteString(",recall|->")
	if r := &s.Recall; !r.Active {
		w.WriteString("NoRecall")
	} else {
		w.WriteByte('[')
		collection(&r.Collection)
	}
	w.WriteString(",queue|-><<")
	for i := range s.Queue {
		q := &s.Queue[i]
		if i > 0 {
			w.WriteByte(',')
		}
		if q.IsRecall() {
			w.printf(`[kind|->"Recall",keep|->%d,dst|->%q,leaf|->%q]`, q.Keep, q.Dst, w.leafName(q.Leaf, t))
		} else {
			w.printf(`[kind|->"Req",child|->%q,op|->%q,leaf|->%q,have|->%d]`, child(int(q.Child)), q.Op, w.leafName(q.Leaf, t), q.Have)
		}
	}
	w.printf(">>],home|->%q]", s.Home)
}

// message writes a message as Strong has it in its channels; of Data only whom
// it is for.
func (w *writer) message(m *protocol.Message, t *names) {
	switch m.Kind {
	case protocol.Req:
		w.printf(`[kind|->"Req",op|->%q,leaf|->%q,have|->%d]`, m.Op, w.leafName(m.Leaf, t), m.Have)
	case protocol.Grant:
		w.printf(`[kind|->"Grant",op|->%q,source|->%q,leaf|->%q]`, m.Op, m.Source, w.leafName(m.Leaf, t))
	case protocol.Recall:
		w.printf(`[kind|->"Recall",keep|->%d,dst|->%q,leaf|->%q]`, m.Keep, m.Dst, w.leafName(m.Leaf, t))
	case protocol.Ack:
		w.printf(`[kind|->"Ack",keep|->%d,hit|->%s]`, m.Keep, boolean(m.Hit))
	case protocol.Data:
		to := "home"
		if m.To.Tag == addr.Leaf {
			to = t.of(m.To)
		}
		w.printf(`[to|->%q]`, to)
	default:
		w.err = fmt.Errorf("a message of kind %v", m.Kind)
	}
}
