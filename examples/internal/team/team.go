// Package team is what the example programs have in common: flags, the
// processes of a program as a team with one segment and one barrier, and the
// report at the end.
package team

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mome-dsm/mome"
)

// PageSize is the unit in which memory moves between machines. What different
// ranks store to at the same time lies on different pages.
const PageSize = 4096

// AlignUp rounds bytes up to whole pages.
func AlignUp(n int64) int64 { return (n + PageSize - 1) &^ (PageSize - 1) }

// Split is part i of [0, n) cut in equal parts, as [lo, hi).
func Split(n, parts, i int) (lo, hi int) { return n * i / parts, n * (i + 1) / parts }

// Usage is an error of the command line.
type Usage struct{ error }

// UsageError makes a Usage.
func UsageError(format string, args ...any) error { return Usage{fmt.Errorf(format, args...)} }

// Exit runs a program and ends the process: with status 0, with 2 and one line
// if the error is a Usage, else with 1 and one line. Asking for help is no
// error.
func Exit(name string, program func(args []string) error) {
	err := program(os.Args[1:])
	var usage Usage
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "%s: %v (try %s --help)\n", name, err, name)
		os.Exit(2)
	}
	if rank := os.Getenv(mome.EnvRank); rank != "" {
		name += ": rank " + rank
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	os.Exit(1)
}

// Options are the flags that all programs have.
type Options struct {
	Serial, JSON, Stats bool
	Name                string
}

// Flags are those of the options, to which a program adds its own.
func (o *Options) Flags(program string) *flag.FlagSet {
	flags := flag.NewFlagSet(program, flag.ContinueOnError)
	flags.BoolVar(&o.Serial, "serial", false, "run the serial program alone, without a cluster")
	flags.BoolVar(&o.JSON, "json", false, "print one line of JSON")
	flags.BoolVar(&o.Stats, "stats", false, "print what the counters of the nodes grew by")
	flags.StringVar(&o.Name, "name", program, "`NAME` of the segment and the barrier")
	return flags
}

// Parse reads the command line, which has flags only. about is what --help
// says before the flags.
func Parse(flags *flag.FlagSet, about string, args []string) error {
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Printf("%s\n\n", about)
		flags.SetOutput(os.Stdout)
		flags.PrintDefaults()
		return err
	case err != nil:
		return Usage{err}
	case flags.NArg() > 0:
		return UsageError("unexpected argument %q", flags.Arg(0))
	}
	return nil
}

// Team is this process among those of the program.
type Team struct {
	Rank, Size int
	Segment    *mome.Segment

	node    *mome.Node
	barrier *mome.Barrier
}

// Join attaches to the node, opens or creates the program's segment, whose size
// may depend on the number of ranks, and joins its barrier. All ranks call it. If
// size says that there are too many of them, or this machine has not the memory,
// nothing is created.
func Join(ctx context.Context, name string, size func(ranks int) (Memory, error)) (*Team, error) {
	node, err := mome.Connect(ctx)
	if err != nil {
		return nil, err
	}
	t := &Team{Rank: node.Rank(), Size: node.Size(), node: node}
	// Each node is the home of its part of the segment: the programs lay out
	// the bands of their ranks in that order.
	memory, err := size(t.Size)
	if err == nil {
		err = memory.check(memory.needed(t.Rank, t.Size, here(t.Size)))
	}
	if err == nil {
		t.Segment, err = node.OpenOrCreate(ctx, name, memory.Segment, mome.WithHome(mome.Block))
	}
	if errors.Is(err, mome.ErrBadSize) {
		err = fmt.Errorf("segment %q is there with another size than %d bytes, of a run that goes on or was killed: remove it (momenode segment remove %s), or choose another name (--name)",
			name, memory.Segment, name)
	}
	if err == nil {
		t.barrier, err = node.Barrier(ctx, name, t.Rank, t.Size)
	}
	if err != nil {
		return nil, errors.Join(err, node.Close())
	}
	return t, nil
}

// Wait is the team's barrier.
func (t *Team) Wait(ctx context.Context) error { return t.barrier.Wait(ctx) }

// Arrive is the first half of Wait. The node asks for what the hints name when
// all ranks have arrived.
func (t *Team) Arrive(hints ...mome.Hint) error { return t.barrier.ArrivePrefetch(t.Segment, hints...) }

// Timed runs the work between two barriers and returns how long the team took.
func (t *Team) Timed(ctx context.Context, work func() error) (time.Duration, error) {
	if err := t.Wait(ctx); err != nil {
		return 0, err
	}
	start := time.Now()
	if err := work(); err != nil {
		return 0, err
	}
	if err := t.Wait(ctx); err != nil {
		return 0, err
	}
	return time.Since(start), nil
}

// Finish ends a run. Rank 0 completes the report and prints it when all ranks have
// left. The counters grow from before on, which Stats has given.
func (t *Team) Finish(ctx context.Context, o *Options, report *Report, before map[string]uint64, complete func() error) error {
	var err error
	if o.Stats {
		if report.Nodes, err = t.Gather(ctx, before); err != nil {
			return err
		}
	}
	if t.Rank != 0 {
		return t.Leave(ctx)
	}
	report.Ranks = t.Size
	if err := complete(); err != nil {
		return err
	}
	if err := t.Leave(ctx); err != nil {
		return err
	}
	return report.Print(os.Stdout, o.JSON)
}

// Leave detaches, when all ranks have called it. Rank 0 removes the segment.
func (t *Team) Leave(ctx context.Context) error {
	err := t.Wait(ctx)
	if err == nil && t.Rank == 0 {
		err = t.node.Remove(ctx, t.Segment.Name())
	}
	return errors.Join(err, t.node.Close())
}
