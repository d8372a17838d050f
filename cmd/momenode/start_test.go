package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startedNode is a node that a test has started by hand.
type startedNode struct {
	*process
	reports chan report
	last    report
}

// startNode starts "momenode start"; args come after its own. before, if any,
// are the command that runs it.
func startNode(t *testing.T, args ...string) *startedNode {
	t.Helper()
	return startNodeBy(t, nil, args...)
}

func startNodeBy(t *testing.T, before []string, args ...string) *startedNode {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	line := append(before, momenodePath, "start", "--ready-fd", "3")
	line = append(line, args...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.ExtraFiles = []*os.File{w}
	n := &startedNode{process: startCmd(t, cmd), reports: make(chan report, 10)}
	go func() {
		defer close(n.reports)
		defer r.Close()
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			var rep report
			if json.Unmarshal(lines.Bytes(), &rep) == nil {
				n.reports <- rep
			}
		}
	}()
	return n
}

// await waits for a report.
func (n *startedNode) await(state string) report {
	n.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for n.last.State != state {
		select {
		case rep, ok := <-n.reports:
			if !ok {
				status, stderr := n.end()
				n.t.Fatalf("%v ended with status %d before it was %s: %s", n.cmd.Args, status, state, stderr)
			}
			n.last = rep
		case <-limit.C:
			n.t.Fatalf("%v does not become %s", n.cmd.Args, state)
		}
	}
	return n.last
}

func (n *startedNode) ready() report { n.t.Helper(); return n.await(stateReady) }

// startNodes starts a cluster of nodes by hand; args are of all nodes.
func startNodes(t *testing.T, count int, args ...string) []*startedNode {
	t.Helper()
	dir := t.TempDir()
	socket := func(i int) string { return filepath.Join(dir, "node"+string(rune('0'+i))) }
	nodes := []*startedNode{startNode(t, append(args, "--socket", socket(0), "--nodes", string(rune('0'+count)))...)}
	founder := nodes[0].await(stateJoined).Address
	for i := 1; i < count; i++ {
		n := startNode(t, append(args, "--socket", socket(i), "--join", founder)...)
		n.await(stateJoined)
		nodes = append(nodes, n)
	}
	for i, n := range nodes {
		if rep := n.ready(); rep.Node != i || rep.Socket != socket(i) {
			t.Fatalf("node %d reports %+v", i, rep)
		}
	}
	return nodes
}

func TestStartStopsInOrder(t *testing.T) {
	needNode(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		nodes := startNodes(t, 3)
		nodes[1].signal(sig)
		for i, n := range nodes {
			if status, stderr := n.end(); status != 0 || len(ownLines(stderr)) > 0 {
				t.Errorf("node %d after %v of node 1: status %d: %s", i, sig, status, stderr)
			}
			if left, _ := filepath.Glob(n.last.Socket + "*"); len(left) > 0 {
				t.Errorf("node %d left %v behind", i, left)
			}
		}
	}
}

// TestJoinNamesTheFounder: no other node keeps the configuration that one joins by.
func TestJoinNamesTheFounder(t *testing.T) {
	needNode(t)
	nodes := startNodes(t, 2)
	status, _, stderr := run(t, "start", "--join", nodes[1].last.Address, "--socket", filepath.Join(t.TempDir(), "s"))
	failure(t, status, stderr, 1, nodes[1].last.Address, "--join the node that founded it")
}

func TestStartJSON(t *testing.T) {
	needNode(t)
	socket := filepath.Join(t.TempDir(), "s")
	n := startNode(t, "--json", "--socket", socket)
	for _, state := range []string{stateJoined, stateReady} {
		var rep report
		if err := json.Unmarshal([]byte(n.expect(state)), &rep); err != nil || rep != n.await(state) || rep.Socket != socket {
			t.Errorf("%+v, %v, want %+v", rep, err, n.last)
		}
	}
}

func TestStopBeforeComplete(t *testing.T) {
	needNode(t)
	n := startNode(t, "--nodes", "2", "--socket", filepath.Join(t.TempDir(), "s"))
	n.await(stateJoined)
	n.signal(syscall.SIGTERM)
	if status, stderr := n.end(); status != 0 || len(ownLines(stderr)) > 0 {
		t.Errorf("status %d: %s", status, stderr)
	}
}

