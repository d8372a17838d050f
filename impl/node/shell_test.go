//go:build invariants || race || mutants

package node

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client/clienttest"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/wire"
)

var (
	seedsFlag = flag.Uint64("seeds", 100, "how many seeds TestShell takes of each workload; a tenth with the race detector")
	onlyFlag  = flag.String("only", "", "WORKLOAD/SEED: what TestShell runs alone, with a log of what happens")
)

// stay is a residence.
const stay = 50 * time.Microsecond

// workloads are what goes on in TestShell.
var workloads = []workload{
	{name: "three", nodes: 3, fanout: 2, processes: 2, threads: 2, accesses: 6, pages: []addr.PageNum{0, 1, 2, 63, 64, 1024, 1025},
		prefetch: 8, clean: 2, evict: 2, locks: 4, troubles: 6, interrupts: 3, exits: 1},
	{name: "resident", nodes: 3, fanout: 64, residence: stay, processes: 2, threads: 1, accesses: 8, pages: []addr.PageNum{0, 1, 64},
		prefetch: 2, clean: 3, troubles: 4, interrupts: 2},
	{name: "wide", nodes: 7, fanout: 64, processes: 1, threads: 1, accesses: 5, pages: []addr.PageNum{0, 1}},
	{name: "segments", nodes: 3, fanout: 64, processes: 2, threads: 1, accesses: 8, pages: []addr.PageNum{0, 1, 64},
		prefetch: 2, clean: 8, views: 3, troubles: 4, interrupts: 2},
}

// scenario is a short workload, of which all orders are gone through that have so
// many delays at most.
type scenario struct {
	workload
	delays int
}

// scenarios are what TestShellOrders goes through.
var scenarios = []scenario{
	{workload{name: "one page", nodes: 1, script: scripted("0.0 store 0", "0.1 store 0")}, 3},
	{workload{name: "one shard", nodes: 1, script: scripted("0.0 store 0", "0.1 load 1")}, 3},
	{workload{name: "to and fro", nodes: 2, residence: stay, script: scripted("0.0 store 0", "1.0 store 0")}, 2},
	{workload{name: "three stores", nodes: 2, residence: stay, script: scripted("0.0 store 0", "1.0 store 0", "1.1 store 0")}, 2},
	{workload{name: "busy", nodes: 2, residence: stay, troubles: 3, script: scripted("0.0 store 0", "1.0 load 0")}, 2},
	{workload{name: "owned", nodes: 2, residence: stay, script: scripted("0.0 store 0", "1.0 load 0", "0.1 load 1 load 2 load 3 load 0")}, 2},
	{workload{name: "neighbours", nodes: 2, script: scripted("0.0 store 1 store 0", "1.0 load 1", "1.1 load 0", "1.2 load 1")}, 1},
	{workload{name: "two shards", nodes: 2, residence: stay, script: scripted("0.0 store 63 store 64", "1.0 load 64 load 63")}, 2},
	{workload{name: "removal", nodes: 2, residence: stay, views: 2, script: scripted("0.0 store 0", "1.0 store 0")}, 1},
}

// scripted is a script in which threads of programs, "node.program", do one access
// after the other.
func scripted(threads ...string) func(*world) {
	return func(w *world) {
		for _, text := range threads {
			var node, program int
			f := strings.Fields(text)
			if _, err := fmt.Sscanf(f[0], "%d.%d", &node, &program); err != nil {
				panic(err)
			}
			s := w.members[node]
			for len(s.programs) <= program {
				s.programs = append(s.programs, s.newProcess(len(s.programs)))
			}
			o := s.programs[program].newThread(len(f) / 2)
			w.program(o, func() {
				k := len(f) - 2*o.left
				page, err := strconv.Atoi(f[k+1])
				if err != nil {
					panic(err)
				}
				h := s.lived()
				o.begin(s.tableOf(o.process, h), h.seg.core.First+addr.PageNum(page), f[k] == "store")
			})
		}
		for _, s := range w.members {
			w.configuration(s)
		}
		w.sometimes("a view", w.workload.views, func() { w.published++ })
	}
}

