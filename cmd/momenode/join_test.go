package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestJoinWaits: the founder may come last, and whoever waits for it says so.
func TestJoinWaits(t *testing.T) {
	needNode(t)
	dir := shortTemp(t)
	address := reservePort(t)
	second := startNode(t, "--join", address, "--socket", filepath.Join(dir, "1"))
	if rep := second.await(stateWaiting); !strings.Contains(rep.Waits, "waits for the node at "+address+": nobody listens there (connection refused)") {
		t.Errorf("it waits: %q", rep.Waits)
	}
	founder := startNode(t, "--listen", address, "--nodes", "2", "--socket", filepath.Join(dir, "0"))
	founder.ready()
	second.ready()
	second.cmd.Process.Kill()
	if _, stderr := second.end(); !strings.Contains(stderr, "connection refused") {
		t.Errorf("the log does not say for what it waited: %s", stderr)
	}
}

// listening is a port on which whoever comes is dealt with so.
func listening(t *testing.T, with func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				with(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// TestJoinSaysWhatIsThere: what is wrong with where the founder is said to be.
func TestJoinSaysWhatIsThere(t *testing.T) {
	needNode(t)
	for _, c := range []struct{ address, want string }{
		{reservePort(t), "nobody listens there (connection refused)"},
		{listening(t, func(conn net.Conn) { fmt.Fprint(conn, "SSH-2.0-OpenSSH_9.2\r\n") }), "what listens there is not a node of Mome"},
		{listening(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }), "it takes connections, and does not answer"},
		{listening(t, func(conn net.Conn) {}), "what listens there is not a node of Mome"},
	} {
		status, _, stderr := run(t, "start", "--join", c.address, "--wait", "1s", "--socket", filepath.Join(t.TempDir(), "s"))
		own := ownLines(stderr)
		if status != 1 || len(own) != 1 || !strings.Contains(own[0], "cannot join the cluster at "+c.address+": "+c.want) || !strings.Contains(own[0], "waited for 1s (--wait)") {
			t.Errorf("%s: status %d, %q; want %q", c.address, status, own, c.want)
		}
	}
}

// TestNodeIDs: nodes have the numbers that they are given, in whatever order they
// come, and a number that is given out twice is an error.
func TestNodeIDs(t *testing.T) {
	needNode(t)
	dir := shortTemp(t)
	socket := func(name string) string { return filepath.Join(dir, name) }
	founder := startNode(t, "--nodes", "4", "--node-id", "2", "--socket", socket("2"))
	address := founder.await(stateJoined).Address
	if founder.last.Node != 2 {
		t.Errorf("the founder has number %d", founder.last.Node)
	}
	if waits := founder.await(stateWaiting).Waits; waits != "node 2 has joined, waits for 3 of 4 nodes: 0, 1 and 3 have not joined" {
		t.Errorf("it waits: %q", waits)
	}
	nodes := map[string]*startedNode{"2": founder, "3": startNode(t, "--join", address, "--node-id", "3", "--socket", socket("3"))}
	nodes["3"].await(stateJoined)
	founder.last = report{}
	if waits := founder.await(stateWaiting).Waits; waits != "node 2 has joined, waits for 2 of 4 nodes: 0 and 1 have not joined" {
		t.Errorf("it waits: %q", waits)
	}
	status, _, stderr := run(t, "start", "--join", address, "--node-id", "3", "--socket", socket("x"))
	failure(t, status, stderr, 1, "--node-id 3 is taken, by the node at "+nodes["3"].last.Address)
	status, _, stderr = run(t, "start", "--join", address, "--node-id", "4", "--socket", socket("x"))
	failure(t, status, stderr, 1, "--node-id 4: the cluster has 4 nodes, 0 to 3")
	// Without a number: what is left.
	nodes["0"] = startNode(t, "--join", address, "--socket", socket("0"))
	nodes["0"].await(stateJoined)
	nodes["1"] = startNode(t, "--join", address, "--socket", socket("1"))
	for name, n := range nodes {
		if rep := n.ready(); fmt.Sprint(rep.Node) != name {
			t.Errorf("node %s has number %d", name, rep.Node)
		}
	}
	// A program's rank is the number of its node: none of these finds its seat taken.
	t.Setenv(childEnv, "share")
	var programs []*process
	for name := range nodes {
		t.Setenv("MOME_SOCKET", socket(name))
		programs = append(programs, start(t, os.Args[0]))
	}
	for _, p := range programs {
		p.expect("sum 10")
	}
}
