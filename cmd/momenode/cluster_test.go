package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/trace"
)

func TestClusterRunsSor(t *testing.T) {
	needNode(t)
	for _, transport := range []string{"tcp", "grpc"} {
		t.Run("transport="+transport, func(t *testing.T) {
			status, stdout, stderr := run(t, "cluster", "--nodes", "3", "--transport", transport, "--",
				sorPath, "--rows", "128", "--cols", "96", "--iterations", "10")
			if status != 0 || stderr != "" || !strings.Contains(stdout, "0| answer         verified") {
				t.Errorf("status %d: %s\n%s", status, stdout, stderr)
			}
		})
	}
	t.Run("fanout=2", func(t *testing.T) {
		status, stdout, stderr := run(t, "cluster", "--nodes", "4", "--fanout", "2",
			sorPath, "--rows", "128", "--cols", "96", "--iterations", "10")
		if status != 0 || stderr != "" || !strings.Contains(stdout, "0| answer         verified") {
			t.Errorf("status %d: %s\n%s", status, stdout, stderr)
		}
	})
}

// TestClusterTrace checks that a run that is recorded leaves logs of all nodes
// that are complete and have pages going both ways. Without hints the rows that a
// rank fills in are read first, then written.
func TestClusterTrace(t *testing.T) {
	needNode(t)
	dir := t.TempDir()
	status, stdout, stderr := run(t, "cluster", "--nodes", "2", "--trace", dir, "--",
		sorPath, "--rows", "128", "--cols", "96", "--iterations", "5", "--phases", "2", "--prefetch=false")
	if status != 0 || stderr != "" {
		t.Fatalf("status %d: %s\n%s", status, stdout, stderr)
	}
	files, err := trace.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	acts := make(map[addr.NodeID]map[string]int)
	for _, f := range files {
		if acts[f.Header.Node] == nil {
			acts[f.Header.Node] = make(map[string]int)
		}
		for r, err := range f.Records() {
			if err != nil {
				t.Fatal(err)
			}
			if r.Kind == trace.KindAction {
				acts[f.Header.Node][r.Act]++
			}
		}
	}
	if len(acts) != 2 {
		t.Fatalf("%d nodes have logs, want 2", len(acts))
	}
	for node, n := range acts {
		for _, act := range []string{"ReadFault", "WriteFault", "RecvReq", "RecvAck", "RecvData", "LeafRecvGrant", "LeafRecvRecall"} {
			if n[act] == 0 {
				t.Errorf("node %d has no %s: %v", node, act, n)
			}
		}
	}
}

// TestClusterStatus checks that the status is the worst of the copies'.
func TestClusterStatus(t *testing.T) {
	needNode(t)
	for _, tc := range []struct {
		name, script string
		status       int
		says         string
	}{
		{"all well", `exit 0`, 0, ""},
		{"the worst", `exit $MOME_RANK`, 2, "failed (exit status"},
		{"high", `exit 255`, 255, "failed (exit status 255)"},
		{"signal", `[ $MOME_RANK = 1 ] && kill -SEGV $$; exit 3`, 128 + int(syscall.SIGSEGV), "failed ("},
		{"killed", `[ $MOME_RANK = 2 ] && kill -KILL $$; exit 0`, 128 + int(syscall.SIGKILL), "rank 2 failed (signal: killed)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, stdout, stderr := run(t, "cluster", "--nodes", "3", "--", "sh", "-c", tc.script)
			if tc.says != "" {
				failure(t, status, stderr, tc.status, tc.says)
			} else if status != tc.status || stderr != "" {
				t.Errorf("status %d, %q", status, stderr)
			}
			if stdout != "" {
				t.Errorf("standard output: %q", stdout)
			}
		})
	}
}

