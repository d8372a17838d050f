package node

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/client/clienttest"
	"github.com/mome-dsm/mome/impl/coord"
)

// recording is whether the nodes of a benchmark write a trace.
var recording = []string{"off", "on"}

// written is how many bytes this process has given to write(2) and the like, as
// the kernel counts them: files, pipes and eventfds, no sockets.
func written(b *testing.B) float64 {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "wchar: "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatal("/proc/self/io has no wchar")
	return 0
}

// newStep is a function that asks once more for a page that the node has
// already: errand, lock, one step of the core, its batch carried out. No system
// call and no other thread is in it, so that small differences show.
func newStep(t testing.TB, edit func(*Config)) func() {
	t.Helper()
	n := startNodes(t, 1, edit)[0]
	ctx := context.Background()
	info, err := n.config.Create(ctx, "step", 1, coord.Attrs{Home: "spread"})
	if err != nil {
		t.Fatal(err)
	}
	seg := n.awaitSegment(info)
	m := &mapping{seg: seg}
	var out outbox
	step := func() {
		if err := n.fetching.wait(ctx, 1); err != nil {
			t.Fatal(err)
		}
		n.fetch(m, seg.core.First, 1, false, true, &out)
	}
	step() // the page comes
	return step
}

// TestStepAllocates: with traces off a step allocates nothing.
func TestStepAllocates(t *testing.T) {
	if clienttest.RaceEnabled {
		t.Skip("the race detector and the invariants allocate")
	}
	if n := testing.AllocsPerRun(10_000, newStep(t, func(*Config) {})); n != 0 {
		t.Errorf("a step makes %v allocations", n)
	}
}

func BenchmarkStep(b *testing.B) {
	for _, on := range recording {
		b.Run("trace="+on, func(b *testing.B) {
			dir := b.TempDir()
			step := newStep(b, func(c *Config) {
				if on == "on" {
					c.Trace = dir
				}
			})
			before := written(b)
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
			b.ReportMetric((written(b)-before)/float64(b.N), "written-B/op")
		})
	}
}

// BenchmarkStepLimited is BenchmarkStep, where the node has a limit that is far off.
func BenchmarkStepLimited(b *testing.B) {
	step := newStep(b, func(c *Config) { c.Memory = 1 << 28 })
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
}

// BenchmarkFault is the faults of programs on two nodes that access the same
// pages by turns, over the kernel and a link. An op is a round: each of the two
// programs is told once to touch all pages; allocs/op and written-B/op are those
// of both daemons, and of the telling. move: both store, and every fault takes a
// page and the right to write from the other node. share: one stores and the
// other loads, an upgrade and a copy of each page.
func BenchmarkFault(b *testing.B) {
	for _, pattern := range []struct {
		name   string
		orders [2]string
	}{{"move", [2]string{"store", "store"}}, {"share", [2]string{"store", "load"}}} {
		for _, on := range recording {
			b.Run(fmt.Sprintf("pages=%s/trace=%s", pattern.name, on), func(b *testing.B) {
				dir := b.TempDir()
				nodes := startNodes(b, 2, func(c *Config) {
					c.NoReadAhead = true
					if on == "on" {
						c.Trace = dir
					}
				})
				programs := [2]*program{startProgram(b, nodes[0]), startProgram(b, nodes[1])}
				round := func() {
					for i, p := range programs {
						p.do(pattern.orders[i])
					}
				}
				round()
				before := written(b)
				b.ReportAllocs()
				for b.Loop() {
					round()
				}
				b.ReportMetric((written(b)-before)/float64(b.N), "written-B/op")
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*2*sharedPages), "us/fault")
			})
		}
	}
}
