package validate

import (
	"fmt"
	"testing"

	"github.com/mome-dsm/mome/impl/sim"
	"github.com/mome-dsm/mome/impl/trace"
)

// BenchmarkValidate judges simulated runs of about 20,000 events, in the pages
// that share them equally: from the logs to the verdict, with the start of TLC.
func BenchmarkValidate(b *testing.B) {
	for _, c := range []struct{ nodes, fanout, pages, steps int }{
		{4, 2, 8, 32_000},
		{8, 2, 8, 32_000},
		{4, 2, 1, 32_000},
		{32, 4, 100, 32_000},
	} {
		b.Run(fmt.Sprintf("nodes=%d/fanout=%d/pages=%d", c.nodes, c.fanout, c.pages), func(b *testing.B) {
			run, err := trace.OpenRun(record(b, sim.Config{Nodes: c.nodes, Fanout: c.fanout, Pages: c.pages, Seed: 1}, c.steps))
			if err != nil {
				b.Fatal(err)
			}
			o := Options{Tool: tool(b)}
			var v *Verdict
			for b.Loop() {
				if v, err = Run(b.Context(), run, Pages, o); err != nil || !v.Accepted {
					b.Fatal(v, err)
				}
			}
			b.ReportMetric(float64(v.Events), "events")
			b.ReportMetric(float64(v.Longest), "longest")
			b.ReportMetric(float64(v.Depth), "depth")
			b.ReportMetric(float64(v.Acts["LeafRecvRecall"]+v.Acts["RecvRecall"])/float64(v.Events), "recalls/event")
			b.ReportMetric(float64(v.Events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
