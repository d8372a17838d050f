package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client/clienttest"
	"github.com/mome-dsm/mome/impl/coord/coordtest"
	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/node"
	"github.com/mome-dsm/mome/impl/node/controlpb"
	"github.com/mome-dsm/mome/impl/wire"
)

// patience is after how long a test counts as hung. No test comes near it;
// MOME_E2E_PATIENCE sets another.
var patience = func() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("MOME_E2E_PATIENCE")); err == nil {
		return d
	}
	if clienttest.RaceEnabled {
		return 10 * time.Minute
	}
	return 5 * time.Minute
}()

// shape is what a cluster looks like.
type shape struct {
	nodes     int
	fanout    int           // 0: one root above all nodes
	repair    time.Duration // 0: long enough for a busy machine
	residence time.Duration // 0: what nodes have by themselves; negative: none
	proxy     bool          // the nodes reach each other through proxies
	quiet     bool          // no read-ahead
	memory    int64         // bytes of pages that a node keeps; 0: no limit
	plenty    bool          // the node that is started last has no limit
	store     string        // directory of the founder's store; empty: one of the cluster's
	etcd      bool          // the configuration is in an etcd of the test's
	base      addr.Base     // 0: the default
	trace     string        // the nodes record into this directory; empty: they do not
	calls     bool          // the test decides about the nodes' system calls
}

func (s shape) String() string {
	text := fmt.Sprintf("nodes=%d", s.nodes)
	if s.fanout > 0 {
		text += fmt.Sprintf(",fanout=%d", s.fanout)
	}
	if s.residence != 0 {
		text += fmt.Sprintf(",residence=%dus", max(s.residence, 0)/time.Microsecond)
	}
	if s.base > 0 {
		text += fmt.Sprintf(",base=%v", s.base)
	}
	return text
}

var (
	two   = shape{nodes: 2}
	three = shape{nodes: 3}
	four  = shape{nodes: 4, fanout: 2}
	// A page may be asked for again before anybody has used it: what is granted
	// and taken away is one batch.
	eager = shape{nodes: 4, fanout: 2, residence: -1}
	brief = shape{nodes: 4, fanout: 2, residence: time.Microsecond}
)

var transports = []string{wire.TCP, wire.GRPC}

// cluster is a running cluster and the programs on it. One test at a time has
// it: failures and hangs are that test's.
type cluster struct {
	t         *testing.T
	shape     shape
	transport string
	dir       string
	nodes     []*process
	proxies   []*proxy
	reserved  []net.Listener
	etcd      *coordtest.Etcd
	conns     []*grpc.ClientConn // to the control sockets
	apps      []*process         // of this test
	calls     []*calls           // of the nodes, if the test decides about them
	seed      uint64
	random    *rand.Rand

	mu    sync.Mutex
	timer *time.Timer // of this test; nil between tests. Guarded by mu.
	hung  bool        // guarded by mu
}

