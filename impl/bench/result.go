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
	FloorN      uint64  `json:"floor_n"`
	FloorSpread float64 `json:"floor_spread"`
	// What the daemons took for one operation, and the processes of the floor in
	// their place: time on a processor in microseconds, and how often a thread
	// went to sleep or was put aside.
	CPU           float64 `json:"cpu_us"`
	FloorCPU      float64 `json:"floor_cpu_us"`
	Switches      float64 `json:"switches"`
	FloorSwitches float64 `json:"floor_switches"`
	// Ratio is P50 / FloorP50: of a latency how many times the floor, of a rate
	// which part of it.
	Ratio float64 `json:"ratio"`

	Help  string `json:"help"`
	Error string `json:"error,omitempty"` // why there are no figures
}

// measured is what all blocks of one side came to.
type measured struct {
	series series
	n      uint64
	used   usage
}

func (m *measured) add(samples []float64, n uint64, used usage) {
	m.series = append(m.series, samples)
	m.n += n
	m.used.cpu += used.cpu
	m.used.switches += used.switches
}

// each is what one operation took: processor time in microseconds, and switches.
func (m *measured) each() (cpu, switches float64) {
	n := float64(max(m.n, 1))
	return float64(m.used.cpu) / 1e3 / n, float64(m.used.switches) / n
}

func newResult(c *Case, cluster, floor *measured) Result {
	higher := c.Unit != Microseconds
	a, b := cluster.series.summarize(higher), floor.series.summarize(higher)
	r := Result{Name: c.Name, Unit: c.Unit, Floor: c.Floor, Help: c.Help,
		P50: a.p50, P99: a.p99, N: cluster.n, Samples: a.samples, Spread: a.spread,
		FloorP50: b.p50, FloorP99: b.p99, FloorN: floor.n, FloorSpread: b.spread}
	r.CPU, r.Switches = cluster.each()
	r.FloorCPU, r.FloorSwitches = floor.each()
	if b.p50 > 0 {
		r.Ratio = a.p50 / b.p50
	}
	return r
}
