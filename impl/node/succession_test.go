package node

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/wire"
)

// What a node does when a segment goes and another one has its pages: properties of
// spec/segment/SegmentInvs.tla, by name. Each check returns what it finds wrong.
type succession struct {
	name  string
	check func(testing.TB) string
}

var successions = []succession{
	{"early", earlyOfManyGenerations},
	{"residence", residenceOfAnother},
	{"skipped view", skippedView},
}

// TestSuccession has nodes and programs of real memory go from one segment to the
// next.
func TestSuccession(t *testing.T) {
	for _, s := range successions {
		t.Run(s.name, func(t *testing.T) {
			if wrong := s.check(t); wrong != "" {
				t.Error(wrong)
			}
		})
	}
}

// succeed puts a segment into the place of another one, in one transaction: no view
// is without both.
func succeed(t testing.TB, n *Node, old coord.Segment, name string) coord.Segment {
	t.Helper()
	ctx := context.Background()
	head := storedHead(t, n)
	next := old
	next.Name, next.Generation = name, n.config.View().Generation+1
	head["generation"] = next.Generation
	put := func(key string, record any) coord.Op {
		text, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		return coord.Put(key, text)
	}
	ops := []coord.Op{put("segment/"+name, next), put("head", head)}
	if name != old.Name {
		ops = append([]coord.Op{coord.Delete("segment/" + old.Name)}, ops...)
	}
	if _, _, err := n.store.Txn(ctx, nil, ops); err != nil {
		t.Fatal(err)
	}
	return next
}

// awaitView waits until the node has applied all that the store has.
func (n *Node) awaitView(t testing.TB) {
	t.Helper()
	if _, err := n.config.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	n.applying.Lock()
	defer n.applying.Unlock()
	for n.applied < n.config.View().Rev {
		n.appliedChanged.Wait()
	}
}

// skippedView has a node go from a segment to the next one at the same pages, of
// another name and then of the same, with no view between. It is late: the other node
// has asked it for pages meanwhile.
func skippedView(t testing.TB) (wrong string) {
	nodes := startNodes(t, 2, func(c *Config) { c.NoReadAhead, c.Directory = true, "" })
	early, late := nodes[0], nodes[1]
	var programs []*program
	begin := func(n *Node) *program {
		p := startProgram(t, n)
		programs = append(programs, p)
		return p
	}
	defer func() {
		if wrong == "" {
			return
		}
		for _, p := range programs { // they may wait for ever
			p.mayFail = true
			_ = p.process.Kill()
		}
	}()
	const all = "512 0 512" // of so many pages each node is the home of some
	before := begin(late)
	before.do("fill first " + all)
	is, _ := late.config.View().Segment("first")
	for _, name := range []string{"second", "second"} {
		before.mayFail = true
		was := is
		late.applying.Lock()
		is = succeed(t, early, was, name)
		early.awaitView(t)
		if early.segmentOf(is) == nil {
			late.applying.Unlock()
			return fmt.Sprintf("ViewProp: the node has heard of generation %d, and has not got it", is.Generation)
		}
		other := begin(early)
		order := fmt.Sprintf("zeros %s %s", name, all)
		other.begin(order)
		await(t, "the late node has early messages", func() bool { return late.tables()["early messages"] > 0 })
		late.applying.Unlock()
		late.awaitView(t)
		if left := late.tables()["early messages"]; left > 0 {
			return fmt.Sprintf("EarlyTakenProp: %d messages are still early", left)
		}
		for p := is.First; p < is.First+addr.PageNum(is.Pages); p++ {
			s := late.shardOf(p)
			s.mu.Lock()
			right := s.core.RightTo(p)
			s.unlock()
			if right != protocol.None {
				return fmt.Sprintf("NothingInv: the late node has %v of %v, of generation %d", right, p, was.Generation)
			}
		}
		other.end(order)
		other.do(fmt.Sprintf("fill %s 512 0 256", name))
		if answer := before.answer(fmt.Sprintf("verify %s %s", was.Name, all)); answer != "done bus error" {
			return fmt.Sprintf("GoneProp: who has mapped generation %d is told %q", was.Generation, answer)
		}
		before = begin(late)
		for _, order := range []string{"verify %s 512 0 256", "zeros %s 512 256 256", "fill %s 512 0 512"} {
			if answer := before.answer(fmt.Sprintf(order, name)); answer != "done" {
				return fmt.Sprintf("ReadProp: %q: %s", order, answer)
			}
		}
	}
	return ""
}

// answer is what the program says to an order, whatever that is.
func (p *program) answer(order string) string {
	p.t.Helper()
	p.begin(order)
	line, err := p.out.ReadString('\n')
	if err != nil {
		return fmt.Sprint(line, err)
	}
	return strings.TrimSpace(line)
}

// residenceOfAnother has the residence of a page end for the segment before: that
// of the one which has the page now goes on.
func residenceOfAnother(t testing.TB) string {
	nodes := startNodes(t, 2, func(c *Config) { c.Residence, c.NoReadAhead, c.Directory = time.Hour, true, "" })
	home, other := nodes[0], nodes[1]
	writer, reader := startProgram(t, other), startProgram(t, home)
	writer.do("fill s 1 0 1")
	seg, _ := other.config.View().Segment("s")
	reader.begin("verify s 1 0 1")
	s := other.shardOf(seg.First)
	state := func() (protocol.Right, bool) {
		s.mu.Lock()
		defer s.unlock()
		return s.core.RightTo(seg.First), s.core.Leaf(seg.First).Recall.Kind == protocol.Recall
	}
	await(t, "the recall is held back", func() bool {
		_, held := state()
		return held
	})
	s.post(errand{kind: errandResidence, page: seg.First, generation: seg.Generation - 1})
	if right, held := state(); right != protocol.Write || !held {
		return fmt.Sprintf("ResidenceProp: the page has left with the residence of another generation: right %v, held back %v", right, held)
	}
	s.post(errand{kind: errandResidence, page: seg.First, generation: seg.Generation})
	reader.end("verify s 1 0 1")
	return ""
}

// earlyOfManyGenerations has a peer ask for as many pages as it may have asked
// for, of one generation after another that a node has not heard of: what it has
// asked before it no longer waits for.
func earlyOfManyGenerations(t testing.TB) string {
	nodes := startNodes(t, 2, func(c *Config) { c.Directory = "" })
	n, peer := nodes[0], nodes[1]
	var pages []addr.PageNum // of one shard
	for p := addr.PageNum(0); len(pages) < maxFetching; p++ {
		if n.shardOf(p) == &n.shards[0] {
			pages = append(pages, p)
		}
	}
	const generations = 5
	for g := uint64(1); g <= generations; g++ {
		f := &wire.Frame{Pages: make([][]byte, len(pages))}
		for _, p := range pages {
			f.Messages = append(f.Messages, protocol.Message{Kind: protocol.Req, Op: protocol.OpRead, Leaf: peer.id, Page: p, Envelope: protocol.Envelope{Generation: g, From: peer.leaf(), To: n.root(),
				FromIncarnation: peer.incarnation, ToIncarnation: n.incarnation, Epoch: n.config.View().Epoch, Term: 1}})
		}
		receiver{n}.Deliver(peer.id, f)
		if err := n.Err(); err != nil {
			return fmt.Sprintf("EarlyInv: after %d generations: %v", g, err)
		}
	}
	if got := n.tables()["early messages"]; got != len(pages) {
		return fmt.Sprintf("EarlyInv: %d messages wait, want %d", got, len(pages))
	}
	return ""
}
