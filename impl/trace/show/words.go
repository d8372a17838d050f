package show

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// messageWords is what a message says, in short.
func messageWords(m *protocol.Message) string {
	var b strings.Builder
	b.WriteString(m.Kind.String())
	switch m.Kind {
	case protocol.Req:
		fmt.Fprintf(&b, " %v", m.Op)
		if m.Have != protocol.None {
			fmt.Fprintf(&b, ", has %v", m.Have)
		}
	case protocol.Grant:
		fmt.Fprintf(&b, " %v v%d", m.Op, m.Version)
		switch {
		case m.Op == protocol.OpWriteback: // it brings nothing
		case m.Source == protocol.Sent:
			b.WriteString(", page sent")
		case m.Source == protocol.Zero:
			b.WriteString(", zeros")
		case m.Source == protocol.Have:
			b.WriteString(", page is there")
		}
	case protocol.Recall:
		fmt.Fprintf(&b, " to %v", m.Keep)
		switch m.Dst {
		case protocol.ToLeaf:
			fmt.Fprintf(&b, ", page → leaf@%d", m.Leaf)
		case protocol.ToHome:
			b.WriteString(", page → home")
		}
	case protocol.Ack:
		fmt.Fprintf(&b, " %v", m.Keep)
		if m.Hit {
			b.WriteString(", page sent")
		}
	case protocol.Data:
		fmt.Fprintf(&b, " v%d", m.Version)
	}
	return b.String()
}

// recordWords is what a record is about beside its page: for an action the
// message with an arrow from or to its other end.
func recordWords(r *trace.Record) string {
	switch m := r.Message; {
	case r.Kind == trace.KindConfigure:
		var c trace.Change
		if json.Unmarshal(r.Conf, &c) != nil {
			return string(r.Conf)
		}
		return fmt.Sprintf("epoch %d, %s", c.Epoch, many(len(c.Segments), "segment"))
	case r.Kind == trace.KindContent:
		return "digest " + r.Digest.String()
	case r.Kind == trace.KindStep:
		return stepWords(r.Step)
	case r.Kind == trace.KindOutput:
		return outputWords(r.Out)
	case m == nil:
		return ""
	case m.From == r.At:
		return fmt.Sprintf("→ %v %s", m.To, messageWords(m))
	default:
		return fmt.Sprintf("← %v %s", m.From, messageWords(m))
	}
}

// outputWords is what a step put out.
func outputWords(o *trace.Output) string {
	if o.Refused != "" {
		return o.Refused
	}
	return strings.Join(o.Effects, ", ")
}

// stepWords is what a step on a frame was about.
func stepWords(s *trace.Step) string {
	var words []string
	if s.Process != 0 {
		words = append(words, fmt.Sprint("process ", s.Process))
	}
	if s.Pages != 0 {
		words = append(words, many(int(s.Pages), "page"))
	}
	if s.Write {
		words = append(words, "to store")
	}
	if s.Digest != 0 {
		words = append(words, "digest "+s.Digest.String())
	}
	if s.Answer != "" {
		words = append(words, s.Answer)
	}
	return strings.Join(words, ", ")
}

// name is what happened: the action's name, or the kind of another record.
func name(r *trace.Record) string {
	switch r.Kind {
	case trace.KindAction:
		return r.Act
	case trace.KindInput:
		return "in " + r.Act
	case trace.KindOutput:
		if r.Out.Refused != "" {
			return "refused"
		}
		return "out"
	case trace.KindConfigure:
		return "conf"
	case trace.KindContent:
		return r.Moment.String()
	case trace.KindStep:
		return "frame " + r.Step.Step.String()
	}
	return fmt.Sprintf("record %d", r.Kind)
}

// children names the children of a manager.
type children func(child int) string

// childrenOf is how the children of a manager of a page are called: by their
// places, or by their numbers where the tree is not known.
func childrenOf(conf *protocol.Configuration, p addr.PageNum, at addr.Place) children {
	if s := conf.Segment(p); s != nil {
		t := conf.Tree(s.Slot(p, len(conf.Slots)))
		if at.Tag != addr.Leaf && t.Has(at) {
			return func(c int) string {
				if c < 0 || c >= t.Children(at) {
					return fmt.Sprint("child ", c)
				}
				return t.Child(at, c).String()
			}
		}
	}
	return func(c int) string { return fmt.Sprint("child ", c) }
}

func (name children) set(wait protocol.Children) string {
	var names []string
	for ; wait != 0; wait &= wait - 1 {
		names = append(names, name(bits.TrailingZeros64(uint64(wait))))
	}
	return strings.Join(names, " ")
}

var pages = Shown{
	Protocol: protocol.Pages,
	state: func(conf *protocol.Configuration, r *trace.Record) string {
		if r.At.Tag == addr.Leaf {
			return stateWords(r, leafWords)
		}
		return stateWords(r, func(s *protocol.ManagerState) []string {
			return managerWords(s, r.At, childrenOf(conf, r.Page, r.At))
		})
	},
}

// stateWords is the state after an action in short, in the words of its type; what
// is none of the type stays as it is.
func stateWords[S any](r *trace.Record, words func(*S) []string) string {
	var s S
	if r.State(&s) != nil {
		return string(r.Post)
	}
	return strings.Join(words(&s), "; ")
}

func rightWords(r protocol.Right, version uint64) []string {
	if version > 0 && r != protocol.None {
		return []string{fmt.Sprintf("%v v%d", r, version)}
	}
	return []string{r.String()}
}

func leafWords(s *protocol.LeafState) []string {
	words := rightWords(s.Right, s.Version)
	if s.Op != protocol.OpNone {
		words = append(words, "asks "+s.Op.String())
	}
	if s.Arrived {
		words = append(words, "page is here")
	}
	return words
}

func managerWords(s *protocol.ManagerState, at addr.Place, name children) []string {
	words := rightWords(s.Right, s.Version)
	var copies []string
	for rest := s.Marked; rest != 0; rest &= rest - 1 {
		c := bits.TrailingZeros64(uint64(rest))
		copy := name(c)
		if c == s.Owner.Child() {
			copy += ":" + s.OwnerRight.String()
		}
		copies = append(copies, copy)
	}
	if len(copies) > 0 {
		words = append(words, "copies "+strings.Join(copies, " "))
	}
	if at.Tag == addr.Root {
		words = append(words, "home "+s.Home.String())
	}
	if b := &s.Busy; b.Op != protocol.OpNone {
		words = append(words, busyWords(b, name))
	}
	if r := &s.Recall; r.Active {
		text := "recall to " + r.Keep.String()
		if r.Wait != 0 {
			text += ", waits for " + name.set(r.Wait)
		}
		words = append(words, text)
	}
	if len(s.Queue) > 0 {
		words = append(words, fmt.Sprintf("%d queued", len(s.Queue)))
	}
	return words
}

func busyWords(b *protocol.Busy, name children) string {
	text := fmt.Sprintf("serves %v for leaf@%d", b.Op, b.Leaf)
	var waits []string
	if b.Climbing {
		waits = append(waits, "its parent")
	}
	if b.Wait != 0 {
		waits = append(waits, name.set(b.Wait))
	}
	if b.HomeDue != 0 {
		waits = append(waits, "the home")
	}
	if len(waits) > 0 {
		text += ", waits for " + strings.Join(waits, " ")
	}
	return text
}
