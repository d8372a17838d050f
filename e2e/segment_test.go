package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mome-dsm/mome"
)

var touches = flag.Int("touches", 200_000, "random pages of the 16 TiB segment that are touched")

func init() {
	programs["segments"] = segmentsProgram
	programs["victim"] = victimProgram
	programs["remover"] = remover
	programs["vast"] = vast
	programs["prefault"] = prefault
	programs["again"] = again
}

// segmentsProgram goes through the life of segments as one rank sees it.
func segmentsProgram(p *program) {
	name := p.arg(0)
	_, err := p.Open(p.ctx, name)
	expect(err, mome.ErrNotFound)
	expect(p.Remove(p.ctx, name), mome.ErrNotFound)
	s, err := p.Create(p.ctx, name, 3*pageSize+1)
	check(err)
	_, err = p.Create(p.ctx, name, pageSize)
	expect(err, mome.ErrExists)
	_, err = p.OpenOrCreate(p.ctx, name, 100*pageSize)
	expect(err, mome.ErrBadSize)
	_, err = p.Create(p.ctx, name+"-2", -1)
	expect(err, mome.ErrBadSize)
	_, err = p.Create(p.ctx, "", pageSize)
	expect(err, mome.ErrInvalid)
	second, err := p.Create(p.ctx, name+"-2", pageSize, mome.WithHome(mome.Block))
	check(err)
	if second.Addr() < s.Addr()+uintptr(s.Size()) && s.Addr() < second.Addr()+uintptr(second.Size()) {
		fatalf("two segments overlap: %#x and %#x", s.Addr(), second.Addr())
	}
	list, err := p.Segments(p.ctx)
	check(err)
	found := 0
	for _, i := range list {
		if i.Name == name && i.Addr == s.Addr() || i.Name == name+"-2" && i.Addr == second.Addr() {
			found++
		}
	}
	if found != 2 {
		fatalf("the list %v does not have both segments", list)
	}
	words(second)[0] = 7
	check(second.Close())
	if second, err = p.Open(p.ctx, name+"-2"); err != nil || words(second)[0] != 7 {
		fatalf("mapped again: %v", err)
	}
	check(p.Remove(p.ctx, name))
	check(p.Remove(p.ctx, name+"-2"))
	_, err = p.Open(p.ctx, name)
	expect(err, mome.ErrNotFound)
}

func TestSegments(t *testing.T) {
	onShared(t, []shape{two, four}, func(t *testing.T, c *cluster) {
		c.run(0, "segments").ok()
		c.run(1, "segments").ok()
	})
}

const victimPages = 32

// faulted is the recovered panic of an access that got SIGBUS.
func faulted(access func()) (addr uintptr, ok bool) {
	defer func() {
		if e, isFault := recover().(interface{ Addr() uintptr }); isFault {
			addr, ok = e.Addr(), true
		}
	}()
	access()
	return 0, false
}

// add is without an atomic operation: the race detector's own code makes that,
// and Go cannot turn a bus error there into a panic. A victim's words are its
// alone.
//
//go:norace
//go:noinline
func add(word *int64, n int64) int64 {
	*word += n
	return *word
}

// victimProgram uses a segment until it is taken away under it, then the next
// one of that name, and so on.
func victimProgram(p *program) {
	debug.SetPanicOnFault(true)
	lives := p.number(1)
	var first uintptr
	for life := 1; life <= lives; life++ {
		s := p.open(victimPages * pageSize)
		w := words(s)
		if first == 0 {
			first = s.Addr()
		}
		if s.Addr() != first {
			fatalf("life %d is at %#x, not at %#x", life, s.Addr(), first)
		}
		p.say("mapped")
		var at uintptr
		for ok := false; !ok; {
			at, ok = faulted(func() {
				for i := 0; ; i++ {
					page := i % victimPages
					word := &w[page*pageWords+8*p.Rank()]
					// A count, and as often the number of this life.
					if got := add(word, int64(life)<<32+1); got>>32 != int64(life)*(got&0xFFFFFFFF) {
						fatalf("life %d finds %#x", life, got)
					}
				}
			})
			if ok && (at < s.Addr() || at >= s.Addr()+uintptr(s.Size())) {
				fatalf("a fault at %#x, which is not in the segment", at)
			}
		}
		// The node may have poisoned the page before its news has arrived here.
		for {
			err := s.Prefetch(0, pageSize, false)
			if err != nil {
				expect(err, mome.ErrRemoved)
				break
			}
			yield()
		}
		expect(s.WriteBack(p.ctx, 0, pageSize), mome.ErrRemoved)
		expect(s.Drop(p.ctx, 0, pageSize), mome.ErrRemoved)
		if _, ok := faulted(func() { w[pageWords*(victimPages-1)] = 1 }); !ok {
			fatalf("a store to a removed segment went well")
		}
		check(s.Close())
		p.say("bus error")
		p.hear()
	}
}

