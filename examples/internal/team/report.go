package team

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mome-dsm/mome/internal/table"
)

// Report is what a program says at the end, as a table or as a line of JSON.
type Report struct {
	Program  string   `json:"program"`
	Size     string   `json:"size"`
	Ranks    int      `json:"ranks"`
	Shared   float64  `json:"shared_seconds,omitempty"` // on shared memory
	Serial   float64  `json:"serial_seconds"`           // the same in one process
	Speedup  float64  `json:"speedup,omitempty"`
	Ceiling  float64  `json:"ceiling,omitempty"`  // the speed-up of ranks that exchange nothing
	Checks   string   `json:"checks,omitempty"`   // what else was verified
	Verified *bool    `json:"verified,omitempty"` // nil: there is nothing to compare with
	Wrong    string   `json:"wrong,omitempty"`    // how the answer differs, if it does
	Digest   string   `json:"digest"`             // SHA-256 of the answer
	Nodes    []Growth `json:"nodes,omitempty"`    // what the counters of each node grew by
}

// ErrWrong says that an answer was not verified.
var ErrWrong = errors.New("the answer is wrong")

// SetTimes fills in the times; shared is zero in a serial run.
func (r *Report) SetTimes(shared, serial time.Duration) {
	r.Shared, r.Serial = shared.Seconds(), serial.Seconds()
	if shared > 0 {
		r.Speedup = r.Serial / r.Shared
	}
}

// Verify compares the digest of the answer with that of the serial program. wrong
// is what else does not hold, if anything.
func (r *Report) Verify(serial string, wrong ...string) {
	if r.Digest != serial {
		wrong = append(wrong, fmt.Sprintf("its digest is %s, and that of one process %s", r.Digest, serial))
	}
	ok := len(wrong) == 0
	r.Verified, r.Wrong = &ok, strings.Join(wrong, "; ")
}

// Print writes the report. The error is an ErrWrong if the answer is.
func (r *Report) Print(w io.Writer, asJSON bool) error {
	var err error
	if asJSON {
		err = json.NewEncoder(w).Encode(r)
	} else {
		err = r.table(w)
	}
	if err == nil && r.Verified != nil && !*r.Verified {
		err = fmt.Errorf("%w: %s", ErrWrong, r.Wrong)
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
		row("shared memory", "%s s", seconds(r.Shared))
	}
	row("one process", "%s s", seconds(r.Serial))
	if r.Ranks > 0 {
		row("speed-up", "%s", ratio(r.Speedup))
	}
	if r.Ceiling > 0 {
		row("ceiling", "%s without any exchange", ratio(r.Ceiling))
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
	if err := t.Flush(); err != nil || len(r.Nodes) == 0 {
		return err
	}
	return r.counters(w)
}

// seconds is a time to the millisecond, a short one to the microsecond.
func seconds(v float64) string {
	if v < 0.1 {
		return fmt.Sprintf("%.6f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// ratio is a number to two decimals, or two digits if it is small.
func ratio(v float64) string {
	decimals := 2
	if v > 0 && v < 0.1 {
		decimals = 1 - int(math.Floor(math.Log10(v)))
	}
	return fmt.Sprintf("%.*f", decimals, v)
}

// counterOrder is the counters that come first.
var counterOrder = []string{"read_faults", "write_faults", "upgrades", "prefetched", "pages_in", "pages_out", "bytes_in", "bytes_out"}

// counters is what moved, by node and in all, beside one process, where nothing
// moves. Counters that grew nowhere are left out.
func (r *Report) counters(w io.Writer) error {
	all := make(map[string]uint64)
	for _, n := range r.Nodes {
		for name, v := range n.Counters {
			all[name] += v
		}
	}
	names := []string{"what ", "one process", "all nodes"}
	first := []any{"seconds", seconds(r.Serial), seconds(r.Shared)}
	for _, n := range r.Nodes {
		names = append(names, fmt.Sprintf("node %d", n.Node))
		first = append(first, "")
	}
	rows := [][]any{first}
	place := func(name string) int {
		if i := slices.Index(counterOrder, name); i >= 0 {
			return i
		}
		return len(counterOrder)
	}
	counters := slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b))
	})
	for _, name := range counters {
		row := []any{strings.ReplaceAll(name, "_", " "), 0, all[name]}
		for _, n := range r.Nodes {
			row = append(row, n.Counters[name])
		}
		rows = append(rows, row)
	}
	return table.Print(w, "What moved", names, rows)
}