// TestClusterEnvironment: each copy has its node, its rank and their number.
func TestClusterEnvironment(t *testing.T) {
	needNode(t)
	status, stdout, stderr := run(t, "cluster", "--nodes", "2", "--", "sh", "-c",
		`test -S $MOME_SOCKET && echo $MOME_RANK of $MOME_SIZE, $0 $1; cat`, "a b", "--flag")
	lines := strings.Split(stdout, "\n")
	slices.Sort(lines)
	if want := []string{"0| 0 of 2, a b --flag", "1| 1 of 2, a b --flag"}; status != 0 || stderr != "" || !slices.Equal(lines, want) {
		t.Errorf("status %d, %q, %q", status, lines, stderr)
	}
}

// TestClusterOutput: lines come whole and in order, marked, each stream on its
// own.
func TestClusterOutput(t *testing.T) {
	needNode(t)
	const nodes = 3
	status, stdout, stderr := run(t, "cluster", "--nodes", fmt.Sprint(nodes), "--", childProgram(t, "lines"))
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	for name, text := range map[string]string{"stdout": stdout, "stderr": strings.TrimSuffix(stderr, "\n")} {
		got := make(map[string][]string)
		for _, line := range strings.Split(text, "\n") {
			rank, rest, ok := strings.Cut(line, "| ")
			if !ok {
				t.Fatalf("%s: a line without a mark: %q", name, line)
			}
			got[rank] = append(got[rank], rest)
		}
		var want []string
		for i := range 500 {
			want = append(want, fmt.Sprintf("%s line %d", name, i))
		}
		want = append(want, "no end")
		for rank := range nodes {
			if !slices.Equal(got[fmt.Sprint(rank)], want) {
				t.Errorf("%s of rank %d has %d lines, which are not the %d expected", name, rank, len(got[fmt.Sprint(rank)]), len(want))
			}
		}
		if len(got) != nodes {
			t.Errorf("%s has %d ranks", name, len(got))
		}
	}
}

func TestPrefixer(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, tc := range []struct{ in, want string }{
		{"", ""},
		{"a\n", "7| a\n"},
		{"a\n\nb", "7| a\n7| \n7| b\n"},
		{"\n", "7| \n"},
		{long + "y\n", "7| " + long + "\n7| y\n"},
	} {
		var out strings.Builder
		if err := (&prefixer{out: &out}).copy("7| ", strings.NewReader(tc.in)); err != nil || out.String() != tc.want {
			t.Errorf("%.20q: %.40q, %v", tc.in, out.String(), err)
		}
	}
}

// TestClusterEndsOthers: when a copy fails, those that hang are ended, and do
// not count.
func TestClusterEndsOthers(t *testing.T) {
	needNode(t)
	// Rank 1 fails when the others are up.
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	p := momenode(t, "cluster", "--nodes", "3", "--grace", "200ms", "--", "sh", "-c",
		`if [ $MOME_RANK = 1 ]; then read x < `+fifo+`; exit 3; fi; exec `+childProgram(t, "hang"))
	p.expect("up")
	p.expect("up")
	if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	status, stderr := p.end()
	failure(t, status, stderr, 3, "rank 1 failed (exit status 3)", "200ms to end")
}

func TestClusterInterrupted(t *testing.T) {
	needNode(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			p := momenode(t, "cluster", "--nodes", "2", "--", "sh", "-c", "echo up; sleep 1000 & wait")
			p.expect("up")
			p.expect("up")
			all := watch(t, descendants(t, p.cmd.Process.Pid))
			p.signal(sig)
			if status, stderr := p.end(); status != 128+int(sig) || stderr != "" {
				t.Errorf("status %d, %q", status, stderr)
			}
			all.gone()
		})
	}
}

