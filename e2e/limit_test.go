package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/trace/validate"
	"github.com/mome-dsm/mome/impl/wire"
)

func init() { programs["hoard"] = hoard }

// Of hoardPages, half have their home at each node.
const (
	hoardPages = 6144
	hoardLimit = hoardPages * pageSize * 3 / 4
)

// hoard does to pages of a segment what it hears: to all of its pages, or to the
// run that it is told. The segment has a letter behind the test's name.
func hoard(p *program) {
	pages, name := p.number(1), p.arg(0)+p.arg(2)
	s, err := p.OpenOrCreate(p.ctx, name, int64(pages)*pageSize, mome.WithHome(mome.Block))
	check(err)
	w := words(s)
	for p.in.Scan() {
		var verb string
		var version int64
		first, end := 0, pages
		if n, err := fmt.Sscan(p.in.Text(), &verb, &version, &first, &end); n < 2 && err != nil {
			return
		}
		switch verb {
		case "fill":
			fill(w, first, end, version)
		case "verify":
			verify(w, first, end, version)
		case "remove":
			check(p.Remove(p.ctx, name))
		}
		p.say(verb)
	}
}

// A node that has more pages than its memory may hold gives pages up, those
// with stores to their homes, and nothing is lost.
func TestMemoryLimit(t *testing.T) {
	onEach(t, []shape{{nodes: 2, memory: hoardLimit}}, func(t *testing.T, c *cluster) {
		apps := c.team(2, 2, "hoard", hoardPages, "a")
		version := int64(0)
		for range 2 {
			for filler := range apps {
				version++
				apps[filler].tell(fmt.Sprintf("fill %d", version))
				apps[filler].at("fill")
				c.shrinks(filler)
				if held := c.status(filler).Memory.HeldPages; held > hoardPages*3/4 {
					t.Errorf("node %d holds %d pages of %d after it has stored to all", filler, held, hoardPages)
				}
				for _, a := range []int{1 - filler, filler} {
					apps[a].tell(fmt.Sprintf("verify %d", version))
					apps[a].at("verify")
				}
			}
		}
		for i, a := range apps {
			c.shrinks(i)
			a.tell("end")
		}
		allOK(apps)
	})
}

// shrinks waits until the node has no more pages than it may have. The test's
// time bounds the wait.
func (c *cluster) shrinks(node int) {
	for {
		m := c.status(node).Memory
		if m.LimitBytes != uint64(c.shape.memory) {
			c.t.Fatalf("node %d has a limit of %d bytes, want %d", node, m.LimitBytes, c.shape.memory)
		}
		if m.PageBytes <= m.LimitBytes {
			return
		}
		runtime.Gosched()
	}
}

// frames is how many bytes of frames a node has, as the kernel counts them from
// outside: of each of its files once.
func (c *cluster) frames(node int) (bytes uint64) {
	seen := make(map[uint64]bool)
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", c.nodes[node].cmd.Process.Pid))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, fd := range fds {
		var st syscall.Stat_t
		if to, err := os.Readlink(fd); err != nil || !strings.HasPrefix(to, "/memfd:mome") || syscall.Stat(fd, &st) != nil || seen[st.Ino] {
			continue // it may be closed by now
		}
		seen[st.Ino] = true
		bytes += uint64(st.Blocks) * 512
	}
	return bytes
}

// within wants no node to have more frames than its memory may hold, until the
// condition is true.
func (c *cluster) within(what string, cond func() bool) {
	c.until(what, func() bool {
		for i := range c.nodes {
			m := c.status(i).Memory
			if bytes := c.frames(i); m.LimitBytes > 0 && bytes > m.LimitBytes {
				c.t.Fatalf("node %d has %d bytes of frames, and may have %d", i, bytes, m.LimitBytes)
			}
		}
		return cond()
	})
}

