package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWaitingIsSaid: programs and commands that come while the cluster is not
// complete are told who is missing.
func TestWaitingIsSaid(t *testing.T) {
	needNode(t)
	dir := shortTemp(t)
	socket := func(i int) string { return filepath.Join(dir, fmt.Sprint(i)) }
	address := reservePort(t)
	second := startNode(t, "--join", address, "--socket", socket(1))
	second.await(stateWaiting)
	status, _, stderr := run(t, "status", "--socket", socket(1))
	failure(t, status, stderr, 1, "this node has not joined, waits for the node at "+address+": nobody listens there")

	founder := startNode(t, "--listen", address, "--nodes", "3", "--socket", socket(0))
	second.await(stateJoined)
	const who = "node 0 has joined, waits for 1 of 3 nodes: 2 has not joined"
	for founder.await(stateWaiting).Waits != who {
		founder.last = report{}
	}
	t.Setenv("MOME_SOCKET", socket(0))
	t.Setenv(childEnv, "impatient")
	if got := start(t, os.Args[0]).expect("mome: "); got != "true mome: connect: attach to "+socket(0)+": context deadline exceeded: "+who {
		t.Errorf("a program that does not wait: %q", got)
	}
	// Standard error comes as it is written.
	list := start(t, "sh", "-c", "exec "+momenodePath+" segment list 2>&1")
	list.expect("momenode: waiting: " + who)
	t.Setenv(childEnv, "share")
	t.Setenv("MOME_SIZE", "1")
	program := start(t, "sh", "-c", "exec "+os.Args[0]+" 2>&1")
	program.expect("mome: connect: " + who)

	startNode(t, "--join", address, "--socket", socket(2)).ready()
	program.expect("sum 1")
	if status, _ := list.end(); status != 0 {
		t.Errorf("the list ends with status %d: %q", status, list.seen)
	}
}

// TestWaitingIsGivenUp: who does not wait any more costs the node nothing.
func TestWaitingIsGivenUp(t *testing.T) {
	needNode(t)
	socket := filepath.Join(shortTemp(t), "s")
	node := startNode(t, "--nodes", "2", "--socket", socket)
	node.await(stateJoined)
	sockets := func() (n int) {
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", node.cmd.Process.Pid))
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, "socket:") {
				n++
			}
		}
		return n
	}
	before := sockets()
	var conns []net.Conn
	for range 20 {
		conn, err := net.Dial("unixpacket", socket)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	for sockets() < before+20 {
	}
	for _, conn := range conns {
		conn.Close()
	}
	for sockets() > before {
	}
}

// TestClusterSaysWaits: cluster says for whom its nodes wait, in the founder's words,
// and when that changes.
func TestClusterSaysWaits(t *testing.T) {
	r, w := io.Pipe()
	defer r.Close()
	founder, other := new(member), new(member)
	c := &cluster{notice: newNotice(w, 0), nodes: []*member{founder, other}}
	defer c.notice.Stop()
	said := bufio.NewScanner(r)
	reports := func(m *member, waits string) {
		if err := c.handle(event{node: m, report: &report{State: stateWaiting, Waits: waits}}); err != nil {
			t.Error(err)
		}
	}
	for _, waits := range []string{"waits for 2 of 3 nodes", "waits for 1 of 3 nodes"} {
		go func() {
			reports(other, "has its own words")
			reports(founder, waits)
		}()
		if !said.Scan() || said.Text() != "momenode: waiting: "+waits {
			t.Fatalf("it says %q, %v", said.Text(), said.Err())
		}
	}
}
