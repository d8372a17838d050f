package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAgreedTimes: the founder's times are those of all nodes. Who says nothing has
// them, and who says something else is refused and told what they are.
func TestAgreedTimes(t *testing.T) {
	needNode(t)
	dir := shortTemp(t)
	founder := startNode(t, "--nodes", "3", "--socket", filepath.Join(dir, "0"), "--repair", "7s", "--residence", "0")
	join := []string{"--join", founder.await(stateJoined).Address}
	for _, other := range [][3]string{{"repair", "6s", "7s"}, {"residence", "1ms", "0s"}, {"residence", "50us", "0s"}} {
		status, _, stderr := run(t, append([]string{"start", "--socket", filepath.Join(dir, "other"), "--" + other[0], other[1]}, join...)...)
		failure(t, status, stderr, 1, "--"+other[0]+" ", "was founded with --"+other[0]+" "+other[2]+": give the same, or leave --"+other[0]+" out")
	}
	second := startNode(t, append(join, "--socket", filepath.Join(dir, "1"))...)
	second.await(stateJoined)
	third := startNode(t, append(join, "--socket", filepath.Join(dir, "2"), "--repair", "7000ms", "--residence", "0")...)
	for _, n := range []*startedNode{founder, second, third} {
		n.ready()
	}
	var s clusterStatus
	status, stdout, stderr := run(t, "status", "--json", "--socket", second.last.Socket)
	if err := json.Unmarshal([]byte(stdout), &s); status != 0 || err != nil || s.Repair != 7 || s.Residence != 0 {
		t.Errorf("status %d, %v, %s: %s", status, err, stderr, stdout)
	}
	// The one that was told nothing waits as long as the others for one that is away.
	third.signal(syscall.SIGSTOP)
	defer third.signal(syscall.SIGCONT)
	_, stderr = second.end()
	var silent, left float64
	_, line, _ := strings.Cut(stderr, "node 2 is away: ")
	if _, err := fmt.Sscanf(line, "nothing heard for %f s; the run ends if it is not back in %f s", &silent, &left); err != nil || math.Abs(silent+left-7) > 0.11 {
		t.Errorf("it does not wait for 7 s: %v, %s", err, stderr)
	}
}

// TestRefusalsAreLogged: the node that refuses somebody says so, and not as often as
// he likes.
func TestRefusalsAreLogged(t *testing.T) {
	needNode(t)
	dir := shortTemp(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "0")
	n := startNode(t, "--nodes", "1", "--socket", socket, "--token-file", writeToken(t, "ours"))
	n.ready()
	status, _, stderr := run(t, "start", "--socket", filepath.Join(dir, "1"), "--join", n.last.Address, "--token-file", writeToken(t, "another"))
	failure(t, status, stderr, 1, "cluster token")
	// Another user, for whom somebody has opened the socket.
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	const attempts = 15
	for range attempts {
		cmd := exec.Command(momenodePath, "segment", "list", "--socket", socket)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		status, stderr := startCmd(t, cmd).end()
		failure(t, status, stderr, 1, "user 65534")
	}
	n.signal(syscall.SIGTERM)
	_, stderr = n.end()
	token, user := 0, 0
	for line := range strings.Lines(stderr) {
		if !strings.Contains(line, "a connection was refused") {
			continue
		}
		switch {
		case strings.Contains(line, "remote=127.0.0.1:") && strings.Contains(line, "cluster token mismatch: a call of "):
			token++
		case strings.Contains(line, "remote=\"user 65534\"") && strings.Contains(line, "process ") && strings.Contains(line, "may not attach"):
			user++
		default:
			t.Errorf("another line: %s", line)
		}
	}
	if token == 0 || user == 0 || user >= attempts {
		t.Errorf("%d lines of the token and %d of the user: %s", token, user, stderr)
	}
}
