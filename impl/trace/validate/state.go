package validate

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/strong"
	"github.com/mome-dsm/mome/spec/tla"
)

// writer writes TLA+ expressions; the first error stays.
type writer struct {
	strings.Builder
	err error
}

func (w *writer) printf(format string, args ...any) { fmt.Fprintf(w, format, args...) }

// leaf writes the post of a leaf: right, req, arrived.
func (w *writer) leaf(s *protocol.LeafState) {
	w.printf("[right|->%d,req|->[op|->%q,have|->%d],arrived|->%s]", s.Right, s.Op, s.Have, truth(s.Arrived))
}

// names are those of the tree's leaves, and of the children of a manager of it.
func (w *writer) names(t *names, children ...string) *strong.Names {
	wrong := func(format string, args ...any) {
		if w.err == nil {
			w.err = fmt.Errorf(format, args...)
		}
	}
	return &strong.Names{
		Children: children,
		Leaf: func(n addr.NodeID) tla.Value {
			at := addr.Place{Node: n, Tag: addr.Leaf}
			if !t.tree.Has(at) {
				wrong("there is no node %d", n)
				return tla.Value{}
			}
			return tla.Text(t.of(at))
		},
		Missing: func(child int) { wrong("post: the manager has no child %d", child) },
	}
}

// manager writes the post of a manager: mgr as in Manager.tla, and home.
func (w *writer) manager(s *protocol.ManagerState, t *names, at addr.Place) {
	var children []string
	for c := range t.tree.Children(at) {
		children = append(children, t.of(t.tree.Child(at, c)))
	}
	n := w.names(t, children...)
	if known := len(children); s.Marked>>known != 0 || s.Owner.Child() >= known {
		n.Missing(max(s.Owner.Child(), bits.Len64(uint64(s.Marked))-1))
	}
	w.WriteString(tla.Record("mgr", strong.Manager(s, n), "home", tla.Text(s.Home.String())).String())
}

// message writes a message as Strong has it in its channels; of Data only whom
// it is for.
func (w *writer) message(m *protocol.Message, t *names) {
	switch {
	case m.Kind == protocol.Data && m.To.Tag == addr.Leaf:
		w.printf(`[to|->%q]`, t.of(m.To))
	case m.Kind == protocol.Data:
		w.WriteString(`[to|->"home"]`)
	default:
		w.WriteString(strong.Message(m, w.names(t)).String())
	}
}
