package e2e

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mome-dsm/mome"
)

const togglePages = 4 * 4

func init() { programs["toggle"] = toggle }

// toggle does to single pages what the test says, one thing at a time: a line
// is a verb and the number of a page.
func toggle(p *program) {
	s := p.open(togglePages*pageSize, mome.WithHome(mome.Block))
	w := words(s)
	for {
		var verb string
		var page int64
		if n, err := fmt.Sscan(p.hear(), &verb, &page); n < 1 {
			check(err)
		}
		word := &w[page*pageWords]
		switch verb {
		case "load":
		case "store":
			atomic.AddInt64(word, 1)
		case "writeback":
			check(s.WriteBack(p.ctx, page*pageSize, pageSize))
			p.say("done")
			continue
		case "drop":
			check(s.Drop(p.ctx, page*pageSize, pageSize))
			p.say("done")
			continue
		case "end":
			return
		}
		p.say("saw", atomic.LoadInt64(word))
	}
}

// toggleScript is what happens to a page, in order. The nodes are ranked from
// the page's home on, as the tree ranks them: with four nodes and fan-out 2,
// ranks 2 and 3 have a manager of their own between them and the root.
var toggleScript = []struct {
	rank int
	verb string
}{
	{3, "load"},      // nobody has written the page: zeros
	{3, "store"},     // it has a copy, and gets the right
	{3, "writeback"}, // the page goes home
	{2, "load"},      // from its neighbour's copy, below their manager
	{3, "drop"},      // evicted, and nobody is told
	{2, "drop"},
	{3, "load"},      // their manager asks rank 2 for its copy: a miss, so it climbs
	{0, "store"},     // takes the copy
	{2, "store"},     // takes the page
	{1, "load"},      // rank 2 stays the owner
	{2, "writeback"}, // and need not be it any longer
	{2, "store"},     // takes the copy back
	{2, "drop"},      // written back first
	{0, "load"},
}

// toggled runs the script on a page of each home, and demands that every load
// sees all stores.
func toggled(c *cluster) {
	t, nodes := c.t, c.shape.nodes
	apps := c.team(nodes, nodes, "toggle")
	for page := 0; page < togglePages; page += togglePages / nodes {
		stores := 0
		for _, do := range toggleScript {
			a := apps[(home(page, togglePages, nodes)+do.rank)%nodes]
			a.tell(fmt.Sprint(do.verb, " ", page))
			switch do.verb {
			case "store":
				stores++
				fallthrough
			case "load":
				if saw := a.at("saw")[0]; saw != fmt.Sprint(stores) {
					t.Errorf("%s to %s page %d: it saw %s, want %d", a.title, do.verb, page, saw, stores)
				}
			default:
				a.at("done")
			}
		}
	}
	allTell(apps, "end")
	allOK(apps)
}

// residences are those of the clusters of heldBack, one after the other until one
// is long enough for some commands.
var residences = []time.Duration{250 * time.Millisecond, time.Second, 4 * time.Second, 16 * time.Second}

// heldStep is a command to the program of a rank. The next one follows when the
// program has answered, or when a manager has handled that many messages since
// the script began.
type heldStep struct {
	rank int
	verb string // none: only the message is waited for
	wait
	// turn is the residence within which all this has to happen: the first, or
	// the one that begins when that is over.
	turn time.Duration
}

// wait is for so many Reqs at the manager above the leaf of the rank, or Recalls
// at that manager (above) or at that leaf; zero is for the answer.
type wait struct {
	rank                 int
	reqs, above, recalls uint64
}

