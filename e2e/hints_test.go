package e2e

import (
	"runtime"
	"testing"

	"github.com/mome-dsm/mome"
)

func init() {
	programs["hints"] = hints
	programs["refill"] = refill
}

// refill stores the version that it hears to all pages, or checks it.
func refill(p *program) {
	w := words(p.open(accessPages*pageSize, mome.WithHome(mome.Block)))
	for {
		switch p.hear() {
		case "fill":
			fill(w, 0, accessPages, 1)
		case "verify 2":
			verify(w, 0, accessPages, 2)
		case "verify 3":
			verify(w, 0, accessPages, 3)
		case "wait":
			b, err := p.Barrier(p.ctx, "hints", 1, 2)
			check(err)
			p.say("done")
			check(b.Wait(p.ctx))
			check(b.Close())
			continue
		case "end":
			return
		}
		p.say("done")
	}
}

// hints tries Prefault, Prefetch, ArrivePrefetch, WriteBack and Drop. The test has the peer do
// what this program asks for.
func hints(p *program) {
	const pages = accessPages
	s := p.open(pages*pageSize, mome.WithHome(mome.Block))
	w := words(s)
	faults := func() uint64 { return p.stat("read_faults", "write_faults", "upgrades") }
	none := func(what string, before uint64) {
		if now := faults(); now != before {
			fatalf("%s: %d faults", what, now-before)
		}
	}

	p.meet("fill")
	check(s.Prefault(0, s.Size(), false))
	before := faults()
	verify(w, 0, pages, 1)
	none("loads after Prefault", before)

	p.meet("fill")
	check(s.Prefault(100, s.Size()-200, true))
	before = faults()
	verify(w, 0, pages, 1)
	fill(w, 0, pages, 2)
	none("stores after Prefault for stores", before)
	p.meet("verify 2")

	// The counter of a page that came in is the last thing but one: when the
	// node answers the next request, the page is mapped.
	arrived := func(in uint64) {
		for p.stat("pages_in") < in+pages {
			runtime.Gosched()
		}
		p.stat("pages_in")
	}
	p.meet("fill")
	before, in, asked := faults(), p.stat("pages_in"), p.stat("prefetched")
	check(s.Prefetch(0, s.Size(), false))
	arrived(in)
	verify(w, 0, pages, 1)
	none("loads after Prefetch", before)
	if n := p.stat("prefetched") - asked; n != pages {
		fatalf("%d pages were prefetched, want %d", n, pages)
	}

	p.meet("fill")
	p.meet("wait")
	b, err := p.Barrier(p.ctx, "hints", 0, 2)
	check(err)
	expect(b.ArrivePrefetch(s, mome.Hint{Offset: 0, Length: s.Size() + 1}), mome.ErrInvalid)
	before, in, asked = faults(), p.stat("pages_in"), p.stat("prefetched")
	check(b.ArrivePrefetch(s, mome.Hint{Length: s.Size() / 2}, mome.Hint{Offset: s.Size() / 2, Length: s.Size() - s.Size()/2}))
	expect(b.Arrive(), mome.ErrInvalid) // twice in a round
	check(b.Wait(p.ctx))
	check(b.Close())
	arrived(in)
	verify(w, 0, pages, 1)
	none("loads behind a barrier with hints", before)
	if n := p.stat("prefetched") - asked; n != pages {
		fatalf("%d pages were prefetched behind a barrier, want %d", n, pages)
	}

	p.meet("fill")
	before, in = faults(), p.stat("pages_in")
	check(s.Prefetch(0, s.Size(), true))
	arrived(in)
	verify(w, 0, pages, 1)
	fill(w, 0, pages, 2)
	none("stores after Prefetch for stores", before)
	p.meet("verify 2")

	// Written back, the pages of this node's peer come from its own home.
	fill(w, 0, pages, 3)
	check(s.WriteBack(p.ctx, 0, s.Size()))
	before = faults()
	verify(w, 0, pages, 3)
	none("loads after WriteBack: the copies stay", before)
	out := p.stat("pages_out")
	homes := 0 // pages whose home is this node: it has to send them
	for page := range pages {
		if home(page, pages, 2) == p.ID() {
			homes++
		}
	}
	p.meet("verify 3")
	if n := p.stat("pages_out") - out; n != uint64(homes) {
		fatalf("%d pages were sent after WriteBack; %d have their home here", n, homes)
	}

	fill(w, 0, pages, 2)
	check(s.Drop(p.ctx, 0, s.Size()))
	before, in = faults(), p.stat("pages_in")
	verify(w, 0, pages, 2)
	if faults() == before {
		fatalf("the pages were still there after Drop")
	}
	if n := p.stat("pages_in") - in; n != uint64(pages-homes) {
		fatalf("%d pages came back after Drop; %d have their home at the other node", n, pages-homes)
	}
	p.meet("verify 2")

	// Of clean copies nothing needs to be written.
	verify(w, 0, pages, 2)
	out = p.stat("pages_out")
	check(s.Drop(p.ctx, 0, s.Size()))
	if n := p.stat("pages_out") - out; n > uint64(pages) {
		fatalf("%d pages were sent for Drop of clean copies", n)
	}
	verify(w, 0, pages, 2)

	// More than a message holds.
	many := make([]mome.Hint, 4000)
	for i := range many {
		many[i] = mome.Hint{Offset: int64(i%pages) * pageSize, Length: 1}
	}
	check(s.PrefetchAll(many...))
	b, err = p.Barrier(p.ctx, "many hints", 0, 1)
	check(err)
	check(b.ArrivePrefetch(s, many...))
	check(b.Wait(p.ctx))
	check(b.Close())
	verify(w, 0, pages, 2)

	expect(s.Prefault(-1, 10, false), mome.ErrInvalid)
	expect(s.Prefetch(0, s.Size()+1, false), mome.ErrInvalid)
	expect(s.WriteBack(p.ctx, s.Size(), 1), mome.ErrInvalid)
	p.say("end")
}

// Prefault, Prefetch, ArrivePrefetch, WriteBack and Drop do what they say, and the data stays
// right.
func TestHints(t *testing.T) {
	onEach(t, []shape{{nodes: 2, quiet: true}}, func(t *testing.T, c *cluster) {
		a, peer := c.rank(0, 0, 2, "hints"), c.rank(1, 1, 2, "refill")
		for {
			what := a.line()
			peer.tell(what)
			if what == "end" {
				break
			}
			peer.at("done")
			a.tell("go on")
		}
		allOK([]*app{a, peer})
	})
}
