package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome"
)

// meet is a program of three ranks and more that stay as a test wants to see them.
// They draw a lock in the order of their ranks: the first one has it, the others
// wait. All but the last join a barrier, at which the first one does not arrive.
func meet() {
	ctx := context.Background()
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	n, err := mome.Connect(ctx)
	check(err)
	s, err := n.OpenOrCreate(ctx, "turns", 4096)
	check(err)
	turns := s.Bytes()
	last := n.Rank() == n.Size()-1
	if !last {
		b, err := n.Barrier(ctx, "meeting", n.Rank(), n.Size())
		check(err)
		if n.Rank() > 0 {
			check(b.Arrive())
		}
	}
	// Nobody asks for the lock before whoever is before it does: that shows in the
	// queue alone, so the test says when.
	fmt.Println("sat")
	for turns[0] < byte(n.Rank()) {
	}
	if n.Rank() == 0 {
		_, err := n.Lock("talk").Acquire(ctx)
		check(err)
		fmt.Println("talks")
	}
	turns[0] = byte(n.Rank() + 1)
	if n.Rank() > 0 {
		fmt.Println("listens")
		_, _ = n.Lock("talk").Acquire(ctx)
	}
	select {}
}

// locksOf is the status of locks and barriers by JSON.
func locksOf(t *testing.T, socket string) (s syncsStatus, status int) {
	t.Helper()
	status, stdout, stderr := run(t, "status", "--locks", "--barriers", "--json", "--socket", socket)
	decoder := json.NewDecoder(strings.NewReader(stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		t.Fatalf("status %d, %v: %s%s", status, err, stdout, stderr)
	}
	return s, status
}

// stateOf is the line of /proc about what a process is doing.
func stateOf(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, state, _ := strings.Cut(string(text), "State:")
	state, _, _ = strings.Cut(state, "\n")
	return state
}

func TestStatusOfLocksAndBarriers(t *testing.T) {
	needNode(t)
	const nodes = 3
	dir := shortTemp(t)
	p := momenode(t, "cluster", "--nodes", fmt.Sprint(nodes), "--repair", "1h", "--dir", dir, "--", childProgram(t, "meet"))
	for range nodes {
		p.expect("| listens")
		if strings.Count(strings.Join(p.seen, "\n"), "| listens") == nodes-1 {
			break
		}
	}
	socket := func(i int) string { return filepath.Join(dir, fmt.Sprintf("node%d.sock", i)) }
	// A request that was printed before it was sent is there in a moment.
	var s syncsStatus
	for {
		s, _ = locksOf(t, socket(1))
		if len(s.Locks) == 1 && len(s.Locks[0].Waiters) == nodes-1 && len(s.Barriers) == 1 && s.Barriers[0].Come == nodes-2 {
			break
		}
	}
	l := s.Locks[0]
	if l.Name != "talk" || l.Holder == nil || l.Holder.Node != 0 || l.Holder.PID == nil || l.Fence == 0 || l.Holder.Seconds <= 0 {
		t.Errorf("the lock: %+v, held by %+v", l, l.Holder)
	}
	for _, w := range append(l.Waiters, l.Holder) {
		if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", *w.PID)); err != nil || !strings.Contains(string(name), socket(int(w.Node))) {
			t.Errorf("process %d is not the program of node %d: %v", *w.PID, w.Node, err)
		}
		if w.Program != filepath.Base(os.Args[0]) {
			t.Errorf("the program of process %d is %q", *w.PID, w.Program)
		}
	}
	b := s.Barriers[0]
	if b.Name != "meeting" || b.Parties != nodes || b.Round != 1 || b.Broken || len(b.Joined) != 2 || b.Joined[0].Come || !b.Joined[1].Come ||
		fmt.Sprint(b.NotJoined) != "[2]" || *b.Joined[0].PID != *l.Holder.PID || len(b.Left) != 0 {
		t.Errorf("the barrier: %+v", b)
	}

	status, stdout, stderr := run(t, "status", "--locks", "--barriers", "--socket", socket(2))
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, %q", status, stderr)
	}
	pid := fmt.Sprint(*l.Holder.PID)
	for _, want := range []string{"3 of 3 nodes", "Locks", "talk", "has it", pid, "waits, 1.", "waits, 2.", "Barriers", "meeting", "has not come", "has come", "1 not joined"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in\n%s", want, stdout)
		}
	}
	if _, stdout, _ := run(t, "status", "--locks", "--socket", socket(2)); strings.Contains(stdout, "meeting") || strings.Contains(stdout, "Segments") {
		t.Errorf("--locks shows more than locks:\n%s", stdout)
	}

	// A node that does not answer is named; what the others know is shown.
	silent := int(l.Waiters[0].Node)
	asked := nodes - silent // the other one of 1 and 2
	stopped := nodeProcess(t, p.cmd.Process.Pid, socket(silent))
	if err := unix.Kill(stopped, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer unix.Kill(stopped, syscall.SIGCONT)
	for !strings.Contains(stateOf(t, stopped), "T (stopped)") {
	}
	s, status = locksOf(t, socket(asked))
	if status != 1 || s.Nodes[silent].Error == "" || s.Nodes[0].Error != "" || len(s.Nodes) != nodes {
		t.Errorf("status %d, of a cluster without node %d: %+v", status, silent, s.Nodes)
	}
}
