package e2e

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/mome-dsm/mome"
)

func init() { programs["hoard"] = hoard }

// Of hoardPages, half have their home at each node.
const (
	hoardPages = 6144
	hoardLimit = hoardPages * pageSize * 3 / 4
)

// hoard does to all pages of a segment what it hears.
func hoard(p *program) {
	w := words(p.open(hoardPages*pageSize, mome.WithHome(mome.Block)))
	for p.in.Scan() {
		var verb string
		var version int64
		if _, err := fmt.Sscan(p.in.Text(), &verb, &version); err != nil {
			return
		}
		switch verb {
		case "fill":
			fill(w, 0, hoardPages, version)
		case "verify":
			verify(w, 0, hoardPages, version)
		}
		p.say(verb)
	}
}

// A node that has more pages than its memory may hold gives pages up, those
// with stores to their homes, and nothing is lost.
func TestMemoryLimit(t *testing.T) {
	onEach(t, []shape{{nodes: 2, memory: hoardLimit}}, func(t *testing.T, c *cluster) {
		apps := c.team(2, 2, "hoard")
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
