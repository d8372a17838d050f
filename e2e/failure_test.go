package e2e

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func init() {
	programs["watch"] = watch
	programs["stuck"] = stuck
}

const watchPages = 12 // per rank

// watch stores growing versions to the pages of its rank, from the first word
// to the last, and reads those of all ranks from the last word to the first. So
// the versions that it sees never go back within a page, nor by more than one
// from one reading to the next. It does so until it is ended.
func watch(p *program) {
	ranks := p.Size()
	w := words(p.open(int64(ranks) * watchPages * pageSize))
	own := p.Rank() * watchPages
	at := func(page, word int) *int64 { return &w[page*pageWords+word] }
	write := func(page int, version int64) {
		for i := range pageWords {
			atomic.StoreInt64(at(page, i), tagged(page, i, version))
		}
	}
	for i := range watchPages {
		write(own+i, 1)
	}
	p.meet("ready")
	go func() {
		for version := int64(2); ; version++ {
			for i := range watchPages {
				write(own+i, version)
				runtime.Gosched()
			}
		}
	}()
	first := make([]int64, ranks*watchPages) // what the first word of each page was last
	for round := 0; ; round++ {
		for page := range first {
			// The writer is at most one version ahead with its first word.
			last := first[page] - 1
			for i := pageWords - 1; i >= 0; i-- {
				got := atomic.LoadInt64(at(page, i))
				version := got & 0xFFFFFFFF
				if version == 0 || got != tagged(page, i, version) || version < last {
					p.say("BAD", fmt.Sprintf("page %d word %d is %#x after version %d", page, i, got, last))
					p.hear()
				}
				last = version
			}
			first[page] = last
			runtime.Gosched()
		}
		p.say("tick", round)
	}
}

// stuck copies pages that do not come, while the garbage collector wants to
// run.
func stuck(p *program) {
	w := words(p.open(accessPages * pageSize))
	go func() {
		for {
			runtime.GC()
		}
	}()
	p.meet("ready")
	got := make([]int64, len(w))
	copy(got, w)
	verify(got, 0, accessPages, 1)
	p.say("copied")
	p.hear()
}

// frail gives its peers up soon.
var frail = shape{nodes: 3, repair: 4 * time.Second}

// survivors checks that every other node ends and says why.
func (c *cluster) survivors(victim int) {
	c.t.Helper()
	for i, n := range c.nodes {
		if i == victim {
			continue
		}
		line, _ := n.next()
		if !strings.HasPrefix(line, "ended ") || !strings.Contains(line, "node ") {
			c.t.Errorf("node %d says %q (%s), want why the cluster cannot go on", i, line, n.outcome())
		}
		if out := n.outcome(); out != "exit status 1" {
			c.t.Errorf("node %d ends with %s, want exit status 1", i, out)
		}
	}
}

// gone checks how an application ended whose node has failed.
func (a *app) gone() {
	a.c.t.Helper()
	for _, line := range a.rest() {
		if !strings.HasPrefix(line, "tick") {
			a.c.t.Errorf("%s says %q", a.title, line)
		}
	}
	switch out := a.outcome(); {
	case out == "signal: killed":
	case out == "exit status 1" && strings.Contains(a.log.String(), "mome: "):
	default:
		a.c.t.Errorf("%s: %s with %q, want to be killed, or status 1 and the reason", a.title, out, a.log.String())
	}
}

// A node is killed at a random moment under load: the others end in time and
// say why, every application ends, and nobody reads anything wrong until then.
func TestKillNode(t *testing.T) {
	onEach(t, []shape{frail}, func(t *testing.T, c *cluster) {
		victim := c.random.IntN(c.shape.nodes)
		apps := c.team(c.shape.nodes, 2*c.shape.nodes, "watch")
		allAt(apps, "ready")
		allTell(apps, "go")
		for range 1 + c.random.IntN(4) {
			apps[c.random.IntN(len(apps))].at("tick")
		}
		c.nodes[victim].kill()
		c.survivors(victim)
		for _, a := range apps {
			a.gone()
		}
	})
}