// remover removes the segment when it is told to, and checks that the next one
// of its name is fresh.
func remover(p *program) {
	for p.hear() == "remove" {
		check(p.Remove(p.ctx, p.arg(0)))
		p.say("removed")
		p.hear()
		s, err := p.Create(p.ctx, p.arg(0), victimPages*pageSize)
		check(err)
		for i, v := range s.Bytes() {
			if v != 0 {
				fatalf("byte %d of a fresh segment is %d", i, v)
			}
		}
		check(s.Close())
		p.say("created")
	}
}

// A segment is removed while processes of all nodes load and store: each gets a
// bus error, and the next segment of that name is fresh, in the same place.
func TestRemoveUnderTraffic(t *testing.T) {
	onEach(t, []shape{two, four}, func(t *testing.T, c *cluster) {
		const lives = 3
		rem := c.run(0, "remover")
		apps := c.team(c.shape.nodes, c.shape.nodes, "victim", lives)
		for life := range lives {
			allAt(apps, "mapped")
			before := c.segment(0).Recalls
			c.until("traffic", func() bool { return c.segment(0).Recalls > before+10 })
			rem.tell("remove")
			rem.at("removed")
			allAt(apps, "bus")
			if life < lives-1 {
				rem.tell("create")
				rem.at("created")
			}
			allTell(apps, "next")
		}
		allOK(apps)
	})
}

// prefault asks for a page that does not come.
func prefault(p *program) {
	s := p.open(accessPages * pageSize)
	p.meet("ready")
	expect(s.Prefault(0, pageSize, false), mome.ErrRemoved)
	check(s.Close())
	p.say("removed")
}

// A segment is removed while a program waits in Prefault: it hears that, and not
// that data was lost.
func TestRemoveUnderPrefault(t *testing.T) {
	onEach(t, []shape{{nodes: 2, quiet: true}}, func(t *testing.T, c *cluster) {
		owner := c.run(1, "fill", accessPages)
		owner.at("filled")
		a := c.run(0, "prefault")
		a.at("ready")
		c.pause(1)
		a.tell("go")
		c.until("a read fault", func() bool { return c.segment(0).ReadFaults > 0 })
		c.remove()
		a.at("removed")
		a.ok()
		c.resume(1)
		owner.kill()
	})
}

// again gives a segment a second life while it has the first one mapped.
func again(p *program) {
	name := p.arg(0)
	s := p.open(pageSize)
	words(s)[0] = 7
	check(p.Remove(p.ctx, name))
	_, err := p.Create(p.ctx, name, pageSize)
	expect(err, mome.ErrBaseTaken)
	p.say("error", err)
	check(s.Close())
	s, err = p.Open(p.ctx, name)
	check(err)
	if v := words(s)[0]; v != 0 {
		fatalf("the second life begins with %d", v)
	}
	_, err = mome.Connect(p.ctx)
	expect(err, mome.ErrInvalid)
}

// The next life of a segment lies where the last one is still mapped: the error
// says which is to be closed, and that the segment exists.
func TestNextLife(t *testing.T) {
	onShared(t, []shape{two}, func(t *testing.T, c *cluster) {
		a := c.run(0, "again")
		said := strings.Join(a.at("error"), " ")
		for _, part := range []string{strconv.Quote(c.name()) + " (removed) is still mapped at 0x", "close it first", "in the cluster all the same"} {
			if !strings.Contains(said, part) {
				t.Errorf("Create says %q, which lacks %q", said, part)
			}
		}
		a.ok()
		c.remove()
	})
}

// vast maps all of the global space, and stores to or checks random pages, the
// first and the last among them.
func vast(p *program) {
	seed, err := strconv.ParseUint(p.arg(2), 10, 64)
	check(err)
	random := rand.New(rand.NewPCG(seed, 1))
	s := p.open(16 << 40)
	w := words(s)
	for i := range p.number(1) {
		page := random.Int64N(1 << 32)
		switch i {
		case 0:
			page = 0
		case 1:
			page = 1<<32 - 1
		}
		word := &w[page*pageWords+page%pageWords]
		if p.arg(3) == "store" {
			atomic.StoreInt64(word, page+1)
		} else if got := atomic.LoadInt64(word); got != page+1 {
			fatalf("page %d is %d", page, got)
		}
	}
}

// The whole global space is one segment.
func TestVastSegment(t *testing.T) {
	onEach(t, []shape{two}, func(t *testing.T, c *cluster) {
		baseline := []uint64{c.status(0).Memory.HeapBytes, c.status(1).Memory.HeapBytes}
		c.run(0, "vast", *touches, c.seed, "store").ok()
		c.run(1, "vast", *touches, c.seed, "load").ok()
		for i := range c.nodes {
			m := c.status(i).Memory
			t.Logf("node %d: heap %d bytes (%d before), %d pages held, %d managed: %s bytes for each page touched", i, m.HeapBytes,
				baseline[i], m.HeldPages, m.ManagedPages, fmt.Sprintf("%.0f", (float64(m.HeapBytes)-float64(baseline[i]))/float64(*touches)))
			if m.HeldPages < uint64(*touches)*99/100 {
				t.Errorf("node %d holds %d pages after %d were touched", i, m.HeldPages, *touches)
			}
		}
		c.remove()
	})
}
