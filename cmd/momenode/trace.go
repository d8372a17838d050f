package main

import "github.com/spf13/cobra"

// traceCommands makes the subcommands of trace, in the order of the help.
var traceCommands = []func(*bool) *cobra.Command{
	traceValidateCommand,
	traceCheckCommand,
	traceReplayCommand,
	traceShowCommand,
	traceCoverageCommand,
}

func traceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trace",
		Short: "Judge, replay and show what a run has recorded",
		Long: `A node that runs with --trace DIR records every action of its managers, and a
program may record the operations that it does on shared memory. These commands
read such recordings afterwards; they need no cluster.`,
	}
	asJSON := cmd.PersistentFlags().Bool("json", false, "print JSON")
	for _, command := range traceCommands {
		cmd.AddCommand(command(asJSON))
	}
	return cmd
}
