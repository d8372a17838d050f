package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mome-dsm/mome/impl/client/clienttest"
	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/node"
)

// The first argument of the test binary as one of the processes that Run
// starts. It is no variable of the environment: a child that missed it would run
// the tests, and so start more children.
const (
	daemonArgument  = "bench-daemon"
	processArgument = "bench-process"
)

func TestMain(m *testing.M) {
	const nested = "MOME_BENCH_NESTED"
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == daemonArgument:
		err = daemonMain(os.Args[2])
	case len(os.Args) == 3 && os.Args[1] == processArgument:
		err = Process(os.Args[2])
	case os.Getenv(nested) != "":
		// A process without a role would run the tests again, and so on.
		err = errors.New("bench.test was started by itself without a role")
	default:
		os.Setenv(nested, "1")
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func daemonMain(text string) error {
	var n Node
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg := node.Config{Listen: n.Listen, Join: n.Join, Socket: n.Socket, Transport: n.Transport}
	if n.Join == "" {
		cfg.Nodes = n.Nodes
	}
	d, err := node.Start(ctx, cfg)
	if err != nil {
		return err
	}
	defer d.Close()
	select {
	case <-ctx.Done():
	case <-d.Ended():
	}
	return nil
}

func testConfig(t *testing.T, nodes int, pattern string) *Config {
	t.Helper()
	if clienttest.RaceEnabled {
		t.Skip("what is measured under the race detector says nothing")
	}
	if err := memory.Probe().Err(); err != nil {
		if os.Getenv("MOME_REQUIRE_UFFD") == "1" {
			t.Fatalf("MOME_REQUIRE_UFFD=1, and no node can run: %v", err)
		}
		t.Skip(err)
	}
	return &Config{Nodes: nodes, Quick: true, Cases: Cases(regexp.MustCompile(pattern)),
		Process: func(role string) *exec.Cmd { return exec.Command(os.Args[0], processArgument, role) },
		Daemon: func(n Node) *exec.Cmd {
			text, err := json.Marshal(n)
			if err != nil {
				t.Error(err)
			}
			return exec.Command(os.Args[0], daemonArgument, string(text))
		}}
}

// checkResult looks at what must be so on any machine, however busy.
func checkResult(t *testing.T, c *Case, r *Result) {
	t.Helper()
	if r.Name != c.Name || r.Unit != c.Unit || r.Floor != c.Floor || r.Help != c.Help {
		t.Errorf("%s: result of another case: %+v", c.Name, r)
	}
	if r.Error != "" {
		t.Fatalf("%s: %s", c.Name, r.Error)
	}
	if r.P50 <= 0 || r.P99 <= 0 || r.FloorP50 <= 0 || r.FloorP99 <= 0 || r.Ratio <= 0 || r.Samples == 0 || r.N == 0 || r.FloorN == 0 {
		t.Errorf("%s: a figure is missing: %+v", c.Name, r)
	}
	if c.Unit == Microseconds && (r.P99 < r.P50 || r.FloorP99 < r.FloorP50) || c.Unit != Microseconds && r.P99 > r.P50 {
		t.Errorf("%s: the percentiles are the wrong way round: %+v", c.Name, r)
	}
}

// TestFaults checks the case that all tuning starts from, and that each access
// was a fault: read-ahead has no part in it.
func TestFaults(t *testing.T) {
	cfg := testConfig(t, 2, "^(read-fault|upgrade|local-fault)")
	var progress []string
	cfg.Progress = func(c *Case, block, blocks int) {
		progress = append(progress, fmt.Sprintf("%s %d/%d", c.Name, block, blocks))
	}
	results, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != len(cfg.Cases) {
		t.Fatalf("%d results of %d cases", len(results), len(cfg.Cases))
	}
	plan := newPlan(true)
	for i := range results {
		r := &results[i]
		checkResult(t, &cfg.Cases[i], r)
		want := plan.blocks * plan.ops
		// A thread that is preempted while it waits asks again.
		if r.Samples != want || r.N < uint64(want) {
			t.Errorf("%s: %d samples and %d faults of %d accesses", r.Name, r.Samples, r.N, want)
		}
		if r.CPU <= 0 || r.FloorCPU <= 0 || r.Switches <= 0 {
			t.Errorf("%s: no processor time: %+v", r.Name, r)
		}
	}
	if len(progress) != len(results)*plan.blocks {
		t.Errorf("progress: %v", progress)
	}
}

func TestOthers(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds")
	}
	cfg := testConfig(t, 3, "^(write-fault/threads=4|invalidate|scan|lock|barrier|cas)")
	results, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i := range results {
		checkResult(t, &cfg.Cases[i], &results[i])
	}
}

func TestTooFewNodes(t *testing.T) {
	if _, err := Run(t.Context(), &Config{Nodes: 1}); err == nil || !strings.Contains(err.Error(), "2 or more") {
		t.Errorf("one node: %v", err)
	}
}

// TestFailingCase checks that the others are measured all the same.
func TestFailingCase(t *testing.T) {
	cfg := testConfig(t, 2, "^local-fault")
	broken := cfg.Cases[0]
	broken.Name = "broken"
	broken.cluster = func(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) {
		_, err := b.apps[0].order(ctx, order{Op: "nonsense"})
		return nil, 0, err
	}
	cfg.Cases = append([]Case{broken}, cfg.Cases...)
	results, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 || !strings.Contains(results[0].Error, `unknown order "nonsense"`) || results[0].Name != "broken" {
		t.Fatalf("%+v", results)
	}
	checkResult(t, &cfg.Cases[1], &results[1])
}

// TestLostProcess checks that the run ends when a process does.
func TestLostProcess(t *testing.T) {
	cfg := testConfig(t, 2, "^local-fault")
	killer := cfg.Cases[0]
	killer.cluster = func(ctx context.Context, b *bed, p *plan) ([]float64, uint64, error) {
		b.apps[0].cmd.Process.Kill()
		_, err := b.apps[0].order(ctx, order{Op: "touch"})
		return nil, 0, err
	}
	cfg.Cases = []Case{killer, cfg.Cases[0]}
	start := time.Now()
	results, err := Run(t.Context(), cfg)
	var lost *lostError
	if !errors.As(err, &lost) || !strings.Contains(err.Error(), "the application of node 0") || len(results) != 1 {
		t.Errorf("after %v: %v, %+v", time.Since(start), err, results)
	}
}

func TestInterrupted(t *testing.T) {
	cfg := testConfig(t, 2, "^local-fault")
	ctx, cancel := context.WithCancel(t.Context())
	cfg.Progress = func(*Case, int, int) { cancel() }
	if _, err := Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestUnknownRole(t *testing.T) {
	if err := Process("nobody"); err == nil || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("%v", err)
	}
}
