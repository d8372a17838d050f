package protocol

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
)

// cluster is shards that hand each other their messages at once: the core
// alone, no links.
type cluster struct {
	shards []*Shard // by NodeID; nil where there is no member
	queue  []Message
	batch  Batch
	msg    Message // being handled
	// each is told what is sent, upon which message if any, and the sender's
	// clock before the step and after it, where not nil.
	each func(m, cause *Message, before, after uint64)
}

func newCluster(c *Configuration) *cluster {
	k := &cluster{}
	for n, life := range c.Members.All {
		k.shards = append(k.shards, make([]*Shard, int(n)-len(k.shards))...)
		k.shards = append(k.shards, NewShard(n, life, 0, c, nil))
	}
	return k
}

func (k *cluster) step(n addr.NodeID, in Input) {
	k.batch.Reset()
	before := k.shards[n].lamport
	if err := k.shards[n].Step(in, &k.batch); err != nil {
		panic(err)
	}
	for i := range k.batch.Effects {
		e := &k.batch.Effects[i]
		switch e.Kind {
		case Send:
			k.queue = append(k.queue, e.Msg)
			if k.each != nil {
				k.each(&e.Msg, in.Msg, before, k.shards[n].lamport)
			}
		case Held:
			// One step deep: the batch of this step is still being read.
			k.queue = append(k.queue, Message{Page: e.Page, Envelope: Envelope{To: addr.Place{Node: n}}})
		}
	}
}

// fault raises a fault, and plays everything that follows.
func (k *cluster) fault(kind InputKind, n addr.NodeID, p addr.PageNum) {
	k.step(n, Input{Kind: kind, Page: p})
	for i := 0; i < len(k.queue); i++ {
		m := &k.queue[i]
		if m.Kind == KindInvalid {
			k.step(m.To.Node, Input{Kind: InResidenceOver, Page: m.Page})
			continue
		}
		k.msg = *m
		k.step(m.To.Node, Input{Kind: InMessage, Msg: &k.msg})
	}
	k.queue = k.queue[:0]
}

// paths are faults of the steady state, by what they cost.
var paths = []struct {
	name  string
	nodes int
	fan   int
	turn  func(k *cluster)
}{
	// A read from the home, one and two levels up, and the eviction.
	{"fault=read/levels=1", 3, 64, func(k *cluster) { k.fault(InReadFault, 1, 0); k.fault(InEvict, 1, 0) }},
	{"fault=read/levels=2", 8, 4, func(k *cluster) { k.fault(InReadFault, 5, 0); k.fault(InEvict, 5, 0) }},
	// Two nodes that write in turn, below one root and at opposite sides.
	{"fault=write-pair/levels=1", 3, 64, func(k *cluster) { k.fault(InWriteFault, 1, 0); k.fault(InWriteFault, 2, 0) }},
	{"fault=write-pair/levels=2", 8, 4, func(k *cluster) { k.fault(InWriteFault, 1, 0); k.fault(InWriteFault, 5, 0) }},
	// A fault that the node's own right covers.
	{"fault=covered/levels=0", 3, 64, func(k *cluster) { k.fault(InReadFault, 1, 1) }},
}

// TestAllocs: in the steady state a fault allocates nothing.
func TestAllocs(t *testing.T) {
	if invariantsOn {
		t.Skip("the invariants and the race detector allocate")
	}
	for _, p := range paths {
		k := newCluster(testConfiguration(p.nodes, p.fan))
		k.fault(InWriteFault, 2, 0)
		k.fault(InWriteback, 2, 0)
		k.fault(InReadFault, 1, 1)
		p.turn(k)
		if n := testing.AllocsPerRun(200, func() { p.turn(k) }); n != 0 {
			t.Errorf("%s allocates %v times", p.name, n)
		}
	}
}

// BenchmarkFault is the core's own time for a full fault, all managers
// together, without links and frames.
func BenchmarkFault(b *testing.B) {
	for _, p := range paths {
		b.Run(p.name, func(b *testing.B) {
			k := newCluster(testConfiguration(p.nodes, p.fan))
			k.fault(InWriteFault, 2, 0)
			k.fault(InWriteback, 2, 0)
			k.fault(InReadFault, 1, 1)
			b.ReportAllocs()
			for b.Loop() {
				p.turn(k)
			}
		})
	}
}

// BenchmarkScan is the core's own time for each page of many that one node
// writes and another one reads, with tables too large for the nearest caches.
func BenchmarkScan(b *testing.B) {
	const pages = 1 << 14
	c := testConfiguration(2, 64)
	k := newCluster(c.WithSegments([]Segment{{First: 0, Pages: pages, Generation: 5}}))
	p := addr.PageNum(0)
	for b.Loop() {
		k.fault(InWriteFault, 0, p)
		k.fault(InReadFault, 1, p)
		p = (p + 1) % pages
	}
}

// BenchmarkIdlePage reports the bytes that a touched page costs: the reader's
// leaf, an intermediate of its own, and the root, at three nodes.
func BenchmarkIdlePage(b *testing.B) {
	const pages = 1 << 18
	for _, levels := range []int{1, 2} {
		b.Run(fmt.Sprintf("levels=%d", levels), func(b *testing.B) {
			c := testConfiguration(6, map[int]int{1: 64, 2: 4}[levels])
			c.Slots = c.Slots[:1]
			c = c.WithSegments([]Segment{{First: 0, Pages: pages, Generation: 5}})
			heap := func() float64 {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return float64(m.HeapAlloc)
			}
			for b.Loop() {
				k := newCluster(c)
				before := heap()
				for p := range addr.PageNum(pages) {
					k.fault(InReadFault, 5, p)
				}
				b.ReportMetric((heap()-before)/pages, "B/page")
				runtime.KeepAlive(k)
			}
		})
	}
}
