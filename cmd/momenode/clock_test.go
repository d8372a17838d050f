package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/history"
	"github.com/mome-dsm/mome/linearizability"
)

// TestClocks runs a node in a time namespace whose monotonic clock is 5,000
// seconds ahead, as that of another machine may be. The histories of programs on
// both nodes are put together by what the nodes have measured, which must agree
// with what is known here; a program in a third namespace is not judged.
func TestClocks(t *testing.T) {
	needNode(t)
	const ahead = 5000
	if out, err := exec.Command("unshare", "--time", "true").CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI=true, and there are no time namespaces: %v: %s", err, out)
		}
		t.Skipf("needs time namespaces: %v: %s", err, out)
	}
	elsewhere := []string{"unshare", "--time", "--monotonic", fmt.Sprint(ahead)}
	dir := shortTemp(t)
	socket := func(i int) string { return filepath.Join(dir, fmt.Sprintf("node%d", i)) }
	first := startNode(t, "--socket", socket(0), "--nodes", "2")
	second := startNodeBy(t, elsewhere, "--socket", socket(1), "--join", first.await(stateJoined).Address)
	first.ready()
	second.ready()

	// The programs run beside their nodes.
	histories := filepath.Join(dir, "histories")
	t.Setenv(mome.EnvHistory, histories)
	self := childProgram(t, "tickets")
	beside := []string{"nsenter", "--time", "--target", fmt.Sprint(second.cmd.Process.Pid), self}
	for i, line := range [][]string{{self}, beside} {
		cmd := exec.Command(line[0], line[1:]...)
		cmd.Env = append(os.Environ(), mome.EnvSocket+"="+socket(i), fmt.Sprintf("%s=%d", mome.EnvRank, i), mome.EnvSize+"=2")
		if status, stderr := startCmd(t, cmd).end(); status != 0 {
			t.Fatalf("rank %d: status %d: %s", i, status, stderr)
		}
	}
	paths, err := filepath.Glob(filepath.Join(histories, "*"))
	if err != nil || len(paths) != 2 {
		t.Fatal(paths, err)
	}
	var headers [2]history.Header
	for i := range headers {
		if headers[i], _, err = history.Read(paths[i]); err != nil {
			t.Fatal(err)
		}
	}
	near, far := headers[0].Reading, headers[1].Reading
	const known = -ahead * 1_000_000_000
	if near.Reference != near.Name || far.Reference != near.Name || far.Name == near.Name || near.Offset != 0 {
		t.Errorf("clocks %+v and %+v", near, far)
	}
	if far.Offset < known-far.Bound || far.Offset > known+far.Bound {
		t.Errorf("the offset is %d, was found to be %d within %d", known, far.Offset, far.Bound)
	}
	t.Logf("histories: clock of another time namespace: offset %d ns, true %d, bound %d ns; on one machine: bound %d ns", far.Offset, known, far.Bound, near.Bound)
	h, err := linearizability.Read(paths...)
	if err != nil {
		t.Fatal(err)
	}
	if r := linearizability.Check(h.Operations, linearizability.Limits{}); r.Verdict != linearizability.Linearizable || h.Bound != far.Bound {
		t.Errorf("%v with a bound of %d: %+v", r.Verdict, h.Bound, r.Findings)
	}
	// The second rank began when the first had ended: without its clock's offset
	// it would have read the future.
	for i := range h.Operations {
		if o := &h.Operations[i]; o.File == paths[1] {
			o.Call += -ahead * 1_000_000_000
			o.Return += -ahead * 1_000_000_000
		}
	}
	if r := linearizability.Check(h.Operations, linearizability.Limits{}); r.Verdict != linearizability.Violation {
		t.Errorf("%v, with a wrong clock", r.Verdict)
	}

	cmd := exec.Command("unshare", "--time", "--monotonic", "7000", self)
	cmd.Env = append(os.Environ(), mome.EnvSocket+"="+socket(0), mome.EnvRank+"=0", mome.EnvSize+"=1")
	if status, stderr := startCmd(t, cmd).end(); status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	status, stdout, stderr := run(t, "trace", "check", histories)
	failure(t, status, stderr, 1, "cannot decide", "they were not compared")
	if stdout != "" {
		t.Errorf("a verdict: %s", stdout)
	}
	second.signal(unix.SIGTERM)
	first.signal(unix.SIGTERM)
}
