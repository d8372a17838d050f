package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mome-dsm/mome"
)

// op is one access of a litmus test's thread: a store of the value, or a load
// if the value is 0.
type op struct {
	variable int // 0 is x, 1 is y
	value    int64
}

func load(v int) op             { return op{v, 0} }
func store(v int, val int64) op { return op{v, val} }

const x, y = 0, 1

// litmus is one test: what each thread does, and the outcome that sequential
// consistency forbids. The registers r are the loads, thread by thread; f is
// what x and y hold in the end.
type litmus struct {
	name    string
	threads [][]op
	forbid  func(r []int64, f [2]int64) bool
}

// The names are those of the literature (Alglave, Maranget, Tautschnig: Herding
// cats, 2014).
var litmusTests = []litmus{
	{"SB", [][]op{{store(x, 1), load(y)}, {store(y, 1), load(x)}},
		func(r []int64, _ [2]int64) bool { return r[0] == 0 && r[1] == 0 }},
	{"MP", [][]op{{store(x, 1), store(y, 1)}, {load(y), load(x)}},
		func(r []int64, _ [2]int64) bool { return r[0] == 1 && r[1] == 0 }},
	{"LB", [][]op{{load(x), store(y, 1)}, {load(y), store(x, 1)}},
		func(r []int64, _ [2]int64) bool { return r[0] == 1 && r[1] == 1 }},
	{"S", [][]op{{store(x, 2), store(y, 1)}, {load(y), store(x, 1)}},
		func(r []int64, f [2]int64) bool { return r[0] == 1 && f[x] == 2 }},
	{"R", [][]op{{store(x, 1), store(y, 1)}, {store(y, 2), load(x)}},
		func(r []int64, f [2]int64) bool { return r[0] == 0 && f[y] == 2 }},
	{"2+2W", [][]op{{store(x, 1), store(y, 2)}, {store(y, 1), store(x, 2)}},
		func(_ []int64, f [2]int64) bool { return f[x] == 1 && f[y] == 1 }},
	{"IRIW", [][]op{{store(x, 1)}, {store(y, 1)}, {load(x), load(y)}, {load(y), load(x)}},
		func(r []int64, _ [2]int64) bool { return r[0] == 1 && r[1] == 0 && r[2] == 1 && r[3] == 0 }},
	{"WRC", [][]op{{store(x, 1)}, {load(x), store(y, 1)}, {load(y), load(x)}},
		func(r []int64, _ [2]int64) bool { return r[0] == 1 && r[1] == 1 && r[2] == 0 }},
	{"CoRR", [][]op{{store(x, 1)}, {load(x), load(x)}},
		func(r []int64, _ [2]int64) bool { return r[0] == 1 && r[1] == 0 }},
}

const (
	litmusThreads = 4
	litmusRounds  = 512 // at most
)

// litmusSegment is where the variables of the rounds lie: each round has an x
// and a y of its own, and rounds overlap. Of two pages: the x are in one array
// and the y in another, in every other round the other way round, so that each
// is stored to by both threads. Of one page: x and y are neighbours.
const litmusSegment = (litmusThreads + 2*litmusRounds/pageWords) * pageSize

func slot(w []int64, round, variable int, onePage bool) *int64 {
	w = w[litmusThreads*pageWords:]
	if onePage {
		return &w[2*round+variable]
	}
	return &w[(variable^round&1)*litmusRounds+round]
}

func init() { programs["litmus"] = litmusProgram }

// litmusProgram is one thread of each of the tests, one test after the other,
// each with a segment of its own. It says what its loads saw, a digit each, and
// rank 0 says what was there in the end.
func litmusProgram(p *program) {
	rounds := p.number(1)
	seed, err := strconv.ParseUint(p.arg(2), 10, 64)
	check(err)
	rank := p.Rank()
	random := rand.New(rand.NewPCG(seed, uint64(rank)))
	barrier, err := p.Barrier(p.ctx, p.arg(0), rank, litmusThreads)
	check(err)
	for i, test := range litmusTests {
		for _, onePage := range []bool{false, true} {
			s, err := p.OpenOrCreate(p.ctx, fmt.Sprintf("%s-%d-%v", p.arg(0), i, onePage), litmusSegment)
			check(err)
			w := words(s)
			check(barrier.Wait(p.ctx))
			seen := ""
			if rank < len(test.threads) {
				seen = litmusThread(w, &test, rank, rounds, onePage, random)
			}
			check(barrier.Wait(p.ctx))
			final := strings.Builder{}
			if rank == 0 {
				for r := range rounds {
					fmt.Fprint(&final, atomic.LoadInt64(slot(w, r, x, onePage)), atomic.LoadInt64(slot(w, r, y, onePage)))
				}
			}
			p.say("saw", "."+seen)
			p.say("final", "."+strings.ReplaceAll(final.String(), " ", ""))
			check(barrier.Wait(p.ctx))
			check(s.Close())
			if rank == 0 {
				check(p.Remove(p.ctx, s.Name()))
			}
		}
	}
	check(barrier.Close())
}