// heldScripts have managers meet what comes only while somebody holds a page
// back, or crosses what comes. Ranks are those of toggleScript.
var heldScripts = [][]heldStep{
	{ // A copy is evicted while it is recalled, and asked for again.
		{0, "load", wait{}, 1},
		{1, "store", wait{rank: 0, recalls: 1}, 1},
		{0, "drop", wait{}, 1},
		{0, "load", wait{rank: 0, reqs: 3}, 1},
	},
	{ // A page is written back while it is recalled.
		{0, "store", wait{}, 1},
		{1, "load", wait{rank: 0, recalls: 1}, 1},
		{0, "writeback", wait{rank: 0, reqs: 3}, 1},
	},
	{ // A manager asks its parent, which recalls it meanwhile: rank 1's store waits
		// at the root's node already, rank 2's for what rank 3 asks for.
		{0, "store", wait{}, 1},
		{3, "load", wait{rank: 0, recalls: 1}, 1},
		{1, "store", wait{rank: 0, reqs: 2}, 1},
		{2, "store", wait{rank: 2, reqs: 2}, 1},
		{3, "", wait{rank: 3, recalls: 1}, 2},
		{3, "store", wait{rank: 2, reqs: 3}, 2},
	},
	{ // A manager is recalled while it asks a child.
		{2, "store", wait{}, 1},
		{3, "store", wait{rank: 2, recalls: 1}, 1},
		{0, "store", wait{rank: 2, above: 1}, 1},
	},
	{ // A manager is asked while it is recalled.
		{2, "store", wait{}, 1},
		{0, "store", wait{rank: 2, recalls: 1}, 1},
		{3, "store", wait{rank: 2, reqs: 2}, 1},
	},
}

// heldBack runs the scripts that have ranks for it, each on a page of its own, and
// again where the machine was too slow to do it within the residence. It returns
// false if it was that to the last page.
func heldBack(c *cluster) (inTime bool) {
	apps := c.team(c.shape.nodes, c.shape.nodes, "toggle")
	page := 0
	for _, script := range heldScripts {
		if slices.ContainsFunc(script, func(do heldStep) bool { return do.rank >= len(apps) }) {
			continue
		}
		for inTime = false; !inTime && page < togglePages; page++ {
			inTime = c.hold(apps, page, script)
		}
	}
	allTell(apps, "end")
	allOK(apps)
	return inTime
}

// hold runs a script on a page. It returns false if it was late.
func (c *cluster) hold(apps []*app, page int, script []heldStep) (inTime bool) {
	c.t.Helper()
	of := func(rank int) int { return (home(page, togglePages, len(apps)) + rank) % len(apps) }
	handled := func(w wait) wait {
		above := "root"
		if c.shape.fanout > 0 {
			above = "intermediate 1"
		}
		for _, m := range c.status(of(w.rank)).Managers {
			switch m.Level {
			case above:
				w.reqs, w.above = m.Requests, m.Recalls
			case "leaf":
				w.recalls = m.Recalls
			}
		}
		return w
	}
	before := make([]wait, len(script))
	for i, do := range script {
		before[i] = handled(wait{rank: do.wait.rank})
	}
	begun, answers, stores := time.Now(), make([]int, len(apps)), 0
	inTime = true
	for i, do := range script {
		a := apps[of(do.rank)]
		if do.verb == "store" {
			stores++
		}
		if do.verb != "" {
			a.tell(fmt.Sprint(do.verb, " ", page))
			answers[of(do.rank)]++
		}
		if do.wait == (wait{}) {
			a.line()
			answers[of(do.rank)]--
		} else {
			c.until(fmt.Sprintf("command %d of page %d", i, page), func() bool {
				now := handled(wait{rank: do.wait.rank})
				return now.reqs >= before[i].reqs+do.reqs && now.above >= before[i].above+do.above && now.recalls >= before[i].recalls+do.recalls
			})
		}
		inTime = inTime && time.Since(begun) < do.turn*c.shape.residence
	}
	for i, n := range answers {
		for range n {
			apps[i].line()
		}
	}
	last := apps[of(0)]
	last.tell(fmt.Sprint("load ", page))
	if saw := last.at("saw")[0]; saw != fmt.Sprint(stores) {
		c.t.Errorf("page %d: %s stores were seen, want %d", page, saw, stores)
	}
	return inTime
}
