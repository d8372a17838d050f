package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"time"
)

// Case is one thing that is measured.
type Case struct {
	Name  string
	Unit  string
	Floor string // the round trips of its floor
	Help  string

	cluster, floor side
}

// side makes one block of a case and returns its samples, in the case's unit,
// and how many operations they are about.
type side func(context.Context, *bed, *plan) (samples []float64, n uint64, err error)

// plan is how much a run measures.
type plan struct {
	blocks int
	ops    int           // in a block
	scan   int64         // bytes
	time   time.Duration // of a block of cas
	fresh  int64         // the next page that nobody has used
	rand   *rand.Rand
}

func newPlan(quick bool) *plan {
	p := &plan{blocks: 16, ops: 256, scan: 64 << 20, time: 200 * time.Millisecond,
		fresh: regionFresh / pageSize, rand: rand.New(rand.NewPCG(1, 2))}
	if quick {
		p.blocks, p.ops, p.scan, p.time = 4, 64, 16<<20, 50*time.Millisecond
	}
	return p
}

func (p *plan) shuffled(offsets []int64) []int64 {
	p.rand.Shuffle(len(offsets), func(i, j int) { offsets[i], offsets[j] = offsets[j], offsets[i] })
	return offsets
}

// Cases are all cases whose name the pattern matches, in the order in which
// they are measured. A nil pattern matches all.
func Cases(pattern *regexp.Regexp) []Case {
	var all []Case
	for _, threads := range []int{1, 4, 16} {
		all = append(all, faultCase("read-fault", threads, false,
			"load from a page that another node, its home, has written"))
	}
	for _, threads := range []int{1, 4, 16} {
		all = append(all, faultCase("write-fault", threads, true,
			"store to a page that another node, its home, has written"))
	}
	all = append(all, upgradeCase, invalidateCase, localCase, scanCase, lockCase, barrierCase, casCase, alternateCase)
	var out []Case
	for _, c := range all {
		if pattern == nil || pattern.MatchString(c.Name) {
			out = append(out, c)
		}
	}
	return out
}

// remote are pages whose home is node 1, in random order.
func (p *plan) remote(b *bed) []int64 {
	return p.shuffled(pageOffsets(regionPages/pageSize, p.ops, func(page int64) bool { return b.home(page) == 1 }))
}

// touches has processes touch the pages one after the other, untimed.
func touches(ctx context.Context, offsets []int64, write bool, by ...*process) error {
	for _, p := range by {
		if _, err := p.order(ctx, order{Op: "touch", Offsets: offsets, Write: write}); err != nil {
			return err
		}
	}
	return nil
}

// orders is the timed part of a block of the cluster: orders to the applications
// of nodes 0, 1 and so on, at once.
func (b *bed) orders(ctx context.Context, all ...order) (reports []*report, err error) {
	err = b.metered(func() error {
		waits := make([]func(context.Context) (*report, error), len(all))
		for i := len(all) - 1; i >= 0; i-- {
			waits[i] = b.apps[i].begin(all[i])
		}
		for _, wait := range waits {
			r, err := wait(ctx)
			if err != nil {
				return err
			}
			reports = append(reports, r)
		}
		return nil
	})
	return reports, err
}

// timed is a touch by node 0 that counts.
func (b *bed) timed(ctx context.Context, o order) ([]float64, uint64, error) {
	o.Op = "touch"
	r, err := b.orders(ctx, o)
	if err != nil {
		return nil, 0, err
	}
	return micros(r[0].Samples, r[0].Clock), r[0].Faults, nil
}

// floorOrder is the timed part of a block of the floor.
func (b *bed) floorOrder(ctx context.Context, p *process, o order) (r *report, err error) {
	err = b.floorMetered(func() error {
		r, err = p.order(ctx, o)
		return err
	})
	return r, err
}

// floorFaults is a block of faults of the floor.
func floorFaults(ctx context.Context, b *bed, p *plan, f fill, reply int, write bool, threads int) ([]float64, uint64, error) {
	if _, err := b.near.order(ctx, order{Op: "prepare", Fill: f, Reply: reply}); err != nil {
		return nil, 0, err
	}
	offsets := p.shuffled(pageOffsets(0, p.ops, func(int64) bool { return true }))
	r, err := b.floorOrder(ctx, b.app, order{Op: "touch", Offsets: offsets, Write: write, Threads: threads})
	if err != nil {
		return nil, 0, err
	}
	return micros(r.Samples, r.Clock), uint64(len(r.Samples)), nil
}

