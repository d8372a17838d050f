package bench

import (
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

var twoResults = []Result{
	newResult(&Case{Name: "read-fault/threads=1", Unit: Microseconds, Floor: "1 uffd + 1 tcp", Help: "what it is"},
		&measured{series: series{{30, 10, 20}}, n: 4, used: usage{cpu: 40000, switches: 12}},
		&measured{series: series{{5, 5, 5}}, n: 3, used: usage{cpu: 6000, switches: 9}}),
	{Name: "scan", Unit: Megabytes, Floor: "tcp bulk", Help: "how fast", Error: "the far side is gone"},
}

func TestNewResult(t *testing.T) {
	want := Result{Name: "read-fault/threads=1", Unit: "us", P50: 20, P99: 30, N: 4, Samples: 3,
		Floor: "1 uffd + 1 tcp", FloorP50: 5, FloorP99: 5, FloorN: 3, Ratio: 4,
		CPU: 10, FloorCPU: 2, Switches: 3, FloorSwitches: 3, Help: "what it is"}
	if twoResults[0] != want {
		t.Errorf("%+v, not %+v", twoResults[0], want)
	}
	nothing := newResult(&Case{Name: "x", Unit: Operations}, &measured{}, &measured{})
	if nothing.Ratio != 0 || nothing.CPU != 0 {
		t.Errorf("of no samples: %+v", nothing)
	}
}

func TestWriteJSON(t *testing.T) {
	var b strings.Builder
	if err := WriteJSON(&b, twoResults); err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	if err := json.Unmarshal([]byte(b.String()), &list); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"name", "unit", "p50", "p99", "n", "spread", "floor", "floor_p50", "ratio", "cpu_us", "help"} {
		if _, ok := list[0][field]; !ok {
			t.Errorf("no field %q", field)
		}
	}
	if _, ok := list[0]["error"]; ok || list[1]["error"] != "the far side is gone" {
		t.Errorf("errors: %v", list)
	}
	b.Reset()
	if err := WriteJSON(&b, nil); err != nil || b.String() != "[]\n" {
		t.Errorf("no results: %q, %v", b.String(), err)
	}
}

const wantTable = `case                  unit     p50   p99  n  spread  floor p50  spread  ratio   cpu  floor cpu  floor
--------------------  ----  ------  ----  -  ------  ---------  ------  -----  ----  ---------  --------------
read-fault/threads=1  us      20.0  30.0  4     0 %       5.00     0 %   4.00  10.0       2.00  1 uffd + 1 tcp
scan                  MB/s  failed                                                              tcp bulk
scan failed: the far side is gone
`

func TestWriteTable(t *testing.T) {
	var b strings.Builder
	if err := WriteTable(&b, twoResults); err != nil {
		t.Fatal(err)
	}
	if b.String() != wantTable {
		t.Errorf("got\n%s\nwant\n%s", b.String(), wantTable)
	}
}

const wantReport = `| date | 2026-01-02 03:04 UTC |
| machine | 2 x A processor, 3.8 GiB, load 0.10 |
| kernel | Linux 6.7 |
| Go | go1.26 linux/amd64 |
| command | ` + "`momenode bench`" + ` |

| case | unit | p50 | p99 | n | spread | floor p50 | spread | ratio | cpu | floor cpu | floor |
|:--- |:--- | ---:| ---:| ---:| ---:| ---:| ---:| ---:| ---:| ---:|:--- |
| read-fault/threads=1 | us | 20.0 | 30.0 | 4 | 0 % | 5.00 | 0 % | 4.00 | 10.0 | 2.00 | 1 uffd + 1 tcp |
| scan | MB/s | failed |  |  |  |  |  |  |  |  | tcp bulk |

* **read-fault/threads=1**: what it is. Floor: 1 uffd + 1 tcp.
* **scan**: how fast. Floor: tcp bulk. It failed: the far side is gone.

<!-- momenode bench ends here: what follows stays -->
`

func TestWriteReport(t *testing.T) {
	m := Machine{Processor: "A processor", Processors: 2, Memory: "3.8 GiB", Kernel: "Linux 6.7", Go: "go1.26 linux/amd64",
		Date: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), Load: "0.10"}
	var b strings.Builder
	if err := WriteReport(&b, m, "momenode bench", twoResults); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"middle 80 % of", "p99 is what 99 % of", "p99 of a rate lies below its p50", "Cpu is", "floor cpu what"} {
		if !strings.Contains(b.String(), text) {
			t.Errorf("nothing says %q in\n%s", text, b.String())
		}
	}
	if !strings.HasPrefix(b.String(), "# Benchmarks\n") || !strings.HasSuffix(b.String(), wantReport) {
		t.Errorf("got\n%s\nwant at the end\n%s", b.String(), wantReport)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWriteErrors(t *testing.T) {
	for name, err := range map[string]error{
		"json":   WriteJSON(brokenPipe{}, twoResults),
		"table":  WriteTable(brokenPipe{}, twoResults),
		"report": WriteReport(brokenPipe{}, Machine{}, "", twoResults),
	} {
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0123: "0.012", 0.55: "0.55", 8.456: "8.46", 12.345: "12.3", 1234.5: "1234", 131901237.5: "131901238"} {
		if got := figure(v); got != want {
			t.Errorf("%v: %q, not %q", v, got, want)
		}
	}
}

func TestThisMachine(t *testing.T) {
	m := ThisMachine()
	if m.Processors < 1 || m.Memory == "" || !strings.HasPrefix(m.Kernel, "Linux ") || !strings.HasPrefix(m.Go, "go") && !strings.HasPrefix(m.Go, "devel") {
		t.Errorf("%+v", m)
	}
}

func TestCases(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range Cases(nil) {
		if seen[c.Name] || c.Floor == "" || c.Help == "" || c.cluster == nil || c.floor == nil {
			t.Errorf("case %q is incomplete, or twice there", c.Name)
		}
		seen[c.Name] = true
	}
	for _, name := range []string{"read-fault/threads=1", "read-fault/threads=4", "read-fault/threads=16", "write-fault/threads=1",
		"upgrade", "invalidate", "scan", "lock-handoff", "barrier", "local-fault", "cas"} {
		if !seen[name] {
			t.Errorf("no case %q", name)
		}
	}
	if got := Cases(regexp.MustCompile("^cas$")); len(got) != 1 || got[0].Name != "cas" {
		t.Errorf("^cas$: %v cases", len(got))
	}
}
