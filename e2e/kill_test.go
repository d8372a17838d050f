package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/mome-dsm/mome"
)

func init() {
	programs["journal"] = journal
	programs["audit"] = audit
	programs["store"] = storer
	programs["holder"] = holder
	programs["taker"] = taker
	programs["party"] = party
	programs["forked"] = forked
	programs["early"] = early
	programs["punctual"] = punctual
	programs["late"] = late
}

// The segment of journal: one page of counters, then a page for each rank, in
// which it says how far it is.
const (
	journalCounters = 4
	journalRanks    = 32
	journalSize     = (1 + journalRanks) * pageSize
)

// journal adds to counters. Before each addition it writes down that it will,
// and after it that it has. It goes on until it has done the number of additions
// it was given, or for ever if that is 0.
func journal(p *program) {
	w := words(p.open(journalSize))
	rank, times := p.number(1), p.number(2)
	mine := w[(1+rank)*pageWords:]
	start := atomic.LoadInt64(&mine[0])
	for i := int64(0); times == 0 || i < int64(times); i++ {
		if i%64 == 0 {
			p.say("tick")
		}
		atomic.StoreInt64(&mine[0], start+i+1)
		atomic.AddInt64(&w[i%journalCounters*8], 1)
		atomic.StoreInt64(&mine[1], start+i+1)
		yield()
	}
}

// audit compares the counters with what the ranks wrote down. Each rank that was
// killed, and no other, may have been between its two entries.
func audit(p *program) {
	w := words(p.open(journalSize))
	var sum, will, have int64
	for i := range journalCounters {
		sum += atomic.LoadInt64(&w[i*8])
	}
	open := 0
	for rank := range journalRanks {
		mine := w[(1+rank)*pageWords:]
		will += mine[0]
		have += mine[1]
		if mine[0] != mine[1] {
			open++
		}
	}
	if sum < have || sum > will || open > p.number(1) {
		fatalf("%d additions, but %d were done and %d begun (%d ranks in between)", sum, have, will, open)
	}
	p.say("sum", sum)
}

// Applications are killed at random moments: their nodes, the other processes
// and the data go on as if they had stopped by themselves.
func TestKillApplications(t *testing.T) {
	onShared(t, []shape{three, four}, func(t *testing.T, c *cluster) {
		const victims, times = 6, 1500
		var survivors []*app
		for i := range c.shape.nodes {
			survivors = append(survivors, c.run(i, "journal", i, times))
		}
		for v := range victims {
			victim := c.run(v%c.shape.nodes, "journal", c.shape.nodes+v, 0)
			for range 1 + c.random.IntN(6) {
				victim.at("tick")
			}
			victim.kill()
		}
		allOK(survivors)
		for i := range c.shape.nodes {
			c.run(i, "audit", victims).at("sum")
		}
		c.until("the nodes to let the dead go", func() bool {
			for i := range c.shape.nodes {
				if s := c.segment(i); s.Mappings > 0 {
					return false
				}
			}
			return true
		})
		c.remove()
	})
}

// storer stores version 2 to pages that another node has.
func storer(p *program) {
	w := words(p.open(accessPages * pageSize))
	p.meet("ready")
	fill(w, 0, accessPages, 2)
	p.say("stored")
}

// An application is killed in the middle of a store to a page that has not come
// yet: the page is the node's and right when it comes.
func TestKillInWriteFault(t *testing.T) {
	onEach(t, []shape{{nodes: 2, quiet: true}}, func(t *testing.T, c *cluster) {
		owner := c.run(1, "fill", accessPages)
		owner.at("filled")
		victim := c.run(0, "store")
		victim.at("ready")
		c.pause(1)
		victim.tell("go")
		c.until("a write fault on node 0", func() bool { return c.segment(0).WriteFaults > 0 })
		victim.kill()
		c.until("node 0 to let the dead go", func() bool { return c.segment(0).Mappings == 0 })
		c.resume(1)
		// Another process of that node, then the old owner: nothing is lost.
		next := c.run(0, "sharer")
		next.tell("read")
		next.at("done")
		next.tell("write 2")
		next.at("done")
		owner.tell("verify 2")
		owner.at("verified")
		next.tell("end")
		owner.tell("end")
		allOK([]*app{next, owner})
	})
}

// holder takes the lock and keeps it until it is told to release it.
func holder(p *program) {
	l := p.Lock(p.arg(0))
	_, err := l.Acquire(p.ctx)
	check(err)
	w := words(p.open(pageSize))
	w[0]++
	p.meet("held")
	check(l.Release())
}

// taker takes the lock as often as it is told to, and says how.
func taker(p *program) {
	l := p.Lock(p.arg(0))
	w := words(p.open(pageSize))
	last := uint64(0)
	for p.hear() == "take" {
		_, err := l.TryAcquire(p.ctx)
		expect(err, mome.ErrBusy)
		p.say("waiting")
		fence, err := l.Acquire(p.ctx)
		if fence <= last {
			fatalf("fence %d after %d: %v", fence, last, err)
		}
		last = fence
		p.say("took", err, w[0])
		p.hear()
		check(l.Release())
		expect(l.Release(), mome.ErrNotOwner)
		p.say("released")
	}
}