func faultCase(name string, threads int, write bool, help string) Case {
	return Case{
		Name: fmt.Sprintf("%s/threads=%d", name, threads), Unit: Microseconds,
		Floor: "1 uffd + 1 tcp",
		Help:  fmt.Sprintf("%s; random order, threads: %d", help, threads),
		cluster: func(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) {
			pages := p.remote(b)
			if err := touches(ctx, pages, true, b.apps[1]); err != nil {
				return nil, 0, err
			}
			return b.timed(ctx, order{Offsets: p.shuffled(pages), Write: write, Threads: threads})
		},
		floor: func(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) {
			return floorFaults(ctx, b, p, fillCopy, pageSize, write, threads)
		},
	}
}

var upgradeCase = Case{
	Name: "upgrade", Unit: Microseconds, Floor: "1 uffd + 1 tcp, no page",
	Help: "store to a read copy; the other node, the page's home, owns the page and has a copy",
	cluster: func(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) {
		pages := p.remote(b)
		if err := touches(ctx, pages, true, b.apps[1]); err != nil {
			return nil, 0, err
		}
		if err := touches(ctx, pages, false, b.apps[0]); err != nil {
			return nil, 0, err
		}
		return b.timed(ctx, order{Offsets: p.shuffled(pages), Write: true})
	},
	floor: floorUpgrade,
}

var invalidateCase = Case{
	Name: "invalidate", Unit: Microseconds, Floor: "1 uffd + 1 tcp, no page",
	Help: "store by the page's owner while the other node, the page's home, has a read copy",
	cluster: func(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) {
		pages := p.remote(b)
		if err := touches(ctx, pages, true, b.apps[0]); err != nil {
			return nil, 0, err
		}
		if err := touches(ctx, pages, false, b.apps[1]); err != nil {
			return nil, 0, err
		}
		return b.timed(ctx, order{Offsets: p.shuffled(pages), Write: true})
	},
	floor: floorUpgrade,
}

func floorUpgrade(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) {
	return floorFaults(ctx, b, p, fillUnprotect, requestSize, true, 1)
}

var localCase = Case{
	Name: "local-fault", Unit: Microseconds, Floor: "1 uffd, zero fill",
	Help: "first store to a page that nobody has used and whose home is this node",
	cluster: func(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) {
		pages := pageOffsets(p.fresh, p.ops, func(page int64) bool { return b.home(page) == 0 })
		p.fresh = pages[len(pages)-1]/pageSize + 2
		return b.timed(ctx, order{Offsets: p.shuffled(pages), Write: true})
	},
	floor: func(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) {
		return floorFaults(ctx, b, p, fillZero, 0, true, 1)
	},
}

var scanCase = Case{
	Name: "scan", Unit: Megabytes, Floor: "tcp bulk",
	Help: "sequential read of every word of memory that another node has written, against bytes received from a socket and not looked at",
	cluster: func(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) {
		if _, err := b.apps[1].order(ctx, order{Op: "own", Offset: regionScan, Length: p.scan}); err != nil {
			return nil, 0, err
		}
		r, err := b.orders(ctx, order{Op: "scan", Offset: regionScan, Length: p.scan})
		if err != nil {
			return nil, 0, err
		}
		return []float64{rate(p.scan, r[0].Samples[0]) / 1e6}, uint64(p.scan / pageSize), nil
	},
	floor: func(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) {
		r, err := b.floorOrder(ctx, b.near, order{Op: "bulk", Length: p.scan})
		if err != nil {
			return nil, 0, err
		}
		return []float64{rate(p.scan, r.Samples[0]) / 1e6}, uint64(p.scan / pageSize), nil
	},
}

// rate is count per second.
func rate(count, ns int64) float64 { return float64(count) / (float64(max(ns, 1)) / 1e9) }

// lockHold is how long a lock is held: the other side is queued by then.
const lockHold = 100 * time.Microsecond

