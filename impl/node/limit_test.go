package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/addr"
)

// writer is a program that fills segments and looks whether they are as filled.
type writer struct {
	ctx      context.Context
	socket   string
	node     *mome.Node
	segments map[string]*mome.Segment
}

// do carries out an order: a verb, a segment, its pages, and the first and the
// number of those that it is about.
func (w *writer) do(verb, line string) (answer string, err error) {
	var name string
	var pages, first, count int
	if _, err := fmt.Sscan(line, &verb, &name, &pages, &first, &count); err != nil {
		return "", err
	}
	if w.node == nil {
		w.segments = make(map[string]*mome.Segment)
		if w.node, err = mome.Connect(w.ctx, mome.WithSocket(w.socket)); err != nil {
			return "", err
		}
	}
	s := w.segments[name]
	if s == nil {
		if s, err = w.node.OpenOrCreate(w.ctx, name, int64(pages)*addr.PageSize); err != nil {
			return "", err
		}
		w.segments[name] = s
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			answer = "bus error"
		}
	}()
	word := func(p, i int) []byte { return s.Bytes()[p*addr.PageSize+i*(addr.PageSize-8):][:8] }
	switch verb {
	case "fill":
		for p := first; p < first+count; p++ {
			for i := range 2 {
				binary.LittleEndian.PutUint64(word(p, i), uint64(2*p+i+1))
			}
		}
	case "verify":
		for p := first; p < first+count; p++ {
			for i := range 2 {
				if got := binary.LittleEndian.Uint64(word(p, i)); got != uint64(2*p+i+1) {
					return "", fmt.Errorf("page %d of %q has %d in word %d, want %d", p, name, got, i, 2*p+i+1)
				}
			}
		}
	case "zeros":
		for p := first; p < first+count; p++ {
			for i := range 2 {
				if got := binary.LittleEndian.Uint64(word(p, i)); got != 0 {
					return "", fmt.Errorf("page %d of %q has %d in word %d, and was never stored to", p, name, got, i)
				}
			}
		}
	case "clean":
		err = s.WriteBack(w.ctx, int64(first)*addr.PageSize, int64(count)*addr.PageSize)
	case "prefault":
		err = s.Prefault(int64(first)*addr.PageSize, int64(count)*addr.PageSize, true)
	case "gone":
		err = w.node.Remove(w.ctx, name)
	}
	if errors.Is(err, mome.ErrNoSpace) {
		return "no space", nil
	}
	return "", err
}

const mib = 1 << 20

// atMost is what each node may keep.
func atMost(bytes ...int64) func(*Config) {
	next := 0
	return func(c *Config) {
		c.Memory = bytes[next]
		next++
	}
}

// residentNow is resident while nothing of it changes.
func (n *Node) residentNow() (int64, error) {
	for i := range n.shards {
		n.shards[i].mu.Lock()
	}
	bytes, err := n.resident()
	for i := range n.shards {
		n.shards[i].unlock()
	}
	return bytes, err
}

// watchLimits looks at what the kernel counts of the nodes' pages until the end
// of the test, or until it is told to end.
func watchLimits(t *testing.T, nodes []*Node) (end func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			for _, n := range nodes {
				used, err := n.residentNow()
				if err != nil {
					t.Error(err)
					return
				}
				if limit := n.cfg.Memory; limit > 0 && used > limit {
					t.Errorf("node %d has %d bytes of pages, and may have %d", n.id, used, limit)
					return
				}
			}
			select {
			case <-stop:
				return
			default:
				runtime.Gosched()
			}
		}
	}()
	end = sync.OnceFunc(func() {
		close(stop)
		<-done
	})
	t.Cleanup(end)
	return end
}

// exactAtRest wants what a node says of its memory, and what it has charged, to be
// what the kernel counts, as soon as nothing is under way.
func exactAtRest(t *testing.T, nodes []*Node) {
	t.Helper()
	for _, n := range nodes {
		for end := time.Now().Add(patience); ; runtime.Gosched() {
			used, err := n.resident()
			if err != nil {
				t.Fatal(err)
			}
			m := n.status(0).Memory
			if m.PageBytes == uint64(used) && (n.cfg.Memory == 0 || m.ChargedBytes == m.PageBytes) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("node %d: the kernel counts %d bytes, status says %d, charged are %d", n.id, used, m.PageBytes, m.ChargedBytes)
			}
		}
	}
}

// TestLimit has two nodes write three times as much as both may keep, beside one
// that may keep more. All of it is there afterwards, and at no moment has a node
// more than it may. No request is refused, however short a time it may wait and
// however slow the machine is: it is only while no node has room that time counts.
func TestLimit(t *testing.T) {
	const pages = 3072
	limits := atMost(4*mib, 4*mib, 64*mib)
	nodes := startNodes(t, 3, func(c *Config) {
		limits(c)
		c.RoomWait = time.Nanosecond
	})
	end := watchLimits(t, nodes)
	var programs []*program
	for _, n := range nodes {
		programs = append(programs, startProgram(t, n))
	}
	order := func(verb string, first, count int) string {
		return fmt.Sprint(verb, " a ", pages, " ", first, " ", count)
	}
	var both sync.WaitGroup
	for i, p := range programs[:2] {
		both.Go(func() { p.do(order("fill", i*pages/2, pages/2)) })
	}
	both.Wait()
	for _, p := range programs {
		p.do(order("verify", 0, pages))
	}
	if got := programs[0].do(order("clean", 0, pages)); got != "" {
		t.Errorf("to write back what is here: %s", got)
	}
	programs[1].do(order("verify", 0, pages))
	end()
	exactAtRest(t, nodes)
}

