package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// hosts are network namespaces, one per host, on one bridge. Nothing of them is
// in the machine's own namespace, so that nothing can be in the way.
type hosts struct {
	t     *testing.T
	count int
	name  string
}

// newHosts makes hosts with the addresses 10.77.0.1 and so on. They go with the
// test.
func newHosts(t *testing.T, count int) *hosts {
	t.Helper()
	reason := ""
	if os.Geteuid() != 0 {
		reason = "needs root, to make network namespaces"
	} else if _, err := exec.LookPath("ip"); err != nil {
		reason = "needs ip (apt-get install iproute2)"
	}
	if reason != "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI=true, and the test %s", reason)
		}
		t.Skip(reason)
	}
	h := &hosts{t, count, fmt.Sprintf("momenode-test-%d", os.Getpid())}
	h.add(h.bridge())
	h.ip("-n", h.bridge(), "link", "add", "br0", "type", "bridge")
	h.ip("-n", h.bridge(), "link", "set", "br0", "up")
	for i := range count {
		h.add(h.host(i))
		port := fmt.Sprintf("port%d", i)
		h.ip("-n", h.bridge(), "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", h.host(i))
		h.ip("-n", h.bridge(), "link", "set", port, "master", "br0", "up")
		h.ip("-n", h.host(i), "address", "add", h.address(i)+"/24", "dev", "eth0")
		h.ip("-n", h.host(i), "link", "set", "eth0", "up")
		h.ip("-n", h.host(i), "link", "set", "lo", "up")
	}
	return h
}

func (h *hosts) bridge() string       { return h.name + "-bridge" }
func (h *hosts) host(i int) string    { return fmt.Sprintf("%s-%d", h.name, i) }
func (h *hosts) address(i int) string { return fmt.Sprintf("10.77.0.%d", i+1) }

// on is the start of a command line that runs on a host.
func (h *hosts) on(i int) []string { return []string{"ip", "netns", "exec", h.host(i)} }

func (h *hosts) add(namespace string) {
	h.t.Helper()
	h.ip("netns", "add", namespace)
	h.t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "delete", namespace).CombinedOutput(); err != nil {
			h.t.Errorf("ip netns delete %s: %v: %s", namespace, err, out)
		}
	})
}

func (h *hosts) ip(args ...string) {
	h.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		h.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// TestHosts: a cluster of three hosts that share nothing but a network.
func TestHosts(t *testing.T) {
	needNode(t)
	for _, transport := range []string{"tcp", "grpc"} {
		t.Run("transport="+transport, func(t *testing.T) { testHosts(t, transport) })
	}
}

func testHosts(t *testing.T, transport string) {
	const count = 3
	h := newHosts(t, count)
	dir := shortTemp(t)
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("between us\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := func(i int) string { return filepath.Join(dir, fmt.Sprintf("host%d", i)) }

	// Beyond this machine, a token is required.
	p := start(t, "ip", append(h.on(0)[1:], momenodePath, "start", "--listen", h.address(0)+":7070", "--socket", socket(0))...)
	status, stderr := p.end()
	failure(t, status, stderr, 1, h.address(0)+":7070", "token", "--token-file")

	nodes := []*startedNode{startNodeBy(t, h.on(0), "--listen", h.address(0)+":7070", "--nodes", fmt.Sprint(count),
		"--transport", transport, "--token-file", token, "--socket", socket(0), "--repair", "2s")}
	nodes[0].await(stateJoined)
	p = start(t, "ip", append(h.on(1)[1:], momenodePath, "start", "--listen", h.address(1)+":7070", "--join", h.address(0)+":7070",
		"--socket", socket(1), "--token-file", writeToken(t, "another"))...)
	status, stderr = p.end()
	failure(t, status, stderr, 1, "cluster token", "--token-file")
	for i := 1; i < count; i++ {
		n := startNodeBy(t, h.on(i), "--listen", "0.0.0.0:7070", "--advertise", h.address(i)+":7070", "--join", h.address(0)+":7070",
			"--token-file", token, "--socket", socket(i), "--repair", "2s")
		n.await(stateJoined)
		nodes = append(nodes, n)
	}
	for i, n := range nodes {
		if rep := n.ready(); rep.Node != i || rep.Address != h.address(i)+":7070" {
			t.Errorf("host %d reports %+v", i, rep)
		}
	}

	programs := func(name string, args ...string) (list []*process) {
		for i := range count {
			cmd := exec.Command(name, args...)
			cmd.Env = append(os.Environ(), "MOME_SOCKET="+socket(i), fmt.Sprintf("MOME_RANK=%d", i), fmt.Sprintf("MOME_SIZE=%d", count))
			list = append(list, startCmd(t, cmd))
		}
		return list
	}
	for i, p := range programs(sorPath, "--rows", "128", "--cols", "96", "--iterations", "10") {
		status, stderr := p.end()
		if status != 0 || i == 0 && !strings.Contains(strings.Join(p.seen, "\n"), "answer         verified") {
			t.Errorf("rank %d: status %d, %q, %s", i, status, p.seen, stderr)
		}
	}
	status, stdout, stderr := run(t, "status", "--socket", socket(2))
	if status != 0 || !strings.Contains(stdout, "3 of 3 nodes") || !strings.Contains(stdout, "transport "+transport) {
		t.Errorf("status %d, %q\n%s", status, stderr, stdout)
	}
	for i := range count {
		if !strings.Contains(stdout, h.address(i)+":7070") {
			t.Errorf("host %d is missing in\n%s", i, stdout)
		}
	}

	// A cable is pulled: both sides give up, and no program hangs.
	shares := programs(childProgram(t, "share"))
	for _, p := range shares {
		p.expect("sum 6")
	}
	h.ip("-n", h.bridge(), "link", "set", "port1", "down")
	for i, n := range nodes {
		status, stderr := n.end()
		if own := ownLines(stderr); status != 1 || len(own) != 1 || !strings.Contains(own[0], "the cluster cannot go on") {
			t.Errorf("host %d: status %d, %q", i, status, own)
		}
	}
	for i, p := range shares {
		if status, _ := p.end(); status != 1 && status != 128+int(syscall.SIGKILL) {
			t.Errorf("program %d: status %d", i, status)
		}
	}
}

func writeToken(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
