package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/node"
)

type clusterFlags struct {
	founding
	tuning
	nodes     int
	procs     int // programs per node
	directory string
	grace     time.Duration
	json      bool
}

func clusterCommand() *cobra.Command {
	var f clusterFlags
	cmd := &cobra.Command{
		Use:   "cluster --nodes N [flags] [-- PROGRAM ARGS...]",
		Short: "Run a cluster on this machine, and a program on it",
		Long: `Cluster runs N nodes on this machine, one process each, on loopback.

With PROGRAM it runs one copy of it per node, or --procs-per-node of them, with
MOME_SOCKET, MOME_RANK, MOME_SIZE and MOME_LOCAL (how many of the copies run on this
machine: all) set, and ends when all copies have. Of K copies per node the first K
ranks are at node 0, the next at node 1, and so on. Each line that they print is marked with the rank:
standard output goes to standard output, standard error to standard error. Their
standard input is empty. If a copy fails, the others are ended after --grace: they
may wait for it for ever.

With --trace the programs find the directory in MOME_HISTORY, so that those which
call mome.Record leave their histories there, beside the logs of the nodes.

The exit status is the worst of the copies', 128+n for one that signal n killed;
1 if a node fails, or if a trace, a log, a history or the programs' output lacks
something at the end; 128+n if signal n ends cluster before PROGRAM has ended.

Without PROGRAM it prints what to set in the environment of programs that are
started by hand, and runs until ^C.

However cluster ends, even by SIGKILL, nothing of what it started stays behind,
but for what a program has put in a session of its own (setsid).`,
		Example: `  momenode cluster --nodes 2 -- ./sor --rows 2048 --cols 1536
  momenode cluster --nodes 4 --fanout 2 --transport grpc -- ./is --class W
  momenode cluster --nodes 3           # and programs by hand in other shells`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.SetInterspersed(false) // what follows PROGRAM is its own
	flags.IntVar(&f.nodes, "nodes", 1, "run `N` nodes")
	flags.IntVar(&f.procs, "procs-per-node", 1, "run `K` copies of the program per node, with the ranks from 0 to N*K - 1")
	f.founding.add(flags)
	flags.StringVar(&f.directory, "dir", "", "`DIR` for the sockets and the nodes' logs, which stay, one run after the other (default: a temporary one)")
	flags.DurationVar(&f.grace, "grace", 5*time.Second, "the `DURATION` that the other copies may go on when one has failed, or take to end")
	f.tuning.add(flags)
	flags.BoolVar(&f.json, "json", false, "without PROGRAM: print sockets and environment as one line of JSON")
	return cmd
}

// cluster is a run of the command. One goroutine has it; others send events.
type cluster struct {
	*clusterFlags
	nodeArgs []string
	dir      string
	store    string   // directory of the first node's configuration store
	lock     *os.File // of the directory, if it is the user's
	family   *family
	events   chan event
	signals  chan os.Signal

	notice    *client.Notice // of the first node, until all serve
	nodes     []*member
	programs  []*rank
	outputs   sync.WaitGroup // of the programs
	stopping  bool           // the nodes were told to end
	interrupt syscall.Signal // the first that came, if one did
}

// member is a node of the cluster.
type member struct {
	*child
	socket, log string
	logStart    int64 // where the lines of this run begin
	report      report
	ready       bool
	incomplete  string // what the node said of what it leaves behind
	ended       *os.ProcessState
	killed      bool // by this command
}

// event is one thing that happened to a process.
type event struct {
	node   *member // or
	rank   *rank
	ended  *os.ProcessState
	report *report
}

// errInterrupted says that a signal came.
var errInterrupted = errors.New("interrupted")

func (f *clusterFlags) run(cmd *cobra.Command, program []string) error {
	if err := f.founding.check(cmd.Flags(), f.nodes); err != nil {
		return err
	}
	if err := f.tuning.check(); err != nil {
		return err
	}
	// All nodes are on this machine.
	if limit, err := f.limit(); err != nil {
		return err
	} else if err := node.CheckMemory(limit * int64(f.nodes)); err != nil {
		return badUsage("--memory %s for each of %d nodes: %w", f.memory, f.nodes, err)
	}
	switch {
	case f.nodes > 1024:
		return badUsage("--nodes %d: at most 1024 on one machine", f.nodes)
	case f.procs < 1 || f.nodes*f.procs > mostCopies:
		return badUsage("--procs-per-node %d: 1 or more, and at most %d copies on one machine", f.procs, mostCopies)
	case f.grace < 0:
		return badUsage("--grace %v: it cannot be negative", f.grace)
	case f.json && len(program) > 0:
		return badUsage("--json does not go with PROGRAM, whose output it would be in")
	}
	var path string
	if len(program) > 0 {
		var err error
		if path, err = exec.LookPath(program[0]); err != nil {
			return fmt.Errorf("program %s: %w; give the path of an executable file", program[0], errors.Unwrap(err))
		}
	}
	c := &cluster{clusterFlags: f, events: make(chan event), signals: make(chan os.Signal, 2)}
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		switch flag.Name {
		case "nodes", "procs-per-node", "dir", "grace", "json":
		case "fanout", "slots", "transport", "base":
			// Of the founder only.
		default:
			c.nodeArgs = append(c.nodeArgs, "--"+flag.Name+"="+flag.Value.String())
		}
	})
	// Before there is anything that a signal would leave behind.
	signal.Notify(c.signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(c.signals)

	temporary, err := c.makeDirectory()
	if err != nil {
		return err
	}
	defer c.lock.Close()
	// What goes at the end: the directory, or of one that stays the store.
	c.store = filepath.Join(c.dir, "store")
	passing := c.dir
	if !temporary {
		if c.store, err = os.MkdirTemp(c.dir, "store-"); err != nil {
			return fmt.Errorf("--dir: %w; name a directory that this user can write to", err)
		}
		passing = c.store
	}
	defer os.RemoveAll(passing)
	if c.family, err = newFamily(passing); err != nil {
		return err
	}
	defer c.family.end()

	err = c.up(cmd.Flags())
	if err == nil && path == "" {
		if err = c.describe(cmd.OutOrStdout()); err == nil {
			err = c.wait(nil, func() bool { return false })
		}
	} else if err == nil {
		err = c.runProgram(path, program, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	stopped := c.down()
	if err == nil {
		err = stopped
	}
	if errors.Is(err, errInterrupted) && path == "" {
		err = nil // that is how it ends
	}
	if lacks := c.lacks(cmd.ErrOrStderr()); err == nil && lacks {
		err = exitStatus(statusFailure)
	}
	var exit exitStatus
	switch {
	case errors.Is(err, errInterrupted):
		return exitStatus(128 + int(c.interrupt))
	case errors.As(err, &exit) && stopped != nil:
		return stopped // the cause
	}
	return err
}

// makeDirectory finds or makes the directory of the sockets.
func (c *cluster) makeDirectory() (temporary bool, err error) {
	if c.directory != "" {
		if c.dir, err = filepath.Abs(c.directory); err != nil {
			return false, err
		}
		if err := coord.CheckSpace(c.dir); err != nil {
			return false, fmt.Errorf("%w, or let --dir name a directory on another", err)
		}
		if err := os.MkdirAll(c.dir, 0o700); err != nil {
			return false, fmt.Errorf("--dir: %w; name a directory that this user can write to", err)
		}
		if c.lock, err = lockDirectory(c.dir); err != nil {
			return false, err
		}
	} else {
		if err := coord.CheckSpace(os.TempDir()); err != nil {
			return false, fmt.Errorf("%w, or let --dir or TMPDIR name a directory on another", err)
		}
		if c.dir, err = os.MkdirTemp("", "mome-"); err != nil {
			return false, fmt.Errorf("directory of the sockets: %w; let TMPDIR name one that this user can write to", err)
		}
		temporary = true
	}
	if longest := node.ControlSocket(c.socketOf(c.clusterFlags.nodes)); len(longest) > maxSocketPath {
		if temporary {
			_ = os.RemoveAll(c.dir)
		}
		return false, fmt.Errorf("socket %s: the path is too long by %d bytes; choose a shorter --dir or TMPDIR", longest, len(longest)-maxSocketPath)
	}
	return temporary, nil
}

// lockDirectory holds a directory for this process as long as it lives.
func lockDirectory(dir string) (*os.File, error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("--dir: %w; name a directory that this user can write to", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("--dir %s: another cluster uses it; choose another", dir)
	}
	return file, nil
}

func (c *cluster) socketOf(i int) string { return filepath.Join(c.dir, fmt.Sprintf("node%d.sock", i)) }

// up starts the nodes, one after the other, so that they are numbered in order,
// and returns when all serve.
func (c *cluster) up(flags *pflag.FlagSet) error {
	c.notice = newNotice(os.Stderr, slowStart)
	defer c.notice.Stop()
	c.notice.Waits("node 0 has not joined, its configuration store starts") // until it speaks for itself
	for i := range c.clusterFlags.nodes {
		args := []string{"start", "--listen", "127.0.0.1:0", "--socket", c.socketOf(i), "--ready-fd", "3"}
		if i == 0 {
			args = append(args, "--nodes", strconv.Itoa(c.clusterFlags.nodes), "--dir", c.store)
			for _, name := range foundingNames[1:] {
				if flags.Changed(name) {
					args = append(args, "--"+name+"="+flags.Lookup(name).Value.String())
				}
			}
		} else {
			args = append(args, "--join", c.nodes[0].report.Address)
		}
		m, err := c.startNode(i, append(args, c.nodeArgs...))
		if err != nil {
			return fmt.Errorf("node %d cannot be started: %w", i, err)
		}
		if err := c.wait(nil, func() bool { return m.report.State != "" }); err != nil {
			return err
		}
		if m.report.Node != i {
			return fmt.Errorf("node %d got number %d: somebody else has joined this cluster", i, m.report.Node)
		}
	}
	return c.wait(nil, func() bool {
		for _, m := range c.nodes {
			if !m.ready {
				return false
			}
		}
		return true
	})
}

// newNotice says for whom the nodes wait, when that has taken a while.
func newNotice(w io.Writer, while time.Duration) *client.Notice {
	return client.NewNotice(while, func(waits string) { fmt.Fprintln(w, "momenode: waiting:", waits) })
}

func (c *cluster) startNode(i int, args []string) (*member, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	m := &member{socket: c.socketOf(i), log: filepath.Join(c.dir, fmt.Sprintf("node%d.log", i))}
	log, err := c.openLog(i, m)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	cmd := exec.Command(self, args...)
	cmd.Stderr = log
	cmd.ExtraFiles = []*os.File{w}
	reports := make(chan struct{})
	m.child, err = c.family.start(cmd, func(state *os.ProcessState) {
		<-reports // what it had to say comes first
		c.events <- event{node: m, ended: state}
	})
	if err != nil {
		r.Close()
		return nil, err
	}
	c.nodes = append(c.nodes, m)
	go func() {
		defer close(reports)
		defer r.Close()
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			rep := new(report)
			if json.Unmarshal(lines.Bytes(), rep) == nil {
				c.events <- event{node: m, report: rep}
			}
		}
	}()
	return m, nil
}

// wait handles events until done says so, a timer runs out, a node is lost or a
// signal comes; the last two are errors.
func (c *cluster) wait(timer *time.Timer, done func() bool) error {
	for !done() {
		select {
		case e := <-c.events:
			if err := c.handle(e); err != nil {
				return err
			}
		case sig := <-c.signals:
			if c.interrupt == 0 {
				c.interrupt = sig.(syscall.Signal)
			}
			return errInterrupted
		case <-after(timer):
			return nil
		}
	}
	return nil
}

// handle takes note of an event. A node that failed or died is an error.
func (c *cluster) handle(e event) error {
	if e.rank != nil {
		e.rank.ended = e.ended
		return nil
	}
	m := e.node
	if e.report != nil {
		switch e.report.State {
		case stateWaiting:
			if m == c.nodes[0] {
				c.notice.Waits(e.report.Waits)
			}
		case stateJoined:
			m.report = *e.report
		case stateReady:
			m.ready = true
		case stateFailed:
			m.report.Error = e.report.Error
		case stateIncomplete:
			m.incomplete = e.report.Error
		}
		return nil
	}
	m.ended = e.ended
	return c.lost(m)
}

// lost is the error of a node that has ended without being asked to.
func (c *cluster) lost(m *member) error {
	i := 0
	for c.nodes[i] != m {
		i++
	}
	switch {
	case m.killed, c.stopping && (m.ended.Success() || m.ended.ExitCode() == statusFailure || killedBy(m.ended, syscall.SIGTERM)):
		// As it was told to, or because others were.
		return nil
	case m.report.Error != "" && !m.ready:
		return fmt.Errorf("node %d cannot start: %s", i, m.report.Error)
	case m.report.Error != "":
		return fmt.Errorf("node %d failed: %s: the run is over", i, m.report.Error)
	case m.ended.ExitCode() == 2:
		c.showLog(i, m)
	}
	return fmt.Errorf("node %d died (%v): the run is over", i, m.ended)
}

// showLog prints what a node that crashed has left.
func (c *cluster) showLog(i int, m *member) {
	file, err := os.Open(m.log)
	if err != nil {
		return
	}
	defer file.Close()
	const most = 64 << 10
	if info, err := file.Stat(); err == nil {
		_, _ = file.Seek(max(m.logStart, info.Size()-most), io.SeekStart)
	}
	_ = (&prefixer{out: os.Stderr}).copy(fmt.Sprintf("node %d| ", i), file)
}

// openLog opens the log of a node, which stays in --dir and has one run after the
// other, with a line that begins each.
func (c *cluster) openLog(i int, m *member) (_ *os.File, err error) {
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(log, "time=%s level=INFO msg=\"a run begins\" node=%d nodes=%d version=%s cluster=%d\n",
		time.Now().Format("2006-01-02T15:04:05.000Z07:00"), i, c.clusterFlags.nodes, version(), os.Getpid())
	if err == nil {
		m.logStart, err = log.Seek(0, io.SeekEnd)
	}
	if err != nil {
		log.Close()
		return nil, err
	}
	return log, nil
}

// lacks says what the nodes leave behind incomplete, if they do.
func (c *cluster) lacks(stderr io.Writer) (some bool) {
	for i, m := range c.nodes {
		if m.incomplete != "" {
			fmt.Fprintf(stderr, "momenode: node %d: %s\n", i, m.incomplete)
			some = true
		}
	}
	return some
}

// down ends the nodes. Its error is a node that had died.
func (c *cluster) down() error {
	c.stopping = true
	running := func() (list []*member) {
		for _, m := range c.nodes {
			if m.ended == nil {
				list = append(list, m)
			}
		}
		return list
	}
	for _, m := range running() {
		m.signal(syscall.SIGTERM)
	}
	grace := time.NewTimer(nodeGrace)
	defer grace.Stop()
	var lost error
	for len(running()) > 0 {
		err := c.wait(grace, func() bool { return len(running()) == 0 })
		if err != nil && !errors.Is(err, errInterrupted) {
			if lost == nil {
				lost = err
			}
			continue
		}
		// It takes too long, to this command or to who sent it a signal.
		for _, m := range running() {
			m.killed = true
			m.signal(syscall.SIGKILL)
		}
		grace = nil
	}
	return lost
}

// slowStart is after how long it is said for whom the nodes wait.
const slowStart = 10 * time.Second

// nodeGrace is how long a node may take to end.
const nodeGrace = 10 * time.Second

// envLocal names the variable that tells a program how many of its copies run on
// this machine, and share its memory.
const envLocal = "MOME_LOCAL"

// mostCopies is how many copies of a program run on one machine.
const mostCopies = 4096

// ranks is how many copies of the program there are.
func (c *cluster) ranks() int { return len(c.nodes) * c.procs }

// nodeOf is the node of a rank.
func (c *cluster) nodeOf(rank int) *member { return c.nodes[rank/c.procs] }

// environment is what the copy of a rank finds in its environment.
func (c *cluster) environment(rank int) map[string]string {
	size := strconv.Itoa(c.ranks())
	return map[string]string{mome.EnvSocket: c.nodeOf(rank).socket, mome.EnvRank: strconv.Itoa(rank), mome.EnvSize: size, envLocal: size}
}

// described is what cluster prints of a copy when there is no program.
type described struct {
	Rank    int               `json:"rank"`
	Address string            `json:"address"`
	Socket  string            `json:"socket"`
	Env     map[string]string `json:"env"`
}

func (c *cluster) describe(w io.Writer) error {
	var all []described
	for i := range c.ranks() {
		m := c.nodeOf(i)
		all = append(all, described{i, m.report.Address, m.socket, c.environment(i)})
	}
	if c.json {
		return json.NewEncoder(w).Encode(map[string]any{"nodes": all, "directory": c.dir})
	}
	copies := "one copy of a program per node"
	if c.procs > 1 {
		copies = fmt.Sprintf("%d copies of a program per node", c.procs)
	}
	fmt.Fprintf(w, "A cluster of %s is up. Start %s, each with its environment:\n\n", plural(len(c.nodes), "node"), copies)
	for _, d := range all {
		fmt.Fprint(w, "  env")
		for _, name := range []string{mome.EnvSocket, mome.EnvRank, mome.EnvSize, envLocal} {
			fmt.Fprintf(w, " %s=%s", name, d.Env[name])
		}
		fmt.Fprintf(w, " PROGRAM   # %s\n", d.Address)
	}
	_, err := fmt.Fprintf(w, "\n  momenode status --socket %s\n\n^C ends it.\n", all[0].Socket)
	return err
}
