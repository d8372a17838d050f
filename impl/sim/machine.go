package sim

import (
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"pgregory.net/rapid"
)

// Machine is a property: whatever order the actions of Strong.tla come in, the
// invariants hold after each, and everything comes to an end. Its actions carry
// the spec's names. Beside them are what links do (Transfer, Acknowledge, Dial),
// what befalls a node (Crash of a process, Recreate of a segment, Configure),
// and Again, a fault that was not answered in full. It serves rapid.Check and
// rapid.MakeFuzz.
func Machine(t *rapid.T) {
	pages := rapid.IntRange(1, 2).Draw(t, "pages")
	w := New(Config{
		Nodes:     rapid.IntRange(1, 6).Draw(t, "nodes"),
		Fanout:    rapid.IntRange(2, 4).Draw(t, "fanout"),
		Pages:     pages,
		Segments:  rapid.IntRange(1, pages).Draw(t, "segments"),
		Processes: rapid.IntRange(1, 2).Draw(t, "processes"),
		Lateral:   rapid.Bool().Draw(t, "lateral"),
		Recreate:  rapid.Bool().Draw(t, "recreate"),
		Breaks:    true,
		Replay:    "the fail file above, -seed",
	})
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Failure:
			t.Fatalf("%s at step %d: %s", r.Property, r.Step, r.Text)
		default:
			panic(r)
		}
	}()
	node := func(t *rapid.T) addr.NodeID { return addr.NodeID(rapid.IntRange(0, w.cfg.Nodes-1).Draw(t, "node")) }
	page := func(t *rapid.T) addr.PageNum { return addr.PageNum(rapid.IntRange(0, w.cfg.Pages-1).Draw(t, "page")) }
	access := func(write bool) func(*rapid.T) {
		return func(t *rapid.T) {
			w.Access(node(t), rapid.IntRange(0, w.cfg.Processes-1).Draw(t, "process"), page(t), write)
		}
	}
	// receive is the handlers of a kind of message, at leaves or above.
	receive := func(kind protocol.Kind, leaf bool) func(*rapid.T) {
		return func(t *rapid.T) {
			heads := w.heads(func(m *protocol.Message) bool { return m.Kind == kind && (m.To.Tag == addr.Leaf) == leaf })
			if len(heads) == 0 {
				return // the guard does not hold
			}
			heads[rapid.IntRange(0, len(heads)-1).Draw(t, "which")]()
		}
	}
	recall := receive(protocol.Recall, true)
	// link is one of those with something under way.
	link := func(do func(*rapid.T, *session)) func(*rapid.T) {
		return func(t *rapid.T) {
			if len(w.active) > 0 {
				do(t, w.active[rapid.IntRange(0, len(w.active)-1).Draw(t, "link")])
			}
		}
	}
	t.Repeat(map[string]func(*rapid.T){
		"ReadFault":     access(false),
		"WriteFault":    access(true),
		"Writeback":     func(t *rapid.T) { w.Writeback(node(t), page(t)) },
		"Evict":         func(t *rapid.T) { w.Evict(node(t), page(t)) },
		"RecvReq":       receive(protocol.Req, false),
		"RecvGrant":     receive(protocol.Grant, false),
		"RecvRecall":    receive(protocol.Recall, false),
		"RecvAck":       receive(protocol.Ack, false),
		"HomeRecvData":  receive(protocol.Data, false),
		"RecvData":      receive(protocol.Data, true),
		"LeafRecvGrant": receive(protocol.Grant, true),
		"LeafRecvRecall": func(t *rapid.T) {
			if len(w.held) > 0 && rapid.Bool().Draw(t, "held") {
				w.endResidence(rapid.IntRange(0, len(w.held)-1).Draw(t, "which"))
				return
			}
			recall(t)
		},
		"Again": func(t *rapid.T) {
			w.raiseOne(w.nodes[node(t)])
		},
		"Transfer": link(func(t *rapid.T, s *session) {
			if inFlight := s.inFlight(); len(inFlight) > 0 {
				w.transfer(s, inFlight[rapid.IntRange(0, len(inFlight)-1).Draw(t, "connection")])
			}
		}),
		"Acknowledge": link(func(_ *rapid.T, s *session) { s.acknowledge() }),
		"Dial":        link(func(t *rapid.T, s *session) { w.dial(s, rapid.Bool().Draw(t, "breaks")) }),
		"Crash": func(t *rapid.T) {
			w.Crash(node(t), rapid.IntRange(0, w.cfg.Processes-1).Draw(t, "process"))
		},
		"Recreate": func(t *rapid.T) {
			// Rarely: what a page has come to ends with its segment.
			if w.cfg.Recreate && rapid.IntRange(0, 7).Draw(t, "rarely") == 0 {
				w.Recreate(page(t), Recreate(rapid.IntRange(0, int(numRecreate)-1).Draw(t, "how")))
			}
		},
		"Configure": func(t *rapid.T) {
			n := w.nodes[node(t)]
			if left := w.newer(n); left > 0 {
				w.configure(n, rapid.IntRange(1, left).Draw(t, "configurations"))
			}
		},
		"": func(t *rapid.T) {
			for p := range w.cfg.Pages {
				w.CheckPage(addr.PageNum(p))
			}
		},
	})
	w.Settle()
}

// heads are the deliveries of those messages that can be taken now and that
// which accepts.
func (w *World) heads(which func(*protocol.Message) bool) []func() {
	var all []func()
	for _, s := range w.active {
		if len(s.inbox) > 0 {
			if which(&s.inbox[0].msg) {
				all = append(all, func() { w.takeHead(s) })
			}
			continue
		}
		for i, c := range s.conns {
			if len(c) > 0 && c[0].seq == s.received+1 && which(&c[0].packets[0].msg) {
				all = append(all, func() {
					w.transfer(s, i)
					w.takeHead(s)
				})
			}
		}
	}
	for i, pk := range w.lateral {
		if which(&pk.msg) {
			all = append(all, func() {
				w.lateral = append(w.lateral[:i:i], w.lateral[i+1:]...)
				w.take(pk)
			})
		}
	}
	return all
}

// takeHead takes the first message of a link.
func (w *World) takeHead(s *session) {
	w.take(s.inbox[0])
	s.inbox = s.inbox[1:]
	w.note(s)
}
