package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/internal/table"
)

// WriteJSON writes the results as one list.
func WriteJSON(w io.Writer, results []Result) error {
	if results == nil {
		results = []Result{}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(results)
}

var columns = []string{"case ", "unit ", "p50", "p99", "n", "spread", "floor p50", "spread", "ratio", "cpu", "floor cpu", "floor "}

// row is the result in columns.
func (r *Result) row() []any {
	if r.Error != "" {
		return []any{r.Name, r.Unit, "failed", "", "", "", "", "", "", "", "", r.Floor}
	}
	return []any{r.Name, r.Unit, figure(r.P50), figure(r.P99), r.N, percent(r.Spread), figure(r.FloorP50), percent(r.FloorSpread),
		figure(r.Ratio), figure(r.CPU), figure(r.FloorCPU), r.Floor}
}

func allRows(results []Result) (rows [][]any) {
	for i := range results {
		rows = append(rows, results[i].row())
	}
	return rows
}

// WriteTable writes the results for people, and why cases failed.
func WriteTable(w io.Writer, results []Result) error {
	err := table.Print(w, "", columns, allRows(results))
	for i := range results {
		if r := &results[i]; r.Error != "" && err == nil {
			_, err = fmt.Fprintf(w, "%s failed: %s\n", r.Name, r.Error)
		}
	}
	return err
}

// figure is a number to three digits, at least to the unit.
func figure(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 0.1:
		return strconv.FormatFloat(v, 'g', 2, 64)
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

func percent(v float64) string { return strconv.FormatFloat(v*100, 'f', 0, 64) + " %" }

// Machine is where and when figures were measured.
type Machine struct {
	Processor  string
	Processors int
	Memory     string
	Kernel     string
	Go         string
	Date       time.Time
	Load       string // average over a minute when the run began
}

// ThisMachine describes this one, now. What cannot be found out is empty.
func ThisMachine() Machine {
	m := Machine{Processors: runtime.NumCPU(), Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH, Date: time.Now()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.Memory = fmt.Sprintf("%.1f GiB", float64(info.Totalram)*float64(info.Unit)/(1<<30))
		m.Load = fmt.Sprintf("%.2f", float64(info.Loads[0])/(1<<16))
	}
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(cpuinfo)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.Processor = strings.TrimSpace(value)
			break
		}
	}
	return m
}

// ReportTitle is how a report begins.
const ReportTitle = "# Benchmarks"

// ReportEnd is the line that ends a report: what follows it in a file is
// somebody's own.
const ReportEnd = "<!-- momenode bench ends here: what follows stays -->"

// WriteReport writes the results as a page of Markdown: the machine, the table,
// and what each case is.
func WriteReport(w io.Writer, m Machine, command string, results []Result) error {
	var b strings.Builder
	b.WriteString(ReportTitle)
	fmt.Fprintf(&b, `

Each figure stands beside its floor: a minimal program without a protocol that makes the named round trips
between as many processes, measured in the same run, block by block in turn with the case. Ratio is p50 over the
floor's p50: of a latency how many times the floor (less is better), of a rate which part of it (more is better).
Spread is the range of the middle 80 %% of the blocks' medians over p50. p99 is what 99 %% of the samples reach or do
better: of a latency the longer ones, of a rate the lower ones, so that p99 of a rate lies below its p50. Cpu is the
microseconds of processor time that all daemons together take for one operation (of scan, for a page), floor cpu what
the floor's processes take in their place. Of a floor, uffd is a page fault that the kernel hands to another process by
userfaultfd, its interface for that; tcp and unix are round trips over such sockets. The home of a page is the node that
keeps what was last written back.

| | |
|---|---|
| date | %s |
| machine | %d x %s, %s, load %s |
| kernel | %s |
| Go | %s |
| command | %s |

`, m.Date.Format("2006-01-02 15:04 MST"), m.Processors, m.Processor, m.Memory, m.Load, m.Kernel, m.Go, "`"+command+"`")
	if err := table.Markdown(&b, columns, allRows(results)); err != nil {
		return err
	}
	b.WriteString("\n")
	for i := range results {
		r := &results[i]
		fmt.Fprintf(&b, "* **%s**: %s. Floor: %s.", r.Name, r.Help, r.Floor)
		if r.Error != "" {
			fmt.Fprintf(&b, " It failed: %s.", strings.TrimSuffix(r.Error, "."))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n" + ReportEnd + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}