// A node dies while an application of another one waits inside copy for a page
// of it, with a collection pending: no goroutine of the application can run,
// and it ends all the same.
func TestKillNodeUnderCopy(t *testing.T) {
	onEach(t, []shape{frail}, func(t *testing.T, c *cluster) {
		victim := c.random.IntN(c.shape.nodes)
		waits := (victim + 1) % c.shape.nodes
		owner := c.run(victim, "fill", accessPages)
		owner.at("filled")
		stuck := c.run(waits, "stuck")
		idle := c.run((victim+2)%c.shape.nodes, "sharer")
		stuck.at("ready")
		c.pause(victim)
		stuck.tell("go")
		c.until("a read fault", func() bool { return c.segment(waits).ReadFaults > 0 })
		c.nodes[victim].kill()
		c.survivors(victim)
		stuck.gone()
		idle.gone()
		owner.gone()
	})
}

// A node that is stopped in order while applications run ends the cluster, too.
func TestStopNode(t *testing.T) {
	onEach(t, []shape{frail}, func(t *testing.T, c *cluster) {
		victim := c.random.IntN(c.shape.nodes)
		apps := c.team(c.shape.nodes, c.shape.nodes, "watch")
		allAt(apps, "ready")
		allTell(apps, "go")
		apps[0].at("tick")
		c.nodes[victim].stdin.Close()
		if out := c.nodes[victim].outcome(); out != "exit status 0" {
			t.Errorf("node %d was stopped and ends with %s", victim, out)
		}
		c.survivors(victim)
		for _, a := range apps {
			a.gone()
		}
	})
}

// Connections between living nodes break again and again, with whatever is in
// them, and nobody notices.
func TestBrokenConnections(t *testing.T) {
	onEach(t, []shape{{nodes: 3, proxy: true}}, func(t *testing.T, c *cluster) {
		const times = 1500
		var apps []*app
		for i := range 2 * c.shape.nodes {
			apps = append(apps, c.run(i%c.shape.nodes, "journal", i, times))
		}
		cuts := 0
		for {
			line, ok := apps[0].next()
			if !ok {
				break
			}
			if line == "tick" {
				c.proxies[c.random.IntN(len(c.proxies))].cut()
				cuts++
			}
		}
		allOK(apps)
		sum := c.run(1, "audit", 0).at("sum")[0]
		if want := strconv.Itoa(len(apps) * times); sum != want {
			t.Errorf("%s additions, want %s", sum, want)
		}
		connections := uint64(0)
		for i := range c.nodes {
			for _, l := range c.status(i).Links {
				connections += l.Connections - 1
			}
		}
		if connections == 0 {
			t.Errorf("no connection was repaired in %d cuts", cuts)
		}
		t.Logf("%d cuts, %d repairs (each counted at both ends)", cuts, connections)
	})
}

// Two clusters on one machine have nothing to do with each other, though their
// segments have the same names and addresses.
func TestTwoClusters(t *testing.T) {
	requireUserfaultfd(t)
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			a, b := start(t, transport, two), start(t, transport, frail)
			const times = 500
			count := func(c *cluster, n int) {
				t.Helper()
				var apps []*app
				for i := range c.shape.nodes {
					apps = append(apps, c.run(i, "journal", i, n))
				}
				allOK(apps)
			}
			total := func(c *cluster, want int) {
				t.Helper()
				if sum := c.run(1, "audit", 0).at("sum")[0]; sum != strconv.Itoa(want) {
					t.Errorf("%s additions, want %d", sum, want)
				}
			}
			count(a, times)
			other := b.run(0, "journal", 0, 0)
			other.at("tick")
			count(a, times)
			total(a, 2*2*times)
			b.nodes[1].kill()
			b.survivors(1)
			other.gone()
			count(a, times)
			total(a, 3*2*times)
		})
	}
}
