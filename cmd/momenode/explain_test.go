package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome"
)

// hurry is a program that does what it is told, a line of words at a time, and
// waits for nothing longer than it has to. It prints errors, and whether they are
// that of a deadline.
func hurry() {
	n, err := mome.Connect(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var barrier *mome.Barrier
	fmt.Println("up", os.Getpid())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		var name string
		var party, parties int
		_, _ = fmt.Sscan(strings.TrimLeft(in.Text(), "abcdefghijklmnopqrstuvwxyz"), &name, &party, &parties)
		switch what, _, _ := strings.Cut(in.Text(), " "); what {
		case "lock":
			_, err = n.Lock(name).Acquire(ctx)
		case "join":
			var b *mome.Barrier
			if b, err = n.Barrier(ctx, name, party, parties); err == nil {
				barrier = b
			}
		case "wait":
			err = barrier.Wait(ctx)
		case "open":
			_, err = n.Open(ctx, name)
		}
		cancel()
		fmt.Println("did", errors.Is(err, context.DeadlineExceeded), errors.Is(err, mome.ErrMismatch), err)
	}
}

// hurried is such a program.
type hurried struct {
	*process
	pid string
	in  *os.File
}

func startHurry(t *testing.T, socket string) *hurried {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=hurry", "MOME_SOCKET="+socket)
	cmd.Stdin = r
	p := &hurried{process: startCmd(t, cmd), in: w}
	p.pid = strings.TrimPrefix(p.expect("up "), "up ")
	return p
}

// do has it do something, and returns what it says.
func (p *hurried) do(order string) string {
	p.t.Helper()
	fmt.Fprintln(p.in, order)
	return strings.TrimPrefix(p.expect("did "), "did ")
}

// TestDeadlinesSayWhom: a call whose deadline has passed says for whom it waited,
// and a party that is taken by whom.
func TestDeadlinesSayWhom(t *testing.T) {
	needNode(t)
	nodes := startNodes(t, 2, "--repair", "1h")
	first, second, third := startHurry(t, nodes[0].last.Socket), startHurry(t, nodes[1].last.Socket), startHurry(t, nodes[1].last.Socket)
	program := filepath.Base(os.Args[0])
	title := func(p *hurried, node int) string {
		return fmt.Sprintf("process %s (%s) on node %d", p.pid, program, node)
	}
	const past, mismatch, done = "true false ", "false true ", "false false <nil>"
	for _, c := range []struct {
		who         *hurried
		order       string
		kind, wants string
	}{
		{first, "lock x", done, ""},
		{second, "lock x", past, `mome: acquire lock "x": context deadline exceeded: held by ` + title(first, 0) + " for "},
		{first, "join x 0 4", done, ""},
		{third, "join x 0 4", mismatch, "party 0 of 4 is taken by " + title(first, 0)},
		{third, "join x 1 3", mismatch, "it has 4 parties, of which party 0 is " + title(first, 0)},
		{second, "join x 2 4", done, ""},
		{second, "wait", past, `mome: barrier "x", party 2, round 1: context deadline exceeded: party 0 of 4 has not come: ` + title(first, 0) + "; parties 1 and 3 of 4 have not joined"},
		{third, "join x 1 4", done, ""},
		{first, "wait", past, "party 1 of 4 has not come: " + title(third, 1) + "; party 3 of 4 has not joined"},
	} {
		if got := c.who.do(c.order); !strings.HasPrefix(got, c.kind) || !strings.Contains(got, c.wants) {
			t.Errorf("%s: %q, want %s…%s", c.order, got, c.kind, c.wants)
		}
	}
	// The node that keeps the configuration does not answer.
	nodes[0].signal(unix.SIGSTOP)
	defer nodes[0].signal(unix.SIGCONT)
	if err := unix.Waitid(unix.P_PID, nodes[0].cmd.Process.Pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if got, want := third.do("open nothing"), "the cluster's configuration, which the node at "+nodes[0].last.Address+" keeps, does not answer"; !strings.HasPrefix(got, past) || !strings.Contains(got, want) {
		t.Errorf("open: %q, want %s", got, want)
	}
}
