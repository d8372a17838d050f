package e2e

import (
	"strconv"
	"sync/atomic"
	"testing"
)

func init() {
	programs["counter"] = counter
	programs["sum"] = func(p *program) { p.say("sum", atomic.LoadInt64(&words(p.open(pageSize))[0])) }
}

// counterParts: so often the processes of counter begin together.
const counterParts = 5

// counter adds to one word of one page as often as it is told to, and says how
// often somebody else had added in between. However few processors there are,
// none is done before the others have begun: they meet now and then.
func counter(p *program) {
	w := &words(p.open(pageSize))[0]
	times := p.number(2)
	lock := p.Lock(p.arg(0))
	barrier, err := p.Barrier(p.ctx, p.arg(0), p.Rank(), p.Size())
	check(err)
	p.meet("ready")
	turns, last := 0, int64(0)
	for i := range times {
		if i%(times/counterParts) == 0 {
			check(barrier.Wait(p.ctx))
		}
		if i%50 == 0 {
			yield()
		}
		var got int64
		switch p.arg(1) {
		case "add":
			got = atomic.AddInt64(w, 1)
		case "cas":
			for {
				got = atomic.LoadInt64(w) + 1
				if atomic.CompareAndSwapInt64(w, got-1, got) {
					break
				}
			}
		case "lock":
			_, err := lock.Acquire(p.ctx)
			check(err)
			*w++
			got = *w
			check(lock.Release())
		}
		if got != last+1 {
			turns++
		}
		last = got
	}
	p.say("turns", turns)
	check(barrier.Close())
}

// Processes of all nodes increment one word: nothing is lost.
func TestCounter(t *testing.T) {
	for _, way := range []struct {
		name  string
		times int
	}{{"add", 50_000}, {"cas", 50_000}, {"lock", 100}} {
		t.Run(way.name, func(t *testing.T) {
			onShared(t, []shape{two, three, four}, func(t *testing.T, c *cluster) {
				ranks := 2 * c.shape.nodes
				apps := c.team(c.shape.nodes, ranks, "counter", way.name, way.times)
				allAt(apps, "ready")
				allTell(apps, "go")
				turns := 0
				for _, a := range apps {
					n, err := strconv.Atoi(a.at("turns")[0])
					if err != nil {
						t.Fatal(err)
					}
					turns += n
				}
				allOK(apps)
				got := c.run(0, "sum").at("sum")[0]
				if want := strconv.Itoa(ranks * way.times); got != want {
					t.Errorf("%s increments, want %s", got, want)
				}
				if turns < 2*ranks {
					t.Errorf("%d turns: the processes did not run at the same time", turns)
				}
				t.Logf("%d turns of %d processes", turns, ranks)
				c.remove()
			})
		})
	}
}
