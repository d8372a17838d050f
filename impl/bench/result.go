package bench

// Units of a Result.
const (
	Microseconds = "us"
	Megabytes    = "MB/s" // 10^6 bytes
	Operations   = "op/s"
)

// Result is one case. The names of the fields in JSON are stable.
type Result struct {
	Name string  `json:"name"`
	Unit string  `json:"unit"`
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"` // of a rate: what 99 % of the blocks reach
	// N is how many operations the figures are about: of faults, those that the
	// daemon counted.
	N       uint64 `json:"n"`
	Samples int    `json:"samples"`
	// Spread is the range of the middle 80 % of the blocks' medians over P50: a
	// figure that repeats has a small one.
	Spread float64 `json:"spread"`

	Floor       string  `json:"floor"` // the round trips of the floor
	FloorP50    float64 `json:"floor_p50"`
	FloorP99    float64 `json:"floor_p99"`
	FloorN      int     `json:"floor_n"`
	FloorSpread float64 `json:"floor_spread"`
	// Ratio is P50 / FloorP50: of a latency how many times the floor, of a rate
	// which part of it.
	Ratio float64 `json:"ratio"`

	Help  string `json:"help"`
	Error string `json:"error,omitempty"` // why there are no figures
}

func newResult(c *Case, cluster, floor series, n uint64) Result {
	higher := c.Unit != Microseconds
	a, b := cluster.summarize(higher), floor.summarize(higher)
	r := Result{Name: c.Name, Unit: c.Unit, Floor: c.Floor, Help: c.Help,
		P50: a.p50, P99: a.p99, N: n, Samples: a.samples, Spread: a.spread,
		FloorP50: b.p50, FloorP99: b.p99, FloorN: b.samples, FloorSpread: b.spread}
	if b.p50 > 0 {
		r.Ratio = a.p50 / b.p50
	}
	return r
}
