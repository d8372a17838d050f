package node

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/addr"
)

// holdings is how many of each kind of thing a process, or a node, has.
type holdings map[string]int

// held is what this process has of the kernel's: descriptors by their kind and
// mappings of memfds; and goroutines.
func held() holdings {
	h := holdings{"goroutines": runtime.NumGoroutine()}
	number := regexp.MustCompile(`[0-9]+`)
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil { // else it is the directory's own
			h["fd "+number.ReplaceAllString(to, "N")]++
		}
	}
	text, _ := os.ReadFile("/proc/self/maps")
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "memfd:mome") {
			h["mappings of memfds"]++
		}
	}
	return h
}

func (h holdings) encode() (string, error) {
	b, err := json.Marshal(h)
	return string(b), err
}

// tables is what a node remembers.
func (n *Node) tables() holdings {
	n.mu.Lock()
	h := holdings{"applications": len(n.apps), "segments": n.segments.Load().pages.Len()}
	n.mu.Unlock()
	for i := range n.shards {
		s := &n.shards[i]
		s.mu.Lock()
		views, directories := s.core.Tables()
		h["pages held"] += views
		h["pages managed"] += directories
		h["waiters"] += len(s.waiters)
		h["pages being written back"] += len(s.written)
		h["early messages"] += s.early.Len()
		s.unlock()
	}
	n.syncs.mu.Lock()
	t := n.syncs.core.Tables()
	h["turns"], h["seats"], h["locks"], h["barriers"] = t.Turns, t.Seats, t.Locks, t.Barriers
	h["parties"], h["timers"], h["expired"] = len(n.syncs.parties), len(n.syncs.timers), len(n.syncs.expired)
	n.syncUnlock()
	n.residences.mu.Lock()
	h["residences"] = len(n.residences.queue)
	n.residences.mu.Unlock()
	n.fetching.mu.Lock()
	h["pages being fetched"] = int(n.fetching.n)
	n.fetching.mu.Unlock()
	return h
}

// life is one attachment of a program, with one of everything.
type life struct {
	ctx     context.Context
	socket  string
	node    *mome.Node
	segment *mome.Segment
	barrier *mome.Barrier
}

// begin attaches. All names have the number: nothing of an earlier life is used
// again.
func (l *life) begin(number int) (err error) {
	name := fmt.Sprint("life-", number)
	if l.node, err = mome.Connect(l.ctx, mome.WithSocket(l.socket)); err != nil {
		return err
	}
	if l.segment, err = l.node.OpenOrCreate(l.ctx, name, 64*addr.PageSize); err != nil {
		return err
	}
	mem := l.segment.Bytes()
	if err := l.segment.Prefetch(0, 32*addr.PageSize, true); err != nil {
		return err
	}
	for at := 0; at < len(mem); at += addr.PageSize {
		mem[at]++
	}
	lock := l.node.Lock(name)
	if _, err := lock.Acquire(l.ctx); err != nil {
		return err
	}
	if err := lock.Release(); err != nil {
		return err
	}
	l.barrier, err = l.node.Barrier(l.ctx, fmt.Sprint(name, l.node.ID()), 0, 1)
	if err != nil {
		return err
	}
	return l.barrier.Wait(l.ctx)
}

func (l *life) end() error {
	err := l.barrier.Close()
	if err == nil {
		err = l.segment.Close()
	}
	if err == nil {
		err = l.node.Close()
	}
	return err
}

// growth is what there is more of than there was.
func growth(before, now holdings) (lines []string) {
	for _, kind := range slices.Sorted(maps.Keys(now)) {
		if now[kind] > before[kind] {
			lines = append(lines, fmt.Sprintf("%s: %d, and now %d", kind, before[kind], now[kind]))
		}
	}
	return lines
}

// patience is far beyond what any of these tests waits for.
const patience = time.Minute

// TestNothingGrows has programs on two nodes attach, use a segment, a lock and a
// barrier of new names, lose the segment while both have it mapped, and detach,
// again and again. The nodes and the programs have no more of anything after 200
// such lives than after 100.
func TestNothingGrows(t *testing.T) {
	nodes := startNodes(t, 2, func(*Config) {})
	programs := []*program{startProgram(t, nodes[0]), startProgram(t, nodes[1])}
	all := func() map[string]holdings {
		now := map[string]holdings{"both nodes": held()}
		for i, n := range nodes {
			var h holdings
			if err := json.Unmarshal([]byte(programs[i].do("count")), &h); err != nil {
				t.Fatal(err)
			}
			now[fmt.Sprint("node ", i)], now[fmt.Sprint("program ", i)] = n.tables(), h
		}
		return now
	}
	lives := func(from, to int) {
		for i := from; i < to; i++ {
			for _, p := range programs {
				p.do(fmt.Sprint("begin ", i))
			}
			programs[i%2].do("remove")
			for _, p := range programs {
				p.do("end")
			}
		}
	}
	lives(0, 100)
	before := all()
	lives(100, 200)
	// What a program gave up last, its node may still be about to.
	var lines []string
	for end := time.Now().Add(patience); time.Now().Before(end); runtime.Gosched() {
		lines = nil
		for who, now := range all() {
			for _, line := range growth(before[who], now) {
				lines = append(lines, who+": "+line)
			}
		}
		if lines == nil {
			return
		}
	}
	t.Errorf("after 100 and 200 lives:\n%s", strings.Join(lines, "\n"))
}