// TestClusterInterruptedTwice: a second signal ends what the first does not.
func TestClusterInterruptedTwice(t *testing.T) {
	needNode(t)
	p := momenode(t, "cluster", "--nodes", "2", "--grace", "1h", "--", childProgram(t, "hang"))
	p.expect("up")
	p.expect("up")
	all := watch(t, descendants(t, p.cmd.Process.Pid))
	p.signal(syscall.SIGINT)
	p.signal(syscall.SIGTERM)
	if status, stderr := p.end(); status != 130 && status != 143 || stderr != "" {
		t.Errorf("status %d, %q", status, stderr)
	}
	all.gone()
}

// TestClusterKilled: nothing is left, children of the programs included.
func TestClusterKilled(t *testing.T) {
	needNode(t)
	tmp := shortTemp(t)
	t.Setenv("TMPDIR", tmp)
	p := momenode(t, "cluster", "--nodes", "2", "--", "sh", "-c", "sleep 1000 & echo up; wait")
	p.expect("up")
	p.expect("up")
	pids := descendants(t, p.cmd.Process.Pid)
	if len(pids) != 8 { // two nodes, the store of one, two programs with a child each, the keeper
		t.Errorf("the processes of the cluster: %v", pids)
	}
	all := watch(t, pids)
	p.signal(syscall.SIGKILL)
	all.gone()
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestClusterLeavesNothing: the directory goes at an ordinary end too, and with
// it what programs left running.
func TestClusterLeavesNothing(t *testing.T) {
	needNode(t)
	tmp := shortTemp(t)
	t.Setenv("TMPDIR", tmp)
	p := momenode(t, "cluster", "--nodes", "2", "--", "sh", "-c", "sleep 1000 & echo $!")
	status, stderr := p.end()
	if status != 0 || stderr != "" || len(p.seen) != 2 {
		t.Errorf("status %d, %q, %q", status, p.seen, stderr)
	}
	for _, line := range p.seen {
		var rank, pid int
		if _, err := fmt.Sscanf(line, "%d| %d", &rank, &pid); err != nil {
			t.Fatal(err)
		}
		watch(t, []int{pid}).gone()
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestClusterNodeKilled: the loss of a node is one line, and the end. Its trace is
// not whole, and says what it lacks.
func TestClusterNodeKilled(t *testing.T) {
	needNode(t)
	for _, victim := range []int{0, 1} {
		t.Run(fmt.Sprintf("node=%d", victim), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			p := momenode(t, "cluster", "--nodes", "3", "--trace", dir, "--", childProgram(t, "share"))
			for range 3 {
				p.expect("| sum 6")
			}
			pids := descendants(t, p.cmd.Process.Pid)
			all := watch(t, pids)
			node := nodeProcess(t, p.cmd.Process.Pid, fmt.Sprintf("node%d.sock", victim))
			if err := syscall.Kill(node, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			status, stderr := p.end()
			want := fmt.Sprintf("momenode: node %d died (signal: killed): the run is over", victim)
			if own := ownLines(stderr); status != 1 || !slices.Contains(own, want) {
				t.Errorf("status %d, %q", status, stderr)
			}
			all.gone()
			for node := range 3 {
				if _, err := os.Stat(filepath.Join(dir, fmt.Sprintf("node%05d-i1-manifest.json", node))); (err == nil) == (node == victim) {
					t.Errorf("the manifest of node %d, where node %d was killed: %v", node, victim, err)
				}
			}
			status, stdout, stderr := run(t, "trace", "validate", dir)
			failure(t, status, stderr, 1, fmt.Sprintf("cannot decide: incomplete trace: %s: node %d has left no node%05d-i1-manifest.json: it was killed", dir, victim, victim))
			if stdout != "" {
				t.Errorf("a verdict: %s", stdout)
			}
		})
	}
}

// TestClusterNodeKilledWhileHanging: programs that cannot be told are ended.
func TestClusterNodeKilledWhileHanging(t *testing.T) {
	needNode(t)
	p := momenode(t, "cluster", "--nodes", "2", "--grace", "100ms", "--", childProgram(t, "hang"))
	p.expect("up")
	p.expect("up")
	if err := syscall.Kill(nodeProcess(t, p.cmd.Process.Pid, "node1.sock"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	status, stderr := p.end()
	failure(t, status, stderr, 1, "node 1 died (signal: killed): the run is over")
}

// TestClusterNodeStopped: a node that hangs is given up by the others.
func TestClusterNodeStopped(t *testing.T) {
	needNode(t)
	p := momenode(t, "cluster", "--nodes", "2", "--repair", "2s", "--", childProgram(t, "share"))
	p.expect("sum 3")
	p.expect("sum 3")
	if err := syscall.Kill(nodeProcess(t, p.cmd.Process.Pid, "node1.sock"), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	status, stderr := p.end()
	if status != 1 || !strings.Contains(stderr, "node 1 is lost") {
		t.Errorf("status %d, %q", status, stderr)
	}
}

func TestClusterWithoutProgram(t *testing.T) {
	needNode(t)
	dir := filepath.Join(shortTemp(t), "d")
	p := momenode(t, "cluster", "--nodes", "2", "--dir", dir)
	p.expect("^C ends it")
	text := strings.Join(p.seen, "\n")
	for _, want := range []string{"A cluster of 2 nodes is up", "MOME_SOCKET=" + dir + "/node0.sock MOME_RANK=0 MOME_SIZE=2",
		"MOME_SOCKET=" + dir + "/node1.sock MOME_RANK=1 MOME_SIZE=2", "momenode status --socket " + dir + "/node0.sock"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
	status, _, stderr := run(t, "cluster", "--dir", dir, "--", "true")
	failure(t, status, stderr, 1, dir, "another cluster uses it")
	p.signal(syscall.SIGINT)
	if status, stderr := p.end(); status != 0 || stderr != "" {
		t.Errorf("status %d, %q", status, stderr)
	}
	var left []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{"node0.log", "node1.log"}; !slices.Equal(left, want) {
		t.Errorf("in the directory: %q, want %q", left, want)
	}
}

func TestClusterJSON(t *testing.T) {
	needNode(t)
	p := momenode(t, "cluster", "--nodes", "2", "--json")
	var got struct {
		Directory string
		Nodes     []described
	}
	if err := json.Unmarshal([]byte(p.expect("{")), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Nodes) != 2 || got.Nodes[1].Rank != 1 || got.Nodes[1].Env["MOME_SOCKET"] != got.Nodes[1].Socket ||
		got.Nodes[1].Env["MOME_RANK"] != "1" || got.Nodes[1].Env["MOME_SIZE"] != "2" || got.Nodes[1].Env["MOME_LOCAL"] != "2" || filepath.Dir(got.Nodes[0].Socket) != got.Directory {
		t.Errorf("%+v", got)
	}
	// Programs that are started by hand.
	program := childProgram(t, "share")
	var copies []*process
	for _, n := range got.Nodes {
		cmd := exec.Command(program)
		cmd.Env = os.Environ()
		for name, value := range n.Env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		copies = append(copies, startCmd(t, cmd))
	}
	for _, c := range copies {
		c.expect("sum 3")
	}
	p.signal(syscall.SIGTERM)
	if status, stderr := p.end(); status != 0 || stderr != "" {
		t.Errorf("status %d, %q", status, stderr)
	}
	for _, c := range copies {
		if status, _ := c.end(); status == 0 {
			t.Error("a program outlived its cluster")
		}
	}
}

// TestClusterCannotStart: what a node says comes out as one line.
func TestClusterCannotStart(t *testing.T) {
	needNode(t)
	dir := shortTemp(t)
	if err := os.WriteFile(filepath.Join(dir, "node1.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	status, _, stderr := run(t, "cluster", "--nodes", "3", "--dir", dir, "--", "true")
	failure(t, status, stderr, 1, "node 1 cannot start", "node1.sock", "not a socket")
}

// shortTemp is a temporary directory whose path leaves room for sockets.
func shortTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "mn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