// atRest wants each node to say of its memory what the kernel counts, as soon as
// nothing is under way.
func (c *cluster) atRest() {
	for i := range c.nodes {
		var bytes uint64
		var said string
		c.until("a node says what it has", func() bool {
			m := c.status(i).Memory
			bytes, said = c.frames(i), m.String()
			return m.PageBytes == bytes && (m.LimitBytes == 0 || m.ChargedBytes == bytes)
		})
		c.t.Logf("node %d: %d bytes of frames; %s", i, bytes, said)
	}
}

// limited is the nodes with a limit.
func (c *cluster) limited() (nodes []int) {
	for i := range c.nodes {
		if c.status(i).Memory.LimitBytes > 0 {
			nodes = append(nodes, i)
		}
	}
	return nodes
}

// Two nodes of three write more than both may hold. The third takes what has no
// room, none has more than it may at any moment, and nothing is lost.
func TestMemoryElsewhere(t *testing.T) {
	const pages = 6144
	onEach(t, []shape{{nodes: 3, memory: 8 << 20, plenty: true}}, func(t *testing.T, c *cluster) {
		apps := c.team(3, 3, "hoard", pages, "a")
		small := c.limited()
		if len(small) != 2 {
			t.Fatalf("%d nodes have a limit", len(small))
		}
		for i, node := range small {
			apps[node].tell(fmt.Sprintf("fill 1 %d %d", i*pages/2, (i+1)*pages/2))
		}
		for _, node := range small {
			done := make(chan struct{})
			go func() {
				defer close(done)
				apps[node].at("fill")
			}()
			c.within("the pages are written", func() bool {
				select {
				case <-done:
					return true
				default:
					return false
				}
			})
		}
		for _, a := range apps {
			a.tell("verify 1")
			a.at("verify")
		}
		c.atRest()
		for _, a := range apps {
			a.tell("end")
		}
		allOK(apps)
	})
}

// Where no node has room for what is stored, the store waits and the nodes live.
// It goes on when another segment is removed, and nothing is lost.
func TestMemoryNowhere(t *testing.T) {
	const limit, pages, otherPages = 4 << 20, 1400, 1024
	onEach(t, []shape{{nodes: 2, memory: limit}}, func(t *testing.T, c *cluster) {
		other := c.run(1, "hoard", otherPages, "b")
		other.tell("fill 1")
		other.at("fill")
		apps := c.team(2, 2, "hoard", pages, "a")
		apps[0].tell("fill 1")
		c.within("the store waits", func() bool {
			waits, room := uint64(0), uint64(0)
			for i := range c.nodes {
				m := c.status(i).Memory
				waits += m.Waiting
				room += m.LimitBytes - m.ChargedBytes
			}
			return waits > 0 && room == 0
		})
		other.tell("remove 0")
		other.at("remove")
		apps[0].at("fill")
		for _, a := range apps {
			a.tell("verify 1")
			a.at("verify")
		}
		c.atRest()
		for _, a := range append(apps, other) {
			a.tell("end")
		}
		allOK(append(apps, other))
	})
}

// What nodes do that have no room is what the specification says, at nodes
// without processes too.
func TestMemoryTrace(t *testing.T) {
	requireUserfaultfd(t)
	const pages = 320 // of which it has room for 256
	s := shape{nodes: 3, memory: 1 << 20, plenty: true, trace: t.TempDir()}
	if !t.Run("record", func(t *testing.T) {
		c := start(t, wire.TCP, s)
		a := c.run(c.limited()[0], "hoard", pages, "a")
		a.tell("fill 1")
		a.at("fill")
		a.tell("verify 1 0 64")
		a.at("verify")
		a.tell("end")
		a.ok()
	}) {
		return
	}
	for _, kind := range []validate.Kind{validate.Pages, validate.Frames} {
		if v := judgeTrace(t, s.trace, kind); !v.Accepted {
			t.Errorf("%s: %s of %s: %s\n%s", v.Refusal.Event.Where(), v.Refusal.Event.Act, v.Refusal.Object,
				strings.Join(v.Refusal.Reasons, "; "), v.Refusal.State)
		}
	}
}