var lockCase = Case{
	Name: "lock-handoff", Unit: Microseconds, Floor: "1 unix + 1/2 tcp",
	Help: "from the call of Release on one node to the return of Acquire on the other, which waits already",
	cluster: func(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) {
		o := order{Op: "lock", Name: "bench", Rounds: p.ops, HoldNS: int64(lockHold)}
		r, err := b.orders(ctx, o, o)
		if err != nil {
			return nil, 0, err
		}
		samples := handoffs(r[0].Turns, r[1].Turns)
		return samples, uint64(len(samples)), nil
	},
	floor: func(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) {
		// One message to the partner and back is two hand-offs.
		r, err := b.floorOrder(ctx, b.app, order{Op: "message", Rounds: p.ops, Relay: true})
		if err != nil {
			return nil, 0, err
		}
		samples := micros(r.Samples, r.Clock)
		for i := range samples {
			samples[i] /= 2
		}
		return samples, 2 * uint64(len(samples)), nil
	},
}

// handoffs are the times, in microseconds, from one side's release to the
// other's turn where that turn is the next one and was waited for.
func handoffs(one, two []turn) []float64 {
	var out []float64
	for _, pair := range [2][2][]turn{{one, two}, {two, one}} {
		released := make(map[uint64]int64)
		for _, t := range pair[0] {
			released[t.Fence] = t.Released
		}
		for i, t := range pair[1] {
			// The first turn of a block may not have waited.
			if at, ok := released[t.Fence-1]; ok && i > 0 && t.Acquired > at {
				out = append(out, float64(t.Acquired-at)/1e3)
			}
		}
	}
	return out
}

var barrierCase = Case{
	Name: "barrier", Unit: Microseconds, Floor: "1 unix + 1 tcp",
	Help: "one round of a barrier of one process on each node, again and again",
	cluster: func(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) {
		var all []order
		for i := range b.apps {
			all = append(all, order{Op: "barrier", Name: "bench", Party: i, Parties: len(b.apps), Rounds: p.ops})
		}
		r, err := b.orders(ctx, all...)
		if err != nil {
			return nil, 0, err
		}
		// The first round waits for the others to begin.
		samples := micros(r[0].Samples[1:], r[0].Clock)
		return samples, uint64(len(samples)), nil
	},
	floor: func(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) {
		r, err := b.floorOrder(ctx, b.app, order{Op: "message", Rounds: p.ops})
		if err != nil {
			return nil, 0, err
		}
		return micros(r.Samples, r.Clock), uint64(p.ops), nil
	},
}

var casCase = Case{
	Name: "cas", Unit: Operations, Floor: "1 uffd + 1 tcp for each success",
	Help: "two nodes increment one word by compare-and-swap, freely: whoever has the page increments the word in its own memory until the other asks for it. The floor moves the page for each increment. So the ratio, in the thousands, is how many increments one movement serves; cas-alternate is what a movement costs",
	cluster: func(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) {
		return increments(ctx, b, p, false)
	},
	floor: func(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) { return floorMoves(ctx, b, p, 1) },
}

var alternateCase = Case{
	Name: "cas-alternate", Unit: Operations, Floor: "2 uffd + 2 tcp for each success",
	Help: "two nodes increment one word by compare-and-swap in turn: who waits reads the word (one page moved), who has seen the turn stores to it (the right moved)",
	cluster: func(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) {
		return increments(ctx, b, p, true)
	},
	floor: func(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) { return floorMoves(ctx, b, p, 2) },
}

func increments(ctx context.Context, b *bed, p *plan, alternate bool) ([]float64, uint64, error) {
	one := order{Op: "cas", Offset: regionCAS, Parties: 2, TimeNS: int64(p.time), Alternate: alternate}
	two := one
	two.Party = 1
	r, err := b.orders(ctx, one, two)
	if err != nil {
		return nil, 0, err
	}
	n := r[0].Count + r[1].Count
	return []float64{rate(int64(n), max(r[0].Samples[0], r[1].Samples[0]))}, n, nil
}

// floorMoves is how many times a second a page can move so many times.
func floorMoves(ctx context.Context, b *bed, p *plan, moves int) ([]float64, uint64, error) {
	samples, n, err := floorFaults(ctx, b, p, fillCopy, pageSize, true, 1)
	if err != nil {
		return nil, 0, err
	}
	total := 0.0
	for _, s := range samples {
		total += s
	}
	return []float64{float64(n) / (total / 1e6) / float64(moves)}, n / uint64(moves), nil
}
