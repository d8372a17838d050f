package validate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/bits"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// rights are the numbers of Types.tla.
var rights = map[string]int{"none": 0, "read": 1, "owned": 2, "write": 3}

func right(name string) (int, error) {
	r, ok := rights[name]
	if !ok {
		return 0, fmt.Errorf("%q is no right", name)
	}
	return r, nil
}

// leafState is what protocol.AppendState writes of a leaf.
type leafState struct {
	Right   string `json:"right"`
	Version uint64 `json:"version"` // not in the specification
	Req     string `json:"req"`
	Have    string `json:"have"`
	Arrived bool   `json:"arrived"`
}

// managerState is what protocol.AppendState writes of a root or intermediate.
type managerState struct {
	Right      string        `json:"right"`
	Marked     []int         `json:"marked"`
	Owner      int           `json:"owner"`
	OwnerRight string        `json:"ownerRight"`
	Home       string        `json:"home"`    // of a root
	Version    uint64        `json:"version"` // not in the specification
	Busy       *busyState    `json:"busy"`
	Recall     *recallState  `json:"recall"`
	Queue      []queuedState `json:"queue"`
}

type busyState struct {
	Op       string      `json:"op"`
	Child    int         `json:"child"`
	Leaf     addr.NodeID `json:"leaf"`
	Have     string      `json:"have"`
	Source   string      `json:"source"`
	Up       bool        `json:"up"`
	Wait     uint64      `json:"wait"`
	WaitHome bool        `json:"waitHome"`
}

type recallState struct {
	Keep string      `json:"keep"`
	Dst  string      `json:"dst"`
	Leaf addr.NodeID `json:"leaf"`
	Wait uint64      `json:"wait"`
	Hit  bool        `json:"hit"`
}

// queuedState is a request (with Op) or a recall (with Keep and Dst).
type queuedState struct {
	Child int         `json:"child"`
	Op    string      `json:"op"`
	Have  string      `json:"have"`
	Keep  string      `json:"keep"`
	Dst   string      `json:"dst"`
	Leaf  addr.NodeID `json:"leaf"`
}

func decodeState(text json.RawMessage, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("post: %w", err)
	}
	return nil
}

// writer writes TLA+ expressions; the first error stays.
type writer struct {
	strings.Builder
	err error
}

func (w *writer) right(name string) int {
	r, err := right(name)
	if err != nil && w.err == nil {
		w.err = err
	}
	return r
}

// leafName is the name of a node's leaf.
func (w *writer) leafName(n addr.NodeID, t *names) string {
	if int(n) >= t.nodes {
		if w.err == nil {
			w.err = fmt.Errorf("there is no node %d", n)
		}
		return ""
	}
	return t.of(addr.Place{Node: n, Tag: addr.Leaf})
}

func (w *writer) printf(format string, args ...any) { fmt.Fprintf(w, format, args...) }

// leaf writes the post of a leaf: right, req, arrived.
func (w *writer) leaf(s *leafState) {
	op, have := s.Req, 0
	if op == "" || op == "none" {
		op = "none"
	} else {
		have = w.right(s.Have)
	}
	w.printf("[right|->%d,req|->[op|->%q,have|->%d],arrived|->%s]", w.right(s.Right), op, have, boolean(s.Arrived))
}

func boolean(b bool) string {
	if b {
		return "TRUE"
	}
	return "FALSE"
}

// manager writes the post of a manager: mgr as in Strong, and home.
func (w *writer) manager(s *managerState, t *names, at addr.Place) {
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
	set := func(mask uint64, home bool) {
		w.WriteByte('{')
		comma := ""
		for ; mask != 0; mask &= mask - 1 {
			w.printf("%s%q", comma, child(bits.TrailingZeros64(mask)))
			comma = ","
		}
		if home {
			w.printf(`%s"home"`, comma)
		}
		w.WriteByte('}')
	}
	recorded := make([]int, children)
	for _, c := range s.Marked {
		if child(c); w.err == nil {
			recorded[c] = 1
		}
	}
	if s.Owner >= 0 {
		if child(s.Owner); w.err == nil {
			recorded[s.Owner] = w.right(s.OwnerRight)
		}
	}
	w.printf("[mgr|->[right|->%d,recorded|->[", w.right(s.Right))
	for i, r := range recorded {
		if i > 0 {
			w.WriteByte(',')
		}
		w.printf("%s|->%d", child(i), r)
	}
	w.WriteString("],busy|->")
	if b := s.Busy; b == nil {
		w.WriteString("NoBusy")
	} else {
		phase := "serve"
		if b.Up {
			phase = "up"
		}
		w.printf("[op|->%q,child|->%q,leaf|->%q,have|->%d,phase|->%q,source|->%q,wait|->",
			b.Op, child(b.Child), w.leafName(b.Leaf, t), w.right(b.Have), phase, b.Source)
		set(b.Wait, b.WaitHome)
		w.WriteByte(']')
	}
	w.WriteString(",recall|->")
	if r := s.Recall; r == nil {
		w.WriteString("NoRecall")
	} else {
		w.printf("[keep|->%d,dst|->%q,leaf|->%q,hit|->%s,wait|->", w.right(r.Keep), r.Dst, w.leafName(r.Leaf, t), boolean(r.Hit))
		set(r.Wait, false)
		w.WriteByte(']')
	}
	w.WriteString(",queue|-><<")
	for i, q := range s.Queue {
		if i > 0 {
			w.WriteByte(',')
		}
		if q.Op != "" {
			w.printf(`[kind|->"Req",child|->%q,op|->%q,leaf|->%q,have|->%d]`, child(q.Child), q.Op, w.leafName(q.Leaf, t), w.right(q.Have))
		} else {
			w.printf(`[kind|->"Recall",keep|->%d,dst|->%q,leaf|->%q]`, w.right(q.Keep), q.Dst, w.leafName(q.Leaf, t))
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
