package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

func init() {
	programs["integrity"] = integrity
	programs["final"] = integrityFinal
}

const (
	integrityPages   = 96
	integrityStripes = 24
)

// checksum of a page: words 2 and up, and the version in word 1.
func checksum(page []int64) int64 {
	sum := int64(1)
	for _, v := range page[1:] {
		sum = sum*31 + v
	}
	return sum
}

// sound is a checked copy of a page.
func sound(w []int64, page int) []int64 {
	content := slices.Clone(w[page*pageWords : (page+1)*pageWords])
	if content[1] == 0 {
		for i, v := range content {
			if v != 0 {
				fatalf("page %d was never written, but word %d is %#x", page, i, v)
			}
		}
		return content
	}
	if got := checksum(content); got != content[0] {
		fatalf("page %d, version %d: checksum %#x, want %#x", page, content[1], got, content[0])
	}
	return content
}

// integrity takes random pages under their locks, checks them and rewrites some
// of them, a random part each time, with a new checksum. Meanwhile it hands out
// random hints, also for pages that others hold.
func integrity(p *program) {
	s := p.open(integrityPages * pageSize)
	w := words(s)
	seed, err := strconv.ParseUint(p.arg(1), 10, 64)
	check(err)
	ops := p.number(2)
	hints := make(chan [3]int)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for h := range hints {
			off, n := int64(h[1])*pageSize, int64(h[2])*pageSize
			switch h[0] {
			case 0:
				check(s.Drop(p.ctx, off, n))
			case 1:
				check(s.WriteBack(p.ctx, off, n))
			case 2:
				check(s.Prefetch(off, n, false))
			case 3:
				check(s.Prefetch(off, n, true))
			case 4:
				check(s.Prefault(off, n, false))
			}
		}
	}()
	random := rand.New(rand.NewPCG(seed, uint64(p.Rank())))
	writes := 0
	for range ops {
		from := random.IntN(integrityPages)
		select {
		case hints <- [3]int{random.IntN(5), from, 1 + random.IntN(min(8, integrityPages-from))}:
		default:
		}
		page := random.IntN(integrityPages)
		lock := p.Lock(fmt.Sprint(p.arg(0), page%integrityStripes))
		_, err := lock.Acquire(p.ctx)
		check(err)
		content := sound(w, page)
		if random.IntN(4) > 0 {
			lo := 2 + random.IntN(pageWords-2)
			hi := lo + 1 + random.IntN(pageWords-lo)
			for i := lo; i < hi; i++ {
				content[i] = random.Int64()
			}
			content[1]++
			content[0] = checksum(content)
			// What is stored comes from what was read: a stale page loses a
			// version, or fits the rest no more.
			shared := w[page*pageWords : (page+1)*pageWords]
			copy(shared[lo:hi], content[lo:hi])
			copy(shared[:2], content)
			writes++
		}
		check(lock.Release())
	}
	close(hints)
	<-done
	p.say("writes", writes)
}

// integrityFinal checks all pages and says how often they were written.
func integrityFinal(p *program) {
	w := words(p.open(integrityPages * pageSize))
	versions := int64(0)
	for page := range integrityPages {
		versions += sound(w, page)[1]
	}
	p.say("versions", versions)
}

// kept runs integrity on two processes of each node, and demands that no write is
// lost.
func kept(c *cluster, ops int) {
	t := c.t
	t.Helper()
	apps := c.team(c.shape.nodes, 2*c.shape.nodes, "integrity", c.seed, ops)
	want := 0
	for _, a := range apps {
		n, err := strconv.Atoi(a.at("writes")[0])
		if err != nil {
			t.Fatal(err)
		}
		want += n
	}
	allOK(apps)
	for i := range c.nodes {
		if got := c.run(i, "final").at("versions")[0]; got != strconv.Itoa(want) {
			t.Errorf("node %d finds %s writes, want %d", i, got, want)
		}
	}
	c.remove()
}

// Whole pages are read, changed and written by all processes of all nodes,
// while copies are dropped, written back and fetched at random.
func TestIntegrity(t *testing.T) {
	onShared(t, []shape{three, four, eager, brief}, func(t *testing.T, c *cluster) { kept(c, 250) })
}