// The next owner of a lock is told that the last one died, once.
func TestLockOfTheDead(t *testing.T) {
	onShared(t, []shape{two, four}, func(t *testing.T, c *cluster) {
		taker := c.run(c.shape.nodes-1, "taker")
		for round := range 2 * c.shape.nodes {
			node := round % c.shape.nodes
			holder := c.run(node, "holder")
			holder.at("held")
			taker.tell("take")
			taker.at("waiting")
			holder.kill()
			words := taker.at("took")
			if !strings.Contains(strings.Join(words, " "), strings.TrimPrefix(mome.ErrOwnerDied.Error(), "mome: ")) || words[len(words)-1] != strconv.Itoa(2*round+1) {
				t.Errorf("round %d: %v, want ErrOwnerDied and the dead one's store", round, words)
			}
			taker.tell("release")
			taker.at("released")
			// Once it was mended nobody hears of it any more.
			next := c.run(node, "holder")
			next.at("held")
			next.tell("end")
			next.ok()
		}
		taker.tell("end")
		taker.ok()
		c.remove()
	})
}

// forked takes the lock and forks a child, which outlives it.
func forked(p *program) {
	_, err := p.Lock(p.arg(0)).Acquire(p.ctx)
	check(err)
	child, errno := rawFork(nil, true)
	if errno != 0 {
		fatalf("fork: %v", errno)
	}
	p.meet(fmt.Sprint("held ", child))
}

// A process is dead when it is dead, though a child that it has forked has copies
// of its end of the connection.
func TestLockOfADeadParent(t *testing.T) {
	onShared(t, []shape{two}, func(t *testing.T, c *cluster) {
		parent := c.run(0, "forked")
		child, err := strconv.Atoi(parent.at("held")[0])
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = syscall.Kill(child, syscall.SIGKILL) }()
		taker := c.run(1, "taker")
		taker.tell("take")
		taker.at("waiting")
		parent.signal(syscall.SIGKILL)
		if words := taker.at("took"); !strings.Contains(strings.Join(words, " "), strings.TrimPrefix(mome.ErrOwnerDied.Error(), "mome: ")) {
			t.Errorf("%v, want ErrOwnerDied", words)
		}
		taker.tell("release")
		taker.at("released")
		taker.tell("end")
		taker.ok()
		c.remove()
	})
}

// party waits at a barrier until it fails.
func party(p *program) {
	b, err := p.Barrier(p.ctx, p.arg(0), p.Rank(), p.Size())
	check(err)
	w := words(p.open(journalRanks * pageSize))
	for round := 1; ; round++ {
		w[p.Rank()*pageWords] = int64(round)
		if err := b.Wait(p.ctx); err != nil {
			expect(err, mome.ErrPartyDied)
			p.say("died", round)
			break
		}
		for r := range p.Size() {
			if got := atomic.LoadInt64(&w[r*pageWords]); got != int64(round) && got != int64(round)+1 {
				fatalf("after round %d rank %d is in round %d", round, r, got)
			}
		}
		if round%16 == 0 {
			p.say("round", round)
		}
	}
	expect(b.Wait(p.ctx), mome.ErrPartyDied)
	check(b.Close())
}

// The parties of a barrier hear that one of them died, all in one round or the
// next, and can use the name again.
func TestBarrierOfTheDead(t *testing.T) {
	onShared(t, []shape{three, four}, func(t *testing.T, c *cluster) {
		for range 2 {
			ranks := 2 * c.shape.nodes
			apps := c.team(c.shape.nodes, ranks, "party")
			victim := c.random.IntN(ranks)
			for range 1 + c.random.IntN(3) {
				apps[victim].at("round")
			}
			apps[victim].kill()
			low, high := 1<<30, 0
			for i, a := range apps {
				if i == victim {
					continue
				}
				round := 0
				for {
					line := a.line()
					if n, err := fmt.Sscanf(line, "died %d", &round); n == 1 && err == nil {
						break
					}
				}
				low, high = min(low, round), max(high, round)
				a.ok()
			}
			if high > low+1 {
				t.Errorf("the barrier broke in rounds %d to %d", low, high)
			}
		}
		c.remove()
	})
}

// early arrives and leaves at once, punctual joins before and late after that.
func early(p *program) {
	b, err := p.Barrier(p.ctx, p.arg(0), 0, 3)
	check(err)
	check(b.Arrive())
	check(b.Close())
}

func punctual(p *program) {
	b, err := p.Barrier(p.ctx, p.arg(0), 1, 3)
	check(err)
	p.meet("joined")
	check(b.Wait(p.ctx))
	expect(b.Wait(p.ctx), mome.ErrPartyDied)
	check(b.Close())
}

func late(p *program) {
	next, err := p.Barrier(p.ctx, p.arg(0), 0, 3)
	check(err) // the seat was left: this is the next barrier of the name
	b, err := p.Barrier(p.ctx, p.arg(0), 2, 3)
	check(err)
	p.meet("joined")
	check(b.Wait(p.ctx))
	expect(b.Wait(p.ctx), mome.ErrPartyDied)
	check(b.Close())
	check(next.Close())
}

// A party that has arrived and left is not needed in the round: who comes late
// may still come, and the round is over. There is no next one.
func TestBarrierOfTheLate(t *testing.T) {
	onShared(t, []shape{three}, func(t *testing.T, c *cluster) {
		punctual := c.rank(1, 1, 3, "punctual")
		punctual.at("joined")
		c.rank(0, 0, 3, "early").ok()
		late := c.rank(2, 2, 3, "late")
		late.at("joined")
		allTell([]*app{punctual, late}, "go")
		allOK([]*app{punctual, late})
	})
}