// logLines is what nodes log.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await returns when the logs have a text.
func (l *logLines) await(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(patience); !strings.Contains(l.String(), text); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("the logs do not say %q:\n%s", text, l.String())
		}
	}
}

// awaitEnds returns when the logs have said as often that something has ended as
// that it has begun: once each time, which on a slow machine may be several.
func (l *logLines) awaitEnds(t *testing.T, begun, ended string) {
	t.Helper()
	for end := time.Now().Add(patience); strings.Count(l.String(), begun) != strings.Count(l.String(), ended); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("the logs do not say %q as often as %q:\n%s", ended, begun, l.String())
		}
	}
}

// awaitShortage returns when an access waits and no node has room.
func awaitShortage(t *testing.T, nodes []*Node) {
	t.Helper()
	for end := time.Now().Add(patience); ; runtime.Gosched() {
		waiting, free := uint64(0), int64(0)
		for _, n := range nodes {
			waiting += n.status(0).Memory.Waiting
			free += n.room.free()
		}
		if waiting > 0 && free == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d accesses wait, and there is room for %d pages", waiting, free)
		}
	}
}

// TestWaitEnds has accesses wait for room that end in another way: their segment is
// removed, or their process is killed. Nothing of them is left, and what they would
// have had is there for others.
func TestWaitEnds(t *testing.T) {
	const pages, other = 700, 512
	nodes := startNodes(t, 2, atMost(2*mib, 2*mib))
	keeps := startProgram(t, nodes[0])
	keeps.do(fmt.Sprint("fill a ", other, " 0 ", other))
	for _, how := range []string{"removed", "killed"} {
		p := startProgram(t, nodes[1])
		p.mayFail = true
		p.begin(fmt.Sprint("fill ", how, " ", pages, " 0 ", pages))
		awaitShortage(t, nodes)
		if how == "killed" {
			if err := p.process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = p.wait()
			for nodes[1].status(0).Memory.Waiting > 0 {
				runtime.Gosched()
			}
		}
		startProgram(t, nodes[1]).do(fmt.Sprint("gone ", how, " ", pages, " 0 0"))
		if how == "removed" {
			if got := p.end("fill"); got != "bus error" {
				t.Errorf("a store that waited, and whose segment was removed, has ended: %q", got)
			}
		}
		exactAtRest(t, nodes)
	}
	keeps.do(fmt.Sprint("fill b ", other/2, " 0 ", other/2))
	keeps.do(fmt.Sprint("verify a ", other, " 0 ", other))
	keeps.do(fmt.Sprint("verify b ", other/2, " 0 ", other/2))
	exactAtRest(t, nodes)
}

// TestRemovedWhileWrittenBack has a segment removed while its pages are on their
// way home. What homes have promised for them is there for others: at the end
// nothing is charged but what is here.
func TestRemovedWhileWrittenBack(t *testing.T) {
	const pages = 1000
	nodes := startNodes(t, 2, atMost(8*mib, 8*mib))
	for round := range 12 {
		name := fmt.Sprint("s", round)
		order := func(verb string) string { return fmt.Sprint(verb, " ", name, " ", pages, " 0 ", pages) }
		writes, removes := startProgram(t, nodes[round%2]), startProgram(t, nodes[round/2%2])
		writes.mayFail = true
		writes.do(order("fill"))
		removes.do(fmt.Sprint("fill x", round, " 1 0 1")) // connected
		writes.begin(order("clean"))
		removes.do(order("gone"))
		_, _ = writes.out.ReadString('\n') // done, or that there is no such segment
		exactAtRest(t, nodes)
	}
}

// TestNoRoomAnywhere has a program store more than all nodes may keep. It waits,
// which status says, the nodes live, and a request fails with a reason. When
// another segment is removed the program goes on, and nothing is lost.
func TestNoRoomAnywhere(t *testing.T) {
	const pages, other = 700, 512
	var said logLines
	// A request fails before the log would say that it waits.
	nodes := startNodes(t, 2, func(c *Config) {
		c.Memory, c.RoomWait, c.Log = 2*mib, shortage*7/10, slog.New(slog.NewTextHandler(&said, nil))
	})
	end := watchLimits(t, nodes)
	first, second := startProgram(t, nodes[0]), startProgram(t, nodes[1])
	second.do(fmt.Sprint("fill other ", other, " 0 ", other))
	first.begin(fmt.Sprint("fill a ", pages, " 0 ", pages))
	awaitShortage(t, nodes)
	if got := second.do(fmt.Sprint("clean other ", other, " 0 ", other)); got != "no space" {
		t.Errorf("to write back without room at the homes: %q", got)
	}
	if got := second.do(fmt.Sprint("prefault a ", pages, " 0 ", pages)); got != "no space" {
		t.Errorf("to prefault without room: %q", got)
	}
	said.await(t, "accesses wait for room")
	second.do(fmt.Sprint("gone other ", other, " 0 0"))
	first.end("fill")
	second.do(fmt.Sprint("verify a ", pages, " 0 ", pages))
	first.do(fmt.Sprint("verify a ", pages, " 0 ", pages))
	// There is room, which the nodes have to make, however long that takes.
	for _, p := range []*program{first, second} {
		if got := p.do(fmt.Sprint("prefault a ", pages, " 0 ", pages)); got != "" {
			t.Errorf("to prefault more than one node may keep: %s", got)
		}
	}
	end()
	exactAtRest(t, nodes)
	said.awaitEnds(t, "accesses wait for room", "no access waits for room any more")
	for _, n := range nodes {
		if waiting := n.status(0).Memory.Waiting; waiting > 0 {
			t.Errorf("at node %d %d accesses wait at the end", n.id, waiting)
		}
	}
}
