package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/mome-dsm/mome/impl/bench"
	"github.com/mome-dsm/mome/impl/wire"
)

type benchFlags struct {
	nodes     int
	pattern   string
	transport string
	report    string
	quick     bool
	json      bool
}

// benchProcess is the name of the command that bench starts.
const benchProcess = "bench-process"

func benchCommand() *cobra.Command {
	var f benchFlags
	var cases strings.Builder
	for _, c := range bench.Cases(nil) {
		fmt.Fprintf(&cases, "  %-22s %-5s %s\n%31sfloor: %s\n", c.Name, c.Unit, c.Help, "", c.Floor)
	}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what shared memory costs on this machine, beside the floor",
		Long: `Bench runs a cluster of its own on this machine, as "momenode cluster" does, and
measures how long faults, locks and barriers take. Beside it runs the floor: a
minimal program without a protocol, which makes only the userfaultfd and socket
round trips that an operation cannot do without, between as many processes. The
two are measured in turn, block by block, so that whatever else the machine does
meets both. Read the ratio rather than the figures: of a latency p50 over the
floor's p50 (less is better), of a rate the part of the floor's (more is better).
The spread is how far the blocks' medians lie apart; a large one says that the
machine was busy.

` + cases.String() + `
uffd: a round trip by userfaultfd between two processes; tcp: one over a TCP
connection on loopback, with a page as the answer if nothing else is said; unix:
one over a UNIX socket.

Whole programs are measured by running them, on one node and on more:

  momenode cluster --nodes 1 -- ./sor --rows 2048 --cols 2048 --iterations 1000
  momenode cluster --nodes 2 -- ./sor --rows 2048 --cols 2048 --iterations 1000`,
		Example: `  momenode bench
  momenode bench --case '^read-fault' --quick
  momenode bench --transport grpc --json > grpc.json
  momenode bench --report BENCHMARKS.md`,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntVar(&f.nodes, "nodes", 2, "run `N` nodes; nodes 0 and 1 do the work, all of them the barrier")
	flags.StringVar(&f.pattern, "case", "", "measure the cases whose name matches `PATTERN`, a regular expression")
	flags.StringVar(&f.transport, "transport", "", "what the links run on, `TRANSPORT` tcp or grpc (default "+wire.TCP+")")
	flags.BoolVar(&f.quick, "quick", false, "a few blocks only: to see that it runs, not to compare")
	flags.StringVar(&f.report, "report", "", "write the table, and on what machine it was measured, to `FILE` in Markdown; there, what follows the line "+bench.ReportEnd+" stays, or without such a line what follows the first heading \"## \"")
	flags.BoolVar(&f.json, "json", false, "print a list in JSON")
	return cmd
}

func (f *benchFlags) run(cmd *cobra.Command) error {
	pattern, err := regexp.Compile(f.pattern)
	if err != nil {
		return badUsage("--case: %w", err)
	}
	cases := bench.Cases(pattern)
	switch {
	case len(cases) == 0:
		return badUsage("--case %q matches no case; they are in the help", f.pattern)
	case f.nodes < 2 || f.nodes > 64:
		return badUsage("--nodes %d: 2 to 64; what is measured is between nodes", f.nodes)
	case f.transport != "" && f.transport != wire.TCP && f.transport != wire.GRPC:
		return badUsage("--transport %q: it is %q or %q", f.transport, wire.TCP, wire.GRPC)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var report *os.File
	var rest []byte
	if f.report != "" {
		if report, rest, err = f.openReport(); err != nil {
			return err
		}
		defer report.Close()
	}
	machine := bench.ThisMachine()
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	results, runErr := bench.Run(ctx, &bench.Config{
		Nodes: f.nodes, Quick: f.quick, Cases: cases,
		Daemon: func(n bench.Node) *exec.Cmd { return exec.Command(self, startArgs(n, f.transport)...) },
		Process: func(role string) *exec.Cmd {
			return exec.Command(self, benchProcess, role)
		},
		Progress: benchProgress(),
	})
	clearLine()
	out := cmd.OutOrStdout()
	if f.json {
		err = bench.WriteJSON(out, results)
	} else if len(results) > 0 {
		err = bench.WriteTable(out, results)
	}
	if report != nil && len(results) > 0 {
		err = errors.Join(err, writeReport(report, rest, machine, results))
	}
	if runErr != nil {
		if ctx.Err() != nil {
			runErr = errors.New("bench was interrupted; what is printed was measured before")
		}
		return errors.Join(runErr, err)
	}
	for i := range results {
		if results[i].Error != "" {
			err = errors.Join(err, fmt.Errorf("case %s failed: %s", results[i].Name, results[i].Error))
		}
	}
	return err
}

// startArgs is the command line of a node.
func startArgs(n bench.Node, transport string) []string {
	args := []string{"start", "--listen", n.Listen, "--socket", n.Socket, "--log-level", "warn"}
	if n.Join != "" {
		return append(args, "--join", n.Join)
	}
	args = append(args, "--nodes", strconv.Itoa(n.Nodes))
	if transport != "" {
		args = append(args, "--transport", transport)
	}
	return args
}

// openReport opens the report before anything is measured, and returns what
// somebody has written behind the last one: all that follows its end, or, where
// no end is marked, all from the first heading on.
func (f *benchFlags) openReport() (file *os.File, rest []byte, err error) {
	file, err = os.OpenFile(f.report, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, nil, fmt.Errorf("--report: %w; name another file", err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() { // /dev/full never ends
		file.Close()
		return nil, nil, fmt.Errorf("--report: %s is not a file; name another", f.report)
	}
	text, err := io.ReadAll(file)
	switch {
	case err != nil:
		err = fmt.Errorf("--report: %w; name another file", err)
	case len(text) > 0 && !bytes.HasPrefix(text, []byte(bench.ReportTitle)):
		err = fmt.Errorf("--report: %s is not a report of bench; name another file", f.report)
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	if _, after, ok := bytes.Cut(text, []byte("\n"+bench.ReportEnd+"\n")); ok {
		rest = after
	} else if i := bytes.Index(text, []byte("\n## ")); i >= 0 {
		rest = text[i:]
	}
	return file, rest, nil
}

// writeReport replaces what openReport has opened.
func writeReport(file *os.File, rest []byte, m bench.Machine, results []bench.Result) error {
	command := append([]string{"momenode"}, os.Args[1:]...)
	var report bytes.Buffer
	err := bench.WriteReport(&report, m, strings.Join(command, " "), results)
	if err == nil {
		report.Write(rest)
		_, err = file.WriteAt(report.Bytes(), 0)
	}
	if err == nil {
		err = file.Truncate(int64(report.Len()))
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// benchProgress shows on a terminal what is being measured.
func benchProgress() func(*bench.Case, int, int) {
	if !isTerminal(os.Stderr) {
		return nil
	}
	return func(c *bench.Case, block, blocks int) {
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s %d/%d", c.Name, block+1, blocks)
	}
}

func clearLine() {
	if isTerminal(os.Stderr) {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// benchProcessCommand is what bench starts.
func benchProcessCommand() *cobra.Command {
	return &cobra.Command{
		Use:    benchProcess + " ROLE",
		Short:  "Be a process that bench measures",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			// Its end is that of its standard input.
			signal.Ignore(os.Interrupt)
			return bench.Process(args[0])
		},
	}
}
