package sim

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// TestScenarios plays the scripts of testdata/scenarios: races that model
// checking found, step by step. One page, whose home is node 0. The commands:
//
//	cluster nodes=N fanout=F     Data goes over links of its own
//	read|write node=N            a process of the node loads or stores
//	evict|writeback node=N
//	deliver from=A to=B          the oldest message between two nodes
//	data to=N                    the Data on its way to node N
//	residence node=N             the node's residence ends
//	settle                       everything else, in any order
//	state                        all managers that are not as at the start
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		var w *World
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) (out string) {
			var b strings.Builder
			if d.Cmd == "cluster" {
				cfg := Config{Pages: 1, Lateral: true, Check: 1, Residence: 1 << 30}
				d.ScanArgs(t, "nodes", &cfg.Nodes)
				d.ScanArgs(t, "fanout", &cfg.Fanout)
				w = New(cfg)
				fmt.Fprintf(&b, "%v\n", w.nodes[0].shard.Tree(0))
				return b.String()
			}
			w.cfg.Observer = func(e *protocol.Event) { fmt.Fprintf(&b, "%v %v (%v)\n", e.Action, e.At, e.Before) }
			w.cfg.Effects = func(n addr.NodeID, e *protocol.Effect) { fmt.Fprintf(&b, "  node %d: %s\n", n, describe(e)) }
			defer func() {
				if f, ok := recover().(*Failure); ok {
					t.Fatal(f)
				}
				if out = b.String(); out == "" {
					out = "nothing happens\n"
				}
			}()
			at := func(key string) addr.NodeID {
				var n int
				d.ScanArgs(t, key, &n)
				return addr.NodeID(n)
			}
			switch d.Cmd {
			case "read", "write":
				w.Access(at("node"), 0, 0, d.Cmd == "write")
			case "evict":
				w.Evict(at("node"), 0)
			case "writeback":
				w.Writeback(at("node"), 0)
			case "deliver":
				s := w.session(at("from"), at("to"))
				if len(s.conns[0]) > 0 {
					w.transfer(s, 0)
				}
				if len(s.inbox) == 0 {
					d.Fatalf(t, "nothing is under way")
				}
				fmt.Fprintf(&b, "%s\n", message(&s.inbox[0].msg))
				w.takeHead(s)
			case "data":
				for i, pk := range w.lateral {
					if pk.msg.To.Node == at("to") {
						w.lateral = append(w.lateral[:i:i], w.lateral[i+1:]...)
						fmt.Fprintf(&b, "%s\n", message(&pk.msg))
						w.take(pk)
						return
					}
				}
				d.Fatalf(t, "no Data is under way")
			case "residence":
				for i, r := range w.held {
					if r.n.id == at("node") {
						w.endResidence(i)
						return
					}
				}
				d.Fatalf(t, "nothing is held")
			case "settle":
				w.cfg.Observer, w.cfg.Effects = nil, nil
				w.Settle()
				fmt.Fprintln(&b, "quiet")
			case "state":
				w.printState(&b)
			default:
				d.Fatalf(t, "unknown command")
			}
			return
		})
	})
}

// printState prints the managers of page 0 that are not as at the start, and
// what is under way.
func (w *World) printState(b *strings.Builder) {
	s := w.snapshot(0)
	for i, at := range s.Places {
		state := string(w.nodes[at.Node].shard.AppendState(nil, 0, at))
		fresh := protocol.NewShard(at.Node, 1, 0, w.views[0].conf, nil)
		if state != string(fresh.AppendState(nil, 0, at)) {
			fmt.Fprintf(b, "%v %s\n", at, state)
		}
		for _, m := range s.Down[i] {
			fmt.Fprintf(b, "  down: %s\n", message(m))
		}
		for _, m := range s.Up[i] {
			fmt.Fprintf(b, "  up: %s\n", message(m))
		}
	}
	for _, pk := range w.flight[0] {
		if pk.msg.Kind == protocol.Data {
			fmt.Fprintf(b, "%s\n", message(&pk.msg))
		}
	}
}

func message(m *protocol.Message) string {
	what := ""
	switch m.Kind {
	case protocol.Req:
		what = fmt.Sprintf("%v for %d have=%v", m.Op, m.Leaf, m.Have)
	case protocol.Grant:
		what = fmt.Sprintf("%v for %d source=%v version=%d", m.Op, m.Leaf, m.Source, m.Version)
	case protocol.Recall:
		what = fmt.Sprintf("keep=%v dst=%v", m.Keep, m.Dst)
		if m.Dst == protocol.ToLeaf {
			what += fmt.Sprintf(":%d", m.Leaf)
		}
	case protocol.Ack:
		what = fmt.Sprintf("keep=%v hit=%v", m.Keep, m.Hit)
	case protocol.Data:
		what = fmt.Sprintf("page version=%d", m.Version)
	}
	return fmt.Sprintf("%v -> %v: %v %s", m.From, m.To, m.Kind, what)
}

func describe(e *protocol.Effect) string {
	switch e.Kind {
	case protocol.Send:
		return message(&e.Msg)
	case protocol.FrameGrant:
		return fmt.Sprintf("%v %v", e.Kind, e.Access)
	}
	return e.Kind.String()
}