// viewsOfSegments are views of a cluster: with one segment, with another, without
// the first, and with a third in its place.
func viewsOfSegments(t *testing.T) (views []*view) {
	ctx := context.Background()
	store := coord.NewMemory()
	defer store.Close()
	if err := coord.Found(ctx, store, coord.Cluster{Nodes: 1, Fanout: 64, Slots: 64, Transport: wire.TCP, Base: addr.DefaultBase, Repair: DefaultRepair}); err != nil {
		t.Fatal(err)
	}
	config, err := coord.Open(ctx, store)
	if err != nil {
		t.Fatal(err)
	}
	defer config.Close()
	for _, do := range []func() error{
		func() error { _, err := config.Create(ctx, "a", 1100, coord.Attrs{}); return err },
		func() error { _, err := config.Create(ctx, "b", 1100, coord.Attrs{}); return err },
		func() error { return config.Remove(ctx, "a") },
		func() error { _, err := config.Create(ctx, "c", 1100, coord.Attrs{}); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
		v := &view{View: config.View()}
		for s := range v.Segments() {
			v.segments = append(v.segments, s)
		}
		views = append(views, v)
	}
	return views
}

// failure is a rule that a workload has broken.
type failure struct {
	*violation
	again string // how to see it again
	log   []string
}

func (f *failure) Error() string {
	return fmt.Sprintf("%v\n%s\nagain: %s", f.violation, strings.Join(f.log[max(0, len(f.log)-150):], "\n"), f.again)
}

// TestShell has clusters of shells do what comes, in orders that come from seeds.
func TestShell(t *testing.T) {
	views := viewsOfSegments(t)
	synctest.Test(t, func(t *testing.T) {
		if *onlyFlag != "" {
			runOnly(t, views)
			return
		}
		seeds := *seedsFlag
		if clienttest.RaceEnabled {
			seeds = max(seeds/10, 1)
		}
		steps := 0
		for _, p := range workloads {
			for seed := range seeds {
				n, f := p.seeded(seed, views)
				if steps += n; f != nil {
					t.Fatal(f)
				}
			}
			repeats(t, p, views)
		}
		t.Logf("shell: %d seeds of each of %d workloads, %d steps", seeds, len(workloads), steps)
	})
}

// runOnly runs what the flag names.
func runOnly(t *testing.T, views []*view) {
	name, number, _ := strings.Cut(*onlyFlag, "/")
	i := slices.IndexFunc(workloads, func(p workload) bool { return p.name == name })
	seed, err := strconv.ParseUint(number, 10, 64)
	if i < 0 || err != nil {
		t.Fatalf("-only %s is no workload and seed: %v", *onlyFlag, err)
	}
	w, broken := simulate(workloads[i], chanceOf(seed), views, true)
	t.Log(strings.Join(w.log, "\n"))
	if broken != nil {
		t.Fatal(broken)
	}
}

// repeats demands that a seed decides everything.
func repeats(t *testing.T, p workload, views []*view) {
	for seed := range uint64(3) {
		a, _ := simulate(p, chanceOf(seed), views, true)
		b, _ := simulate(p, chanceOf(seed), views, true)
		if !slices.Equal(a.log, b.log) {
			t.Errorf("%s is not the same again with seed %d", p.name, seed)
		}
	}
}

// seeded runs the workload with the choices of a seed. It says how many steps that
// took.
func (p workload) seeded(seed uint64, views []*view) (steps int, f *failure) {
	w, broken := simulate(p, chanceOf(seed), views, false)
	if broken == nil {
		return w.steps, nil
	}
	w, _ = simulate(p, chanceOf(seed), views, true)
	return w.steps, &failure{broken, fmt.Sprintf("scripts/mutated go test ./impl/node -run '^TestShell$' -v -only %s/%d", p.name, seed), w.log}
}

// TestShellOrders goes through all orders of what goes on at once in short
// scenarios, as far as they differ from the plain order in few places.
func TestShellOrders(t *testing.T) {
	views := viewsOfSegments(t)
	for _, c := range scenarios {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if clienttest.RaceEnabled {
					c.delays--
				}
				runs, f := c.ordered(views)
				if f != nil {
					t.Fatal(f)
				}
				t.Logf("shell: %s: %d orders", c.name, runs)
			})
		})
	}
}

// ordered runs the scenario in all orders, and says how many those are.
func (c scenario) ordered(views []*view) (runs int, f *failure) {
	c.fanout = protocol.MaxFanout
	for o := (&enumeration{bound: c.delays}); o.again(); runs++ {
		if _, broken := simulate(c.workload, o, views, false); broken != nil {
			o.repeat()
			w, _ := simulate(c.workload, o, views, true)
			return runs, &failure{broken, fmt.Sprintf("scripts/mutated go test ./impl/node -run '^TestShellOrders$/^%s$' -v (order %d, %v)",
				strings.ReplaceAll(c.name, " ", "_"), runs, o), w.log}
		}
	}
	return runs, nil
}