func TestNodeKilled(t *testing.T) {
	needNode(t)
	nodes := startNodes(t, 3, "--repair", "2s")
	nodes[1].signal(syscall.SIGKILL)
	for _, i := range []int{0, 2} {
		status, stderr := nodes[i].end()
		own := ownLines(stderr)
		if status != 1 || len(own) != 1 || !strings.Contains(own[0], "the cluster cannot go on") {
			t.Errorf("node %d: status %d, %q", i, status, own)
		}
		if !strings.Contains(stderr, "node 1") {
			t.Errorf("node %d does not name node 1: %s", i, stderr)
		}
	}
}

func TestSocketInUse(t *testing.T) {
	needNode(t)
	socket := filepath.Join(t.TempDir(), "s")
	startNode(t, "--socket", socket).ready()
	status, _, stderr := run(t, "start", "--socket", socket)
	failure(t, status, stderr, 1, socket, "another node listens", "stop that", "--socket")
	// Of a cluster that is not complete, too.
	waiting := filepath.Join(t.TempDir(), "s")
	startNode(t, "--nodes", "2", "--socket", waiting).await(stateJoined)
	status, _, stderr = run(t, "start", "--socket", waiting)
	failure(t, status, stderr, 1, waiting, "another node listens", "stop that", "--socket")
}

func TestOneTooMany(t *testing.T) {
	needNode(t)
	founder := startNode(t, "--socket", filepath.Join(t.TempDir(), "s")).ready()
	status, _, stderr := run(t, "start", "--join", founder.Address, "--socket", filepath.Join(t.TempDir(), "s"))
	failure(t, status, stderr, 1, "cannot join the cluster at "+founder.Address+":", "all its nodes already", "--nodes N")
	if own := ownLines(stderr); len(own) != 1 || strings.Count(own[0], "cluster") != 1 || strings.Count(own[0], "127.0.0.1:") != 1 {
		t.Errorf("%q names more than the cluster, once", own)
	}
}

func TestTokens(t *testing.T) {
	needNode(t)
	dir := t.TempDir()
	for name, token := range map[string]string{"right": "secret\n", "wrong": "guess\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	founder := startNode(t, "--nodes", "2", "--token-file", filepath.Join(dir, "right"), "--socket", filepath.Join(dir, "0"))
	address := founder.await(stateJoined).Address
	for _, args := range [][]string{nil, {"--token-file", filepath.Join(dir, "wrong")}} {
		status, _, stderr := run(t, append([]string{"start", "--join", address, "--socket", filepath.Join(dir, "1")}, args...)...)
		failure(t, status, stderr, 1, address, "cluster token", "--token-file")
	}
	second := startNode(t, "--join", address, "--token-file", filepath.Join(dir, "right"), "--socket", filepath.Join(dir, "1"))
	second.ready()
	founder.ready()
	status, _, stderr := run(t, "start", "--join", address, "--token-file", filepath.Join(dir, "right"), "--socket", filepath.Join(dir, "2"))
	failure(t, status, stderr, 1, "all its nodes already")
}

// TestEnvironmentSocket: MOME_SOCKET names the node of all commands.
func TestEnvironmentSocket(t *testing.T) {
	needNode(t)
	socket := filepath.Join(t.TempDir(), "s")
	t.Setenv("MOME_SOCKET", socket)
	n := startNode(t)
	if got := n.ready().Socket; got != socket {
		t.Errorf("the socket is %s, not %s", got, socket)
	}
	if status, stdout, stderr := run(t, "segment", "list", "--json"); status != 0 || stdout != "[]" {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
	n.signal(syscall.SIGKILL)
	n.end()
	for _, args := range [][]string{{"status"}, {"segment", "list"}} {
		status, _, stderr := run(t, args...)
		failure(t, status, stderr, 1, socket, "the node has ended; start it again")
	}
	// What a dead node has left is no obstacle.
	startNode(t).ready()
}
