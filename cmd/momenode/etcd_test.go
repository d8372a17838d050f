package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/coord/coordtest"
)

// runOn is a run of a cluster whose configuration is in an etcd: all nodes have
// the same command line.
type runOn struct {
	t     *testing.T
	etcd  *coordtest.Etcd
	dir   string
	ports []string
}

// newRunOn makes the command lines of count nodes, whose addresses stay the same
// from run to run.
func newRunOn(t *testing.T, count int) *runOn {
	t.Helper()
	needNode(t)
	r := &runOn{t: t, etcd: coordtest.StartEtcd(t), dir: shortTemp(t)}
	for range count {
		r.ports = append(r.ports, reservePort(t))
	}
	return r
}

func (r *runOn) socket(i int) string { return filepath.Join(r.dir, fmt.Sprint("node", i)) }

func (r *runOn) args(i int, more ...string) []string {
	return append([]string{"--listen", r.ports[i], "--socket", r.socket(i), "--etcd", r.etcd.URL(),
		"--nodes", fmt.Sprint(len(r.ports))}, more...)
}

// start starts all nodes at once and waits until they serve.
func (r *runOn) start(more ...string) []*startedNode {
	r.t.Helper()
	var nodes []*startedNode
	for i := range r.ports {
		nodes = append(nodes, startNode(r.t, r.args(i, more...)...))
	}
	for _, n := range nodes {
		n.ready()
	}
	return nodes
}

// sor runs a program on all nodes.
func (r *runOn) sor() {
	r.t.Helper()
	var ranks []*process
	for i := range r.ports {
		cmd := exec.Command(sorPath, "--rows", "128", "--cols", "96", "--iterations", "10")
		cmd.Env = append(os.Environ(), "MOME_SOCKET="+r.socket(i), fmt.Sprint("MOME_RANK=", i), fmt.Sprint("MOME_SIZE=", len(r.ports)))
		ranks = append(ranks, startCmd(r.t, cmd))
	}
	for i, p := range ranks {
		if status, stderr := p.end(); status != 0 || i == 0 && !strings.Contains(strings.Join(p.seen, "\n"), "answer         verified") {
			r.t.Errorf("rank %d: status %d, %q, %s", i, status, p.seen, stderr)
		}
	}
}

// ended checks that all nodes have ended with a status.
func (r *runOn) ended(nodes []*startedNode, want int) {
	r.t.Helper()
	for i, n := range nodes {
		if status, stderr := n.end(); status != want {
			r.t.Errorf("node %d: status %d, want %d: %s", i, status, want, stderr)
		}
	}
}

// TestEtcdServesManyRuns: the same command lines make a cluster again, whether
// its nodes were stopped or one was lost.
func TestEtcdServesManyRuns(t *testing.T) {
	r := newRunOn(t, 3)
	nodes := r.start()
	r.sor()
	nodes[1].signal(syscall.SIGTERM)
	r.ended(nodes, 0)

	nodes = r.start("--repair", "2s")
	r.sor()
	nodes[2].signal(syscall.SIGKILL)
	r.ended(nodes[:2], 1)
	nodes[2].end()

	nodes = r.start()
	r.sor()
	nodes[0].signal(syscall.SIGINT)
	r.ended(nodes, 0)
	want := []string{"/mome/mome/cluster", "/mome/mome/head", "/mome/mome/member/00000", "/mome/mome/member/00001", "/mome/mome/member/00002"}
	got := slices.DeleteFunc(r.etcd.Keys("/"), func(key string) bool {
		// What the program made, and what a node that ends has no time to remove.
		return strings.HasPrefix(key, "/mome/mome/segment/") || strings.HasPrefix(key, "/mome/mome/change/")
	})
	if !slices.Equal(got, want) {
		t.Errorf("in the etcd there is %q, want %q", got, want)
	}
}

// TestEtcdOfTheKilled: where nobody was left to say that the cluster has ended,
// the error says what to do, and that helps.
func TestEtcdOfTheKilled(t *testing.T) {
	r := newRunOn(t, 1)
	n := r.start("--cluster", "prod")[0]
	n.signal(syscall.SIGKILL)
	n.end()
	remedy := fmt.Sprintf("etcdctl --endpoints=%s del --prefix /mome/prod/", r.etcd.URL())
	for _, tc := range []struct {
		args []string
		says string
	}{
		{nil, "is that of node 0"},
		{[]string{"--nodes", "2"}, "--nodes 2, and cluster \"prod\" was founded with --nodes 1"},
		{[]string{"--repair", "5s"}, "--repair 5s, and cluster \"prod\" was founded with --repair 3s"},
	} {
		status, _, stderr := run(t, append([]string{"start"}, r.args(0, append(tc.args, "--cluster", "prod")...)...)...)
		failure(t, status, stderr, 1, tc.says, remedy)
	}
	other := r.start("--cluster", "test")[0]
	other.signal(syscall.SIGTERM)
	other.end()
	r.etcd.Delete(coord.PrefixOf("prod"))
	again := r.start("--cluster", "prod")[0]
	again.signal(syscall.SIGTERM)
	r.ended([]*startedNode{again}, 0)
}