// litmusThread runs a thread's part of all rounds. The threads keep within a
// few rounds of each other: before some rounds, at random but the same ones in
// all threads, each says how far it has come, in a page of its own, and waits
// for the others. How far apart the accesses of a round are is random too: in
// half of the rounds they are next to each other, in the others the pages may
// move in between.
func litmusThread(w []int64, test *litmus, rank, rounds int, onePage bool, random *rand.Rand) string {
	common := rand.New(rand.NewPCG(uint64(rounds), 1))
	pause := func() {
		for range random.IntN(12) {
			yield()
		}
	}
	var seen strings.Builder
	for r := range rounds {
		if common.IntN(2) == 0 {
			atomic.StoreInt64(&w[rank*pageWords], int64(r))
			for other := range test.threads {
				for atomic.LoadInt64(&w[other*pageWords]) < int64(r) {
					yield()
				}
			}
		}
		pause()
		slow := random.IntN(2) == 0
		for i, o := range test.threads[rank] {
			if i > 0 && slow {
				pause()
			}
			at := slot(w, r, o.variable, onePage)
			if o.value != 0 {
				atomic.StoreInt64(at, o.value)
			} else {
				seen.WriteByte('0' + byte(atomic.LoadInt64(at)))
			}
		}
	}
	return seen.String()
}

// Under the strong model the programs of the litmus tests behave as threads of
// one machine, on which Go's atomics are sequentially consistent.
func TestLitmus(t *testing.T) {
	onShared(t, []shape{two, three, four}, func(t *testing.T, c *cluster) {
		rounds := 192
		if testing.Short() {
			rounds = 64
		}
		seen := make(map[string]*histogram)
		for run := range uint64(litmusRuns) {
			apps := c.team(c.shape.nodes, litmusThreads, "litmus", rounds, c.seed+run)
			poor := false
			for _, test := range litmusTests {
				for _, pages := range []string{"two pages", "one page"} {
					var saw [litmusThreads]string
					final := ""
					for rank, a := range apps {
						saw[rank] = a.at("saw")[0][1:]
						if f := a.at("final")[0][1:]; rank == 0 {
							final = f
						}
					}
					name := test.name + " on " + pages
					if seen[name] == nil {
						seen[name] = &histogram{counts: make(map[string]int), bad: make(map[string]bool)}
					}
					seen[name].add(&test, rounds, saw[:], final)
					poor = poor || len(seen[name].counts) < 2
				}
			}
			allOK(apps)
			if !poor {
				break
			}
		}
		for _, name := range slices.Sorted(maps.Keys(seen)) {
			seen[name].judge(t, name)
		}
	})
}

// litmusRuns bounds how often the tests are run until each has had two outcomes:
// on a machine with one processor, or a busy one, a thread may be always the
// first.
const litmusRuns = 8

// histogram counts the outcomes of a test.
type histogram struct {
	counts map[string]int
	bad    map[string]bool
}

// add counts the outcomes of rounds.
func (h *histogram) add(test *litmus, rounds int, saw []string, final string) {
	for round := range rounds {
		var r []int64
		for rank := range test.threads {
			loads := 0
			for _, o := range test.threads[rank] {
				if o.value == 0 {
					loads++
				}
			}
			for _, digit := range saw[rank][round*loads : (round+1)*loads] {
				r = append(r, int64(digit-'0'))
			}
		}
		f := [2]int64{int64(final[2*round] - '0'), int64(final[2*round+1] - '0')}
		outcome := fmt.Sprintf("%v x=%d y=%d", r, f[x], f[y])
		h.counts[outcome]++
		if test.forbid(r, f) {
			h.bad[outcome] = true
		}
	}
}

// judge shows the outcomes and says which must not be.
func (h *histogram) judge(t *testing.T, name string) {
	t.Helper()
	outcomes := slices.Sorted(maps.Keys(h.counts))
	var text strings.Builder
	for _, o := range outcomes {
		fmt.Fprintf(&text, "  %s: %d", o, h.counts[o])
		if h.bad[o] {
			text.WriteString(" FORBIDDEN")
		}
	}
	t.Logf("%s:%s", name, text.String())
	if len(h.bad) > 0 {
		t.Errorf("%s: a forbidden outcome", name)
	}
	if len(outcomes) < 2 {
		t.Errorf("%s: only one outcome, so nothing was tested", name)
	}
}

func init() { programs["pingpong"] = pingpong }

// pingpong takes turns with the other ranks at one word: the turn is the word
// modulo their number. Each stores to a word of its own beside it.
func pingpong(p *program) {
	w := words(p.open(pageSize, mome.WithHome(mome.Spread)))
	ranks := p.Size()
	for i := range p.number(1) {
		mine := int64(i*ranks + p.Rank())
		for atomic.LoadInt64(&w[0]) != mine {
			yield()
		}
		w[1+p.Rank()]++
		atomic.StoreInt64(&w[0], mine+1)
	}
	for atomic.LoadInt64(&w[0]) != int64(p.number(1)*ranks) {
		yield()
	}
	for r := range ranks {
		if w[1+r] != int64(p.number(1)) {
			fatalf("rank %d has %d exchanges, want %d", r, w[1+r], p.number(1))
		}
	}
	p.say("done", w[1+p.Rank()])
}

// Writers that take a page from each other all go on.
func TestPingPong(t *testing.T) {
	onShared(t, []shape{two, three, four}, func(t *testing.T, c *cluster) {
		const exchanges = 300
		apps := c.team(c.shape.nodes, c.shape.nodes, "pingpong", exchanges)
		allAt(apps, "done")
		allOK(apps)
		c.remove()
	})
}
