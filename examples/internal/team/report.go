package team

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"
)

// Report is what a program says at the end, as a table or as a line of JSON.
type Report struct {
	Program  string            `json:"program"`
	Size     string            `json:"size"`
	Ranks    int               `json:"ranks"`
	Shared   float64           `json:"shared_seconds,omitempty"` // on shared memory
	Serial   float64           `json:"serial_seconds"`           // the same in one process
	Speedup  float64           `json:"speedup,omitempty"`
	Ceiling  float64           `json:"ceiling,omitempty"`  // the speed-up of ranks that exchange nothing
	Checks   string            `json:"checks,omitempty"`   // what else was verified
	Verified *bool             `json:"verified,omitempty"` // nil: there is nothing to compare with
	Digest   string            `json:"digest"`             // SHA-256 of the answer
	Stats    map[string]uint64 `json:"stats,omitempty"`
}

// ErrWrong says that an answer was not verified.
var ErrWrong = errors.New("the answer is wrong: NOT verified")

// SetTimes fills in the times; shared is zero in a serial run.
func (r *Report) SetTimes(shared, serial time.Duration) {
	r.Shared, r.Serial = shared.Seconds(), serial.Seconds()
	if shared > 0 {
		r.Speedup = r.Serial / r.Shared
	}
}

// SetVerified says whether the answer is right.
func (r *Report) SetVerified(ok bool) { r.Verified = &ok }

// Print writes the report. The error is ErrWrong if the answer is.
func (r *Report) Print(w io.Writer, asJSON bool) error {
	var err error
	if asJSON {
		err = json.NewEncoder(w).Encode(r)
	} else {
		err = r.table(w)
	}
	if err == nil && r.Verified != nil && !*r.Verified {
		err = ErrWrong
	}
	return err
}

func (r *Report) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("program", "%s, %s", r.Program, r.Size)
	if r.Ranks > 0 {
		row("ranks", "%d", r.Ranks)
		row("shared memory", "%.3f s", r.Shared)
	}
	row("serial", "%.3f s", r.Serial)
	if r.Ranks > 0 {
		row("speed-up", "%.2f", r.Speedup)
	}
	if r.Ceiling > 0 {
		row("ceiling", "%.2f without any exchange", r.Ceiling)
	}
	row("digest", "%s", r.Digest)
	if r.Checks != "" {
		row("checks", "%s", r.Checks)
	}
	switch {
	case r.Verified == nil:
		row("answer", "not compared with another run")
	case *r.Verified:
		row("answer", "verified")
	default:
		row("answer", "NOT verified")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Stats)) {
		row(name, "%d", r.Stats[name])
	}
	return t.Flush()
}

// Since is the growth of counters.
func Since(before, after map[string]uint64) map[string]uint64 {
	grown := make(map[string]uint64)
	for name, v := range after {
		if d := v - before[name]; d != 0 {
			grown[name] = d
		}
	}
	return grown
}
