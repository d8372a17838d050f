package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mome-dsm/mome/impl/trace/replay"
)

func traceReplayCommand(asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use:   "replay DIR",
		Short: "Run the recorded inputs through the core again, and compare all it does",
		Long: `Replay gives a new core of each shard the recorded configurations and inputs, in
their order. The core is deterministic: every action, every state after an
action, and every batch of effects must be what the log says, and an input that
was refused must be refused again. A replay that agrees says that what ran is
the core of this build.

DIR holds the logs of all nodes of a run, as --trace has written them. A
difference names the log, the line and the step, and shows what was done then
and what is done now; the status is 1. A log that is truncated or has a gap gives
an error and no verdict.`,
		Example: `  momenode cluster --nodes 4 --fanout 2 --trace run -- ./sor --rows 256
  momenode trace replay run
  momenode trace replay run --json | jq .steps`,
		Args: exactly("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return traceReplay(cmd.OutOrStdout(), args[0], *asJSON)
		},
	}
}

// replayReport is the JSON of a replay that came to a verdict.
type replayReport struct {
	Verdict string `json:"verdict"` // "agrees" or "differs"
	replay.Summary
	Difference *replayDifference `json:"difference,omitempty"`
}

type replayDifference struct {
	File  string `json:"file"`
	Line  int    `json:"line"`
	Step  int    `json:"step"`
	Input string `json:"input"`
	What  string `json:"what"`
	Then  string `json:"then"`
	Now   string `json:"now"`
	Batch string `json:"batch"` // now, one effect a line
}

func traceReplay(out io.Writer, dir string, asJSON bool) error {
	sum, err := replay.Run(dir)
	report := replayReport{Verdict: "agrees", Summary: sum}
	var d *replay.Difference
	switch {
	case errors.As(err, &d):
		report.Verdict = "differs"
		report.Difference = &replayDifference{File: d.File, Line: d.Line, Step: d.Step, Input: d.Describe(),
			What: d.What, Then: d.Then, Now: d.Now, Batch: d.Batch}
	case err != nil:
		return err
	}
	if asJSON {
		err = printJSON(out, report)
	} else {
		err = report.print(out)
	}
	if err != nil || d == nil {
		return err
	}
	return fmt.Errorf("%s:%d: the replay differs from step %d of the log: the %s", d.File, d.Line, d.Step, d.What)
}

func (r *replayReport) print(w io.Writer) error {
	out := &errorWriter{w: w}
	s := r.Summary
	fmt.Fprintf(out, "replay %s: %s, %s, %s and their batches, %s, %s, %s\n", r.Verdict,
		plural(s.Nodes, "node"), plural(s.Logs, "log"), many(s.Steps, "step"), many(s.Actions, "action"),
		many(s.Effects, "effect"), many(s.Refused, "refusal"))
	d := r.Difference
	if d == nil {
		return out.err
	}
	fmt.Fprintf(out, "\nfirst difference: step %d of its log, %s:%d\n", d.Step, d.File, d.Line)
	rows := [][2]string{{"input", d.Input}, {"differs", d.What}, {"then", d.Then}, {"now", d.Now}}
	for _, line := range strings.Split(strings.TrimSpace(d.Batch), "\n") {
		rows = append(rows, [2]string{"now out", line})
	}
	for _, row := range rows {
		if row[1] != "" {
			fmt.Fprintf(out, "  %-8s %s\n", row[0], row[1])
		}
	}
	return out.err
}

// many is plural with commas in the number.
func many(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return count(uint64(n)) + " " + thing + "s"
}
