package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/mome-dsm/mome/impl/trace"
	"github.com/mome-dsm/mome/impl/trace/validate"
	"github.com/mome-dsm/mome/spec/tlc"
)

// validation is a verdict as it is printed.
type validation struct {
	Verdict string         `json:"verdict"` // accepted or rejected
	Kind    string         `json:"kind"`
	Objects int            `json:"objects"`
	Events  int            `json:"events"`
	Longest int            `json:"longest"`
	Nodes   int            `json:"nodes"`
	Depth   int            `json:"depth"`
	Acts    map[string]int `json:"acts"`
	Reading float64        `json:"reading_seconds"`
	TLC     float64        `json:"tlc_seconds"`
	// UnderWay is how many messages had not arrived where the logs end.
	UnderWay int `json:"under_way"`
	// Unrest is why the run had not come to rest when it ended; empty: it had.
	Unrest  string   `json:"unrest,omitempty"`
	Refusal *refusal `json:"refusal,omitempty"`
}

type refusal struct {
	Object  string   `json:"object"`
	Event   int      `json:"event"`
	Action  string   `json:"action"`
	Manager string   `json:"manager"`
	Lamport uint64   `json:"lc"`
	File    string   `json:"file"`
	Line    int      `json:"line"`
	Reasons []string `json:"reasons"`
	State   string   `json:"state"`
}

func traceValidateCommand(asJSON *bool) *cobra.Command {
	var o validate.Options
	cmd := &cobra.Command{
		Use:   "validate DIR [--keep DIR]",
		Short: "Is a recorded run a behaviour of the specification?",
		Long: `Validate merges the logs of all nodes of a run, which are in DIR, and has the
model checker TLC follow every page through the specification (TraceStrong): each
action must be possible and lead to the state that the log has, and contents must
be those that were stored. A page that several segments have had, one after another,
is followed through this succession too (TraceSegment): nothing of one segment may
reach the next. Below that, every page of every node is followed through the steps by
which processes get it and lose it (TraceFrame); beside it, every lock (TraceHeapLock)
and every barrier (TraceBarrier) that the run has used.

A run is whole if every node has left a manifest, which it writes when it ends: which
logs it has, and what its cores and its links say that they have done. Where the
manifests say that the run had come to rest, nothing may be under way in the
specification either.

The status is 0 if the run is accepted. It is 1 if it is rejected: the event, the
state before it and what does not hold are printed. It is also 1, with an error
that says "cannot decide", if there is no verdict: a node was killed, a log is
missing, cut short or malformed, or lacks something that a manifest has, or TLC cannot
be run. TLC needs Java; Maven brings it the first time,
unless TLA2TOOLS_JAR names a tla2tools.jar.

With --json there is one object for each kind of thing that is followed.`,
		Example: `  momenode cluster --nodes 4 --fanout 2 --trace /tmp/run -- ./counter
  momenode trace validate /tmp/run`,
		Args: exactly("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Workers < 1 {
				return badUsage("--workers %d: TLC needs 1 thread or more", o.Workers)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return validateRun(ctx, cmd.OutOrStdout(), args[0], o, *asJSON)
		},
	}
	cmd.Flags().StringVar(&o.Keep, "keep", "", "leave the TLA+ modules and TLC's output in this directory, `DIR`")
	cmd.Flags().IntVar(&o.Workers, "workers", 2, "run TLC with `N` threads")
	return cmd
}

// validateRun judges the objects of every kind and prints the verdicts.
func validateRun(ctx context.Context, out io.Writer, dir string, o validate.Options, asJSON bool) error {
	undecided := func(err error) error { return fmt.Errorf("cannot decide: %w", err) }
	run, err := trace.OpenRun(dir)
	if err != nil {
		return undecided(err)
	}
	if o.Tool, err = tlc.Find(); err != nil {
		return undecided(err)
	}
	rejected, unrest := false, ""
	for _, kind := range validate.KindsOf(run) {
		v, err := validate.Run(ctx, run, kind, o)
		if kind.Optional && errors.Is(err, validate.ErrNothing) {
			continue
		}
		if err != nil {
			return undecided(err)
		}
		rejected, unrest = rejected || !v.Accepted, v.Unrest
		p := newValidation(v)
		if asJSON {
			err = printJSON(out, p)
		} else {
			err = p.print(out)
		}
		if err != nil {
			return err
		}
	}
	if unrest != "" && !asJSON {
		if _, err := fmt.Fprintf(out, "the run had not come to rest when it ended: %s\n", unrest); err != nil {
			return err
		}
	}
	if rejected {
		return exitStatus(statusFailure)
	}
	return nil
}

func newValidation(v *validate.Verdict) validation {
	p := validation{Verdict: "accepted", Kind: v.Kind.Name, Objects: v.Objects, Events: v.Events, Longest: v.Longest,
		Nodes: v.Nodes, Depth: v.Depth, Acts: v.Acts, Reading: v.Reading.Seconds(), TLC: v.Checking.Seconds(), UnderWay: v.UnderWay, Unrest: v.Unrest}
	if r := v.Refusal; r != nil {
		p.Verdict = "rejected"
		p.Refusal = &refusal{Object: r.Object, Event: r.Number, Action: r.Event.Act, Manager: r.Event.At.String(),
			Lamport: r.Event.Lamport, File: r.Event.File.Path, Line: r.Event.Line, Reasons: r.Reasons, State: r.State}
	}
	return p
}

func (p *validation) print(w io.Writer) error {
	out := &errorWriter{w: w}
	fmt.Fprintf(out, "%s: %s of %s (the longest has %d), %s, depth %d; %.1f s (%.1f s of it TLC)\n",
		p.Verdict, plural(p.Events, "event"), plural(p.Objects, strings.TrimSuffix(p.Kind, "s")), p.Longest, plural(p.Nodes, "node"), p.Depth, p.Reading+p.TLC, p.TLC)
	if p.UnderWay > 0 {
		fmt.Fprintf(out, "  %s had not arrived where the logs end\n", plural(p.UnderWay, "message"))
	}
	if r := p.Refusal; r != nil {
		fmt.Fprintf(out, "%s:%d: %s at %s is no step of the specification: event %d of %s, lc %d\n",
			r.File, r.Line, r.Action, r.Manager, r.Event, r.Object, r.Lamport)
		for _, reason := range r.Reasons {
			fmt.Fprintf(out, "  %s\n", reason)
		}
		fmt.Fprintf(out, "the state before it (rights: 0 none, 1 read, 2 owned, 3 write; content 1 is zeros, the others in the order in which they appear):\n  %s\n", strings.ReplaceAll(r.State, "\n", "\n  "))
	}
	return out.err
}