// requireUserfaultfd skips a test where the machine has no full userfaultfd,
// unless MOME_REQUIRE_UFFD=1 says that it must.
func requireUserfaultfd(t *testing.T) {
	t.Helper()
	err := memory.Probe().Err()
	if err == nil {
		return
	}
	if os.Getenv("MOME_REQUIRE_UFFD") == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// onEach runs a test on both transports and every shape, each with a cluster of
// its own.
func onEach(t *testing.T, shapes []shape, test func(t *testing.T, c *cluster)) {
	each(t, shapes, start, test)
}

// onShared is onEach with clusters that tests share, one after the other: for
// tests that leave nodes alone and remove their segments.
func onShared(t *testing.T, shapes []shape, test func(t *testing.T, c *cluster)) {
	each(t, shapes, share, test)
}

func each(t *testing.T, shapes []shape, get func(*testing.T, string, shape) *cluster, test func(*testing.T, *cluster)) {
	requireUserfaultfd(t)
	for _, transport := range transports {
		for _, s := range shapes {
			name := transport
			if len(shapes) > 1 {
				name += "," + s.String()
			}
			t.Run(name, func(t *testing.T) { test(t, get(t, transport, s)) })
		}
	}
}

// start makes a cluster for this test.
func start(t *testing.T, transport string, s shape) *cluster {
	t.Helper()
	c := &cluster{shape: s, transport: transport}
	c.enter(t)
	if s.etcd { // it ends after the nodes, whose last word it takes
		c.etcd = coordtest.StartEtcd(t)
	}
	t.Cleanup(func() {
		c.leave()
		c.close()
	})
	c.found()
	return c
}

var sharedClusters = make(map[string]*cluster)

// share is a cluster of the shape that earlier tests have left in order, or a
// new one.
func share(t *testing.T, transport string, s shape) *cluster {
	t.Helper()
	key := transport + s.String()
	c := sharedClusters[key]
	fresh := c == nil
	if fresh {
		c = &cluster{shape: s, transport: transport}
	}
	c.enter(t)
	t.Cleanup(func() {
		c.leave()
		if t.Failed() {
			delete(sharedClusters, key)
			c.close()
		}
	})
	if fresh {
		sharedClusters[key] = c
		c.found()
	}
	return c
}

func closeShared() {
	for _, c := range sharedClusters {
		c.close()
	}
}

// enter makes the cluster this test's.
func (c *cluster) enter(t *testing.T) {
	c.t = t
	c.seed = rand.Uint64()
	if v, err := strconv.ParseUint(os.Getenv("MOME_E2E_SEED"), 10, 64); err == nil {
		c.seed = v
	}
	c.random = rand.New(rand.NewPCG(c.seed, 0))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(patience, c.hang)
}

// leave ends the test's programs and, if it failed, says all that is known.
func (c *cluster) leave() {
	c.mu.Lock()
	c.timer.Stop()
	c.timer = nil
	hung := c.hung
	c.mu.Unlock()
	apps := c.apps
	c.apps = nil
	for _, a := range apps {
		a.signal(syscall.SIGKILL)
		<-a.done
	}
	t := c.t
	if !t.Failed() {
		return
	}
	if hung {
		t.Errorf("hung: no end after %v", patience)
	}
	for _, p := range append(append([]*process(nil), c.nodes...), apps...) {
		t.Log(p.report())
	}
	t.Logf("seed %d. To reproduce:\n\tMOME_REQUIRE_UFFD=1 MOME_E2E_SEED=%d go test ./e2e/ -count=1 -v -run '^%s$'",
		c.seed, c.seed, strings.ReplaceAll(t.Name(), "/", "$/^"))
}

// hang ends a test that does not end: everybody says where he is, and is
// killed, which ends whatever the test waits for.
func (c *cluster) hang() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil {
		return
	}
	c.hung = true
	c.t.Fail()
	all := append(append([]*process(nil), c.nodes...), c.apps...)
	for _, p := range all {
		p.signal(syscall.SIGCONT)
		p.signal(syscall.SIGQUIT)
	}
	for _, p := range all {
		select {
		case <-p.done:
		case <-time.After(10 * time.Second): // it cannot: no goroutine runs
			p.signal(syscall.SIGKILL)
		}
	}
}

