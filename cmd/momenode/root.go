package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// commands makes the subcommands, in the order of the help.
var commands = []func() *cobra.Command{
	clusterCommand,
	startCommand,
	statusCommand,
	segmentCommand,
	doctorCommand,
	benchCommand,
	traceCommand,
	versionCommand,
	benchProcessCommand,
	keeperCommand,
}

// domains are what the values of flags can be, by their types.
var domains = map[string]string{
	"int":       "a whole number",
	"uint16":    "a whole number from 0 to 65535",
	"uint32":    "a whole number from 0 to 4294967295",
	"uintSlice": "whole numbers from 0 on, with commas between",
	"duration":  "a time with its unit, such as 500us, 20ms or 3s",
	"bool":      "true or false",
}

// flagError is an error of a flag of a command, with what its value can be, or the
// flag that may be meant.
func flagError(cmd *cobra.Command, err error) error {
	// The flags of a mistyped command are unknown, too.
	if args := cmd.Flags().Args(); cmd.HasSubCommands() && len(args) > 0 {
		return usageError{noSuchCommand(cmd, args)}
	}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		if near := flagsLike(cmd, unknown.GetSpecifiedName()); len(near) > 0 {
			return badUsage("%w; did you mean %s?", err, strings.Join(near, " or "))
		}
	}
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		flag := invalid.GetFlag()
		if domain, ok := domains[flag.Value.Type()]; ok {
			return badUsage("--%s %q: give %s", flag.Name, invalid.GetValue(), domain)
		}
	}
	return usageError{err}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "momenode",
		Short: "One memory of many machines",
		Long: `momenode runs and inspects the nodes of Mome, which makes the memory of many
machines one memory. Programs attach to the node of their machine, map segments
at the same address everywhere, and use them with loads, stores and atomics.

Begin with "momenode doctor", then "momenode cluster --nodes 2 -- PROGRAM".`,
		Example: `  momenode doctor
  momenode cluster --nodes 4 -- ./sor --rows 2048
  momenode start --listen 10.0.0.1:7070 --nodes 3 --token-file /etc/mome/token
  momenode start --listen 10.0.0.2:7070 --join 10.0.0.1:7070 --token-file /etc/mome/token
  momenode status --hottest 5`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("momenode {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	// The order of the list, which is that of use.
	cobra.EnableCommandSorting = false
	for _, command := range commands {
		root.AddCommand(command())
	}
	finish(root)
	return root
}

// finish gives a tree of commands what all have in common: arguments that
// cannot be are errors of usage, and a command that only groups others shows
// its help.
func finish(cmd *cobra.Command) {
	cmd.DisableFlagsInUseLine = true
	args := cmd.Args
	switch {
	case args != nil:
	case cmd.HasSubCommands():
		args = noSuchCommand
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	default:
		args = func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unexpected argument %q", args[0])
			}
			return nil
		}
	}
	cmd.Args = func(cmd *cobra.Command, given []string) error {
		if err := args(cmd, given); err != nil {
			return usageError{err}
		}
		return nil
	}
	for _, sub := range cmd.Commands() {
		finish(sub)
	}
}

// flagsLike are the flags of a command whose names are near a name. What is near is
// what cobra takes to be, of commands.
func flagsLike(cmd *cobra.Command, name string) []string {
	names := &cobra.Command{SuggestionsMinimumDistance: nearNames}
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			names.AddCommand(&cobra.Command{Use: flag.Name, Run: func(*cobra.Command, []string) {}})
		}
	})
	near := names.SuggestionsFor(name)
	for i := range near {
		near[i] = "--" + near[i]
	}
	return near
}

// nearNames is how many letters of a mistyped name may be wrong.
const nearNames = 2

func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("there is no command %q", args[0])
	cmd.SuggestionsMinimumDistance = nearNames
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
	}
	return err
}

// version is the release, or the commit if it is not one, and the Go release
// that built it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown) " + runtime.Version()
	}
	return info.Main.Version + " " + runtime.Version()
}
