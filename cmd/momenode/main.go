package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The statuses of momenode: of a failure, and of a command line that cannot be.
const (
	statusFailure = 1
	statusUsage   = 2
)

func main() { os.Exit(execute(os.Args[1:], os.Stderr)) }

// execute runs one command line, reports an error in one line, and returns the
// status of the process.
func execute(args []string, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(context.Background())
	var exit exitStatus
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "momenode: %s (see %s --help)\n", oneLine(err), cmd.CommandPath())
		return statusUsage
	}
	fmt.Fprintf(stderr, "momenode: %s\n", oneLine(err))
	return statusFailure
}

// usageError is an error of the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// badUsage makes a usageError.
func badUsage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitStatus ends the process with this status; what there is to say has been
// said.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// oneLine is the text of an error as one line that names the program once.
func oneLine(err error) string {
	text := strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	text = strings.TrimPrefix(text, "mome: ")
	return strings.ReplaceAll(text, ": mome: ", ": ")
}