// found starts the nodes and waits until all serve.
func (c *cluster) found() {
	t := c.t
	t.Helper()
	var err error
	// Short: the path of a UNIX socket has 107 bytes at most.
	if c.dir, err = os.MkdirTemp("", "mome"); err != nil {
		t.Fatal(err)
	}
	repair := c.shape.repair
	if repair == 0 {
		repair = 30 * time.Second
	}
	var first string
	for i := range c.shape.nodes {
		public, private := c.reserve()
		cfg := nodeConfig{Listen: private, Advertise: public, Join: first, Transport: c.transport,
			Socket: c.socket(i), Repair: repair, Residence: c.shape.residence, NoReadAhead: c.shape.quiet, Memory: c.shape.memory, Trace: c.shape.trace, GiveCallsAway: c.shape.calls}
		switch {
		case c.shape.etcd:
			cfg.Store = []string{c.etcd.URL()}
			cfg.Nodes, cfg.Fanout, cfg.Base = c.shape.nodes, c.shape.fanout, c.shape.base
		case first == "":
			first = public
			cfg.Directory = c.shape.store
			if cfg.Directory == "" {
				cfg.Directory = filepath.Join(c.dir, "store")
			}
			cfg.Nodes, cfg.Fanout, cfg.Base = c.shape.nodes, c.shape.fanout, c.shape.base
		}
		if c.shape.plenty && i == c.shape.nodes-1 {
			cfg.Memory = 0
		}
		text, err := json.Marshal(cfg)
		if err != nil {
			t.Fatal(err)
		}
		p, err := spawn(fmt.Sprintf("node %d", i), "node", []string{configVariable + "=" + string(text)})
		if err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		c.nodes = append(c.nodes, p)
		c.mu.Unlock()
		if c.shape.calls {
			line, ok := p.next()
			var fd int
			if _, err := fmt.Sscanf(line, listenerLine+" %d", &fd); !ok || err != nil {
				t.Fatalf("node %d does not give its calls away: %q", i, line)
			}
			taken, err := takeCalls(p.cmd.Process.Pid, fd)
			if err != nil {
				t.Fatal(err)
			}
			c.calls = append(c.calls, taken)
		}
	}
	// Ids are given in the order of joining: put the nodes in that of ids.
	ordered := make([]*process, len(c.nodes))
	sockets := make([]string, len(c.nodes))
	calls := make([]*calls, len(c.nodes))
	for i, p := range c.nodes {
		line, ok := p.next()
		var id int
		if _, err := fmt.Sscanf(line, "ready %d", &id); !ok || err != nil {
			t.Fatalf("node %d did not start: %q", i, line)
		}
		p.title = fmt.Sprintf("node %d", id)
		ordered[id], sockets[id] = p, c.socket(i)
		if c.shape.calls {
			calls[id] = c.calls[i]
		}
	}
	c.mu.Lock()
	c.nodes = ordered
	c.mu.Unlock()
	c.calls = calls
	for i := range ordered {
		if err := os.Symlink(sockets[i], c.node(i)); err != nil {
			t.Fatal(err)
		}
		conn, err := grpc.NewClient("unix:"+node.ControlSocket(sockets[i]), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		c.conns = append(c.conns, conn)
	}
}

// socket is the attach socket of the i-th node to be started, node the name
// under which programs find the node with the id.
func (c *cluster) socket(i int) string { return filepath.Join(c.dir, fmt.Sprintf("started-%d", i)) }
func (c *cluster) node(id int) string  { return filepath.Join(c.dir, fmt.Sprintf("node-%d", id)) }

// reserve finds an address that no other process takes: the port is kept on
// 127.0.0.1 by this process, and the node uses it on 127.0.0.2. Where the
// cluster has proxies, the first is what the others see.
func (c *cluster) reserve() (public, private string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	private = fmt.Sprintf("127.0.0.2:%d", l.Addr().(*net.TCPAddr).Port)
	if !c.shape.proxy {
		c.reserved = append(c.reserved, l)
		return private, private
	}
	c.proxies = append(c.proxies, newProxy(l, private))
	return l.Addr().String(), private
}

// close ends the nodes. Those that run end in order.
func (c *cluster) close() {
	for _, conn := range c.conns {
		conn.Close()
	}
	for _, p := range c.nodes {
		p.stdin.Close()
	}
	for _, p := range c.nodes {
		select {
		case <-p.done:
		case <-time.After(patience):
			p.signal(syscall.SIGKILL)
			<-p.done
		}
	}
	for _, p := range c.proxies {
		p.close()
	}
	for _, l := range c.reserved {
		l.Close()
	}
	os.RemoveAll(c.dir)
}

// app is a program that the test has started.
type app struct {
	*process
	c *cluster
}

// run starts a program on a node, alone.
func (c *cluster) run(node int, name string, args ...any) *app {
	c.t.Helper()
	return c.rank(node, 0, 1, name, args...)
}

// team starts ranks copies of a program, round the first nodes of the cluster.
func (c *cluster) team(nodes, ranks int, name string, args ...any) []*app {
	c.t.Helper()
	var apps []*app
	for r := range ranks {
		apps = append(apps, c.rank(r%nodes, r, ranks, name, args...))
	}
	return apps
}

// rank starts one of the processes of a program. Its first argument is the
// test's name, for segments, locks and barriers.
func (c *cluster) rank(node, rank, ranks int, name string, args ...any) *app {
	c.t.Helper()
	argv := []string{name, c.name()}
	for _, a := range args {
		argv = append(argv, fmt.Sprint(a))
	}
	return c.adopt(spawn(fmt.Sprintf("%s, rank %d on node %d", name, rank, node), "program", c.environment(node, rank, ranks), argv...))
}

// binary starts one of the processes of a program that is a binary of its own.
func (c *cluster) binary(node, rank, ranks int, path string, args ...string) *app {
	c.t.Helper()
	return c.adopt(command(fmt.Sprintf("%s, rank %d on node %d", filepath.Base(path), rank, node), path, c.environment(node, rank, ranks), args...))
}

// environment is what tells a program its node and its rank.
func (c *cluster) environment(node, rank, ranks int) []string {
	return []string{mome.EnvSocket + "=" + c.node(node), fmt.Sprintf("%s=%d", mome.EnvRank, rank), fmt.Sprintf("%s=%d", mome.EnvSize, ranks)}
}

// adopt makes a process that has been started a program of the test.
func (c *cluster) adopt(p *process, err error) *app {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.apps = append(c.apps, p)
	c.mu.Unlock()
	return &app{p, c}
}

// name is the test's, as the name of a segment.
func (c *cluster) name() string {
	return strings.NewReplacer("/", "-", ",", "-", "=", "-").Replace(c.t.Name())
}

// line waits for a line of the program.
func (a *app) line() string {
	a.c.t.Helper()
	line, ok := a.next()
	if !ok {
		a.c.t.Fatalf("%s ended (%s) where a line was expected", a.title, a.outcome())
	}
	return line
}

// at waits until the program says the word, and returns what follows it.
func (a *app) at(word string) []string {
	a.c.t.Helper()
	line := a.line()
	if first, _, _ := strings.Cut(line, " "); first != word {
		a.c.t.Fatalf("%s says %q where %q was expected", a.title, line, word)
	}
	return fields(line)
}

// tell sends the program a line.
func (a *app) tell(line string) {
	a.c.t.Helper()
	if _, err := fmt.Fprintln(a.stdin, line); err != nil {
		a.c.t.Fatalf("%s: %v (%s)", a.title, err, a.outcome())
	}
}

// ok waits for the program's end, which must be a good one, and returns the
// lines that were not read yet.
func (a *app) ok() []string {
	a.c.t.Helper()
	lines := a.rest()
	if out := a.outcome(); out != "exit status 0" {
		a.c.t.Fatalf("%s: %s\n%s", a.title, out, strings.TrimSpace(a.log.String()))
	}
	return lines
}

// kill is SIGKILL, and returns when the process is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

func allOK(apps []*app) (lines [][]string) {
	for _, a := range apps {
		a.c.t.Helper()
		lines = append(lines, a.ok())
	}
	return lines
}

// allAt waits until every program says the word.
func allAt(apps []*app, word string) {
	for _, a := range apps {
		a.c.t.Helper()
		a.at(word)
	}
}

func allTell(apps []*app, line string) {
	for _, a := range apps {
		a.c.t.Helper()
		a.tell(line)
	}
}

// status is what a node says of itself.
func (c *cluster) status(node int) *controlpb.NodeStatus {
	c.t.Helper()
	s, err := controlpb.NewControlClient(c.conns[node]).Node(context.Background(), &controlpb.NodeRequest{Hottest: 4})
	if err != nil {
		c.t.Fatalf("status of node %d: %v", node, err)
	}
	return s
}

// segment is what a node says of the test's segment.
func (c *cluster) segment(node int) *controlpb.SegmentStatus {
	c.t.Helper()
	name := c.name()
	for _, s := range c.status(node).Segments {
		if s.Name == name {
			return s
		}
	}
	return &controlpb.SegmentStatus{}
}

// pause stops a node and returns when none of its threads runs any more: the
// signal alone leaves them the time to serve one more fault.
func (c *cluster) pause(node int) {
	c.t.Helper()
	p := c.nodes[node]
	p.signal(syscall.SIGSTOP)
	c.until(p.title+" to stop", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
		if err != nil || len(threads) == 0 {
			return false
		}
		for _, t := range threads {
			// The state follows the name, which is in parentheses (proc(5)).
			text, err := os.ReadFile(t)
			_, state, ok := strings.Cut(string(text), ") ")
			if err != nil || !ok || !strings.HasPrefix(state, "T") {
				return false
			}
		}
		return true
	})
}

// resume lets a paused node go on.
func (c *cluster) resume(node int) { c.nodes[node].signal(syscall.SIGCONT) }

// until polls a condition. The deadline of the test ends it.
func (c *cluster) until(what string, cond func() bool) {
	c.t.Helper()
	for !cond() {
		c.mu.Lock()
		hung := c.hung
		c.mu.Unlock()
		if hung {
			c.t.Fatalf("waiting for: %s", what)
		}
		runtime.Gosched()
	}
}

// remove takes the test's segment away, so that a shared cluster has room.
func (c *cluster) remove() {
	c.t.Helper()
	c.run(0, "remove").ok()
}

func init() {
	programs["remove"] = func(p *program) { check(p.Remove(p.ctx, p.arg(0))) }
}
