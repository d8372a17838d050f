package protocol

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/mome-dsm/mome/impl/addr"
)

// foreignScript brings nodes into a state, and then gives one of them a message
// that no peer in step sends there. One page, whose home is node 0; the
// residence of a leaf is over at once.
//
//	cluster nodes=N fanout=F
//	read | write | writeback node=N
//	deliver from=A to=B      the oldest message between two nodes
//	settle                   all messages, in the order of sending
//	forge from=PLACE to=PLACE kind=K [op=O] [have=R] [keep=R] [source=S] [dst=D] [leaf=N] [hit]
//
// Forge demands that what is refused changes nothing, and what is not refused
// ends the script.
type foreignScript struct {
	*cluster
	out strings.Builder
}

// short is what a message says.
func short(m *Message) string {
	s := fmt.Sprintf("%v -> %v: %v", m.From, m.To, m.Kind)
	switch m.Kind {
	case Req:
		s += fmt.Sprintf("(%v, %d, %v)", m.Op, m.Leaf, m.Have)
	case Grant:
		s += fmt.Sprintf("(%v, %v, %d)", m.Op, m.Source, m.Leaf)
	case Recall:
		s += fmt.Sprintf("(%v, %v, %d)", m.Keep, m.Dst, m.Leaf)
	case Ack:
		s += fmt.Sprintf("(%v, %v)", m.Keep, m.Hit)
	}
	return s
}

// deliver takes the message at an index of those under way.
func (s *foreignScript) deliver(i int) {
	m := s.queue[i]
	s.queue = append(s.queue[:i:i], s.queue[i+1:]...)
	if m.Kind == KindInvalid {
		s.step(m.To.Node, Input{Kind: InResidenceOver, Page: m.Page})
		return
	}
	fmt.Fprintln(&s.out, short(&m))
	s.step(m.To.Node, Input{Kind: InMessage, Msg: &m})
	for i := range s.queue {
		if s.queue[i].Kind == KindInvalid {
			s.deliver(i)
			break
		}
	}
}

// constant is the constant with the name.
func constant[T interface {
	~uint8
	fmt.Stringer
}](t *testing.T, name string) T {
	for c := T(0); !strings.HasPrefix(c.String(), "invalid("); c++ {
		if c.String() == name {
			return c
		}
	}
	t.Fatalf("there is no %T %q", T(0), name)
	return 0
}

// place is leaf@1, root@0 or midL@1 with the level L, as they are printed.
func (s *foreignScript) place(t *testing.T, text string) addr.Place {
	name, n, _ := strings.Cut(text, "@")
	node, err := strconv.Atoi(n)
	if err != nil {
		t.Fatalf("%q is no place", text)
	}
	for tag := addr.Tag(0); tag < 64; tag++ {
		if p := (addr.Place{Node: addr.NodeID(node), Tag: tag}); p.String() == text {
			return p
		}
	}
	t.Fatalf("%q is no place: %s", text, name)
	return addr.Place{}
}

func (s *foreignScript) forge(t *testing.T, d *datadriven.TestData) {
	m := Message{Envelope: Envelope{Generation: 5, FromIncarnation: 1, ToIncarnation: 1, Epoch: 10, Term: 3, Lamport: 1}}
	for _, a := range d.CmdArgs {
		v := ""
		if len(a.Vals) > 0 {
			v = a.Vals[0]
		}
		switch a.Key {
		case "from":
			m.From = s.place(t, v)
		case "to":
			m.To = s.place(t, v)
		case "kind":
			m.Kind = constant[Kind](t, v)
		case "op":
			m.Op = constant[Op](t, v)
		case "have":
			m.Have = constant[Right](t, v)
		case "keep":
			m.Keep = constant[Right](t, v)
		case "source":
			m.Source = constant[Source](t, v)
		case "dst":
			m.Dst = constant[Dst](t, v)
		case "leaf":
			n, err := strconv.Atoi(v)
			if err != nil {
				t.Fatal(err)
			}
			m.Leaf = addr.NodeID(n)
		case "hit":
			m.Hit = true
		default:
			d.Fatalf(t, "unknown argument %s", a.Key)
		}
	}
	sh := s.shards[m.To.Node]
	before := sh.digest()
	var b Batch
	err := sh.Step(Input{Kind: InMessage, Msg: &m}, &b)
	if err == nil {
		fmt.Fprintln(&s.out, "taken")
		s.cluster = nil
		return
	}
	if !errors.Is(err, ErrForeign) {
		d.Fatalf(t, "unexpected %v", err)
	}
	if after := sh.digest(); after != before || len(b.Effects) > 0 {
		d.Fatalf(t, "%v, and it changed\n%s\nto\n%s\n%v", err, before, after, b.Effects)
	}
	fmt.Fprintln(&s.out, err)
}

func (s *foreignScript) run(t *testing.T, d *datadriven.TestData) string {
	s.out.Reset()
	number := func(key string) (n int) {
		d.ScanArgs(t, key, &n)
		return n
	}
	switch d.Cmd {
	case "cluster":
		s.cluster = newCluster(testConfiguration(number("nodes"), number("fanout")))
	case "read":
		s.step(addr.NodeID(number("node")), Input{Kind: InReadFault})
	case "write":
		s.step(addr.NodeID(number("node")), Input{Kind: InWriteFault})
	case "writeback":
		s.step(addr.NodeID(number("node")), Input{Kind: InWriteback})
	case "deliver":
		for i, m := range s.queue {
			if int(m.From.Node) == number("from") && int(m.To.Node) == number("to") {
				s.deliver(i)
				return s.out.String()
			}
		}
		d.Fatalf(t, "nothing is under way")
	case "settle":
		for len(s.queue) > 0 {
			s.deliver(0)
		}
	case "forge":
		s.forge(t, d)
	default:
		d.Fatalf(t, "unknown command")
	}
	return s.out.String()
}

// TestForeign plays the scripts of testdata/foreign.
func TestForeign(t *testing.T) {
	datadriven.Walk(t, "testdata/foreign", func(t *testing.T, path string) {
		var s foreignScript
		datadriven.RunTest(t, path, s.run)
	})
}
