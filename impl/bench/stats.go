package bench

import (
	"math"
	"slices"
)

// percentile is the smallest sample that at least p percent of the samples do
// not exceed (nearest rank). It is 0 of no samples.
//
// Preconditions: the samples ascend.
func percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// series is the samples of one side, the cluster's or the floor's, by blocks.
type series [][]float64

// summary is what is told of a series.
type summary struct {
	p50, p99 float64
	samples  int
	spread   float64
}

// summarize computes the percentiles over all samples. higher says that more is
// better: then p99 is what 99 percent of the samples reach.
func (s series) summarize(higher bool) summary {
	var all, medians []float64
	for _, block := range s {
		if len(block) == 0 {
			continue
		}
		sorted := slices.Sorted(slices.Values(block))
		medians = append(medians, percentile(sorted, 50))
		all = append(all, sorted...)
	}
	slices.Sort(all)
	slices.Sort(medians)
	out := summary{p50: percentile(all, 50), p99: percentile(all, 99), samples: len(all)}
	if higher {
		out.p99 = percentile(all, 1)
	}
	if out.p50 > 0 {
		out.spread = (percentile(medians, 90) - percentile(medians, 10)) / out.p50
	}
	return out
}

// micros makes microseconds of nanoseconds, less the cost of the clock.
func micros(ns []int64, clock int64) []float64 {
	out := make([]float64, len(ns))
	for i, t := range ns {
		out[i] = float64(max(t-clock, 0)) / 1e3
	}
	return out
}