// TestEtcdFlagsAgree: what a later node was told to found is what is there.
func TestEtcdFlagsAgree(t *testing.T) {
	r := newRunOn(t, 2)
	first := startNode(t, r.args(0, "--fanout", "4", "--slots", "64", "--transport", "grpc", "--base", "0x550000000000")...)
	first.await(stateJoined)
	for _, tc := range [][3]string{
		{"--nodes", "3", "2"}, {"--fanout", "5", "4"}, {"--slots", "65", "64"}, {"--transport", "tcp", "grpc"}, {"--base", "0x400000000000", "0x550000000000"},
	} {
		status, _, stderr := run(t, append([]string{"start"}, r.args(1, tc[0], tc[1])...)...)
		failure(t, status, stderr, 1, tc[0]+" "+tc[1], "founded with "+tc[0]+" "+tc[2])
	}
	second := startNode(t, "--listen", r.ports[1], "--socket", r.socket(1), "--etcd", r.etcd.URL(), "--slots", "64")
	second.ready()
	first.ready()
}

// TestDirectoryServesManyRuns: a founder's store is begun anew, whatever became
// of the run before.
func TestDirectoryServesManyRuns(t *testing.T) {
	needNode(t)
	dir := shortTemp(t)
	args := []string{"--dir", filepath.Join(dir, "store"), "--socket", filepath.Join(dir, "s"), "--listen", reservePort(t)}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGTERM} {
		n := startNode(t, args...)
		n.ready()
		if status, stdout, stderr := run(t, "segment", "create", "a", "4096", "--socket", filepath.Join(dir, "s")); status != 0 {
			t.Errorf("status %d: %s%s", status, stdout, stderr)
		}
		n.signal(sig)
		n.end()
	}
}

// TestFounderGone: who waits for others at a founder that is gone does not wait
// for ever, and says where.
func TestFounderGone(t *testing.T) {
	needNode(t)
	dir := shortTemp(t)
	founder := startNode(t, "--nodes", "3", "--socket", filepath.Join(dir, "0"), "--repair", "100ms")
	address := founder.await(stateJoined).Address
	second := startNode(t, "--join", address, "--socket", filepath.Join(dir, "1"))
	second.await(stateJoined)
	founder.signal(syscall.SIGKILL)
	founder.end()
	status, stderr := second.end()
	if own := ownLines(stderr); status != 1 || len(own) != 1 || !strings.Contains(own[0], "the node at "+address) || !strings.Contains(own[0], "start it again") {
		t.Errorf("status %d, %q", status, own)
	}
}

// TestMemberGone: when one of those who wait is stopped, the cluster can never be
// complete, and the others say so at once.
func TestMemberGone(t *testing.T) {
	needNode(t)
	dir := shortTemp(t)
	founder := startNode(t, "--nodes", "3", "--socket", filepath.Join(dir, "0"))
	second := startNode(t, "--join", founder.await(stateJoined).Address, "--socket", filepath.Join(dir, "1"))
	second.await(stateJoined)
	second.signal(syscall.SIGTERM)
	if status, stderr := second.end(); status != 0 {
		t.Errorf("status %d: %s", status, stderr)
	}
	status, stderr := founder.end()
	if own := ownLines(stderr); status != 1 || len(own) != 1 || !strings.Contains(own[0], "ended before it was complete: node 1 was stopped") {
		t.Errorf("status %d, %q", status, own)
	}
}

// TestJoinNamesTheCluster: a name is asked for where it is not the founder's.
func TestJoinNamesTheCluster(t *testing.T) {
	needNode(t)
	dir := shortTemp(t)
	founder := startNode(t, "--cluster", "a", "--nodes", "2", "--socket", filepath.Join(dir, "0"))
	address := founder.await(stateJoined).Address
	status, _, stderr := run(t, "start", "--join", address, "--socket", filepath.Join(dir, "1"))
	failure(t, status, stderr, 1, `no cluster "mome" at `+address, "--cluster")
	second := startNode(t, "--cluster", "a", "--join", address, "--socket", filepath.Join(dir, "1"))
	second.ready()
	founder.ready()
}

// reservePort is an address of 127.0.0.2 that no other process takes: this one
// keeps the port on 127.0.0.1.
func reservePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return fmt.Sprintf("127.0.0.2:%d", l.Addr().(*net.TCPAddr).Port)
}
