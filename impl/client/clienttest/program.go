//go:build linux

package clienttest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// programEnv makes a test binary the program that it tests.
const programEnv = "MOME_TEST_PROGRAM"

// Main is the TestMain of a program: it runs the program's main in the
// processes that Run starts, and the tests in others.
func Main(m *testing.M, main func()) {
	if os.Getenv(programEnv) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Run runs the program under test as so many ranks on a node of their own, and
// returns what each has printed, errors included. A rank that fails fails the
// test.
func Run(t *testing.T, ranks int, args ...string) []string {
	t.Helper()
	if RaceEnabled {
		t.Skip("the race detector's memory lies where segments do")
	}
	daemon := Start(t, ranks)
	outputs := make([]bytes.Buffer, ranks)
	errs := make([]error, ranks)
	var wg sync.WaitGroup
	for rank := range ranks {
		cmd := command(t, daemon.environment(rank, ranks), args)
		cmd.Stdout, cmd.Stderr = &outputs[rank], &outputs[rank]
		wg.Go(func() { errs[rank] = cmd.Run() })
	}
	wg.Wait()
	var texts []string
	for rank := range ranks {
		texts = append(texts, outputs[rank].String())
		if errs[rank] != nil {
			t.Errorf("rank %d of %d: %v\n%s", rank, ranks, errs[rank], texts[rank])
		}
	}
	return texts
}

// Status runs the program under test alone, without a node, and returns its
// exit status and what it has printed.
func Status(t *testing.T, args ...string) (int, string) {
	t.Helper()
	return status(t, command(t, []string{"MOME_SOCKET="}, args))
}

// RankStatus runs one rank of the program under test on a node.
func RankStatus(t *testing.T, daemon *Node, rank, ranks int, args ...string) (int, string) {
	t.Helper()
	if RaceEnabled {
		t.Skip("the race detector's memory lies where segments do")
	}
	return status(t, command(t, daemon.environment(rank, ranks), args))
}

// environment makes a process the rank of a program on this node.
func (n *Node) environment(rank, ranks int) []string {
	return []string{"MOME_SOCKET=" + n.Socket(), fmt.Sprintf("MOME_RANK=%d", rank), fmt.Sprintf("MOME_SIZE=%d", ranks)}
}

func command(t *testing.T, env, args []string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = append(append(os.Environ(), programEnv+"=1"), env...)
	return cmd
}

func status(t *testing.T, cmd *exec.Cmd) (int, string) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}
