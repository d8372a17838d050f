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
	"github.com/mome-dsm/mome/impl/node"
)

type clusterFlags struct {
	founding
	tuning
	nodes     int
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

With PROGRAM it runs one copy of it per node, with MOME_SOCKET, MOME_RANK and
MOME_NODES set, and ends when all copies have. Each line that they print is
marked with the rank: standard output goes to standard output, standard error to
standard error. Their standard input is empty. If a copy fails, the others are
ended after --grace: they may wait for it for ever.

With --trace the programs find the directory in MOME_HISTORY, so that those which
call mome.Record leave their histories there, beside the logs of the nodes.

The exit status is the worst of the copies', 128+n for one that signal n killed;
1 if a node fails, 128+n if cluster itself is ended by signal n.

Without PROGRAM it prints what to set in the environment of programs that are
started by hand, and runs until ^C.

However cluster ends, even by SIGKILL, nothing of what it started stays behind.`,
		Example: `  momenode cluster --nodes 2 -- ./sor --rows 2048 --cols 1536
  momenode cluster --nodes 16 --fanout 4 --transport grpc -- ./is --class A
  momenode cluster --nodes 3           # and programs by hand in other shells`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.SetInterspersed(false) // what follows PROGRAM is its own
	flags.IntVar(&f.nodes, "nodes", 1, "how `many` nodes")
	f.founding.add(flags)
	flags.StringVar(&f.directory, "dir", "", "`directory` for the sockets and the nodes' logs, which stay (default: a temporary one)")
	flags.DurationVar(&f.grace, "grace", 5*time.Second, "how `long` the other copies may go on when one has failed, or take to end")
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
	report      report
	ready       bool
	ended       *os.ProcessState
	killed      bool // by this command
}

// rank is one copy of the program.
type rank struct {
	*child
	ended *os.ProcessState
	told  bool // to end, by this command
	pipes []*os.File
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
	switch {
	case f.nodes > 1024:
		return badUsage("--nodes %d: at most 1024 on one machine", f.nodes)
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
		case "nodes", "dir", "grace", "json":
		case "fanout", "slots", "transport":
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
			return fmt.Errorf("--dir: %w", err)
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
	var exit exitStatus
	switch {
	case errors.Is(err, errInterrupted) && path == "":
		return nil // that is how it ends
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
		if err := os.MkdirAll(c.dir, 0o700); err != nil {
			return false, fmt.Errorf("--dir: %w", err)
		}
		if c.lock, err = lockDirectory(c.dir); err != nil {
			return false, err
		}
	} else {
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
		return nil, fmt.Errorf("--dir: %w", err)
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

func (c *cluster) startNode(i int, args []string) (*member, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	m := &member{socket: c.socketOf(i), log: filepath.Join(c.dir, fmt.Sprintf("node%d.log", i))}
	log, err := os.Create(m.log)
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
		case stateJoined:
			m.report = *e.report
		case stateReady:
			m.ready = true
		case stateFailed:
			m.report.Error = e.report.Error
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
	if info, err := file.Stat(); err == nil && info.Size() > most {
		_, _ = file.Seek(-most, io.SeekEnd)
	}
	_ = (&prefixer{out: os.Stderr}).copy(fmt.Sprintf("node %d| ", i), file)
}

// runProgram runs one copy of the program per node until all have ended. Its
// error is a lost node, a signal, or the worst status of the copies.
func (c *cluster) runProgram(path string, args []string, stdout, stderr io.Writer) error {
	out, errs := &prefixer{out: stdout}, &prefixer{out: stderr}
	var failed error
	for i, m := range c.nodes {
		if failed = c.startCopy(i, m, path, args, out, errs); failed != nil {
			failed = fmt.Errorf("program %s cannot be started: %w", args[0], failed)
			break
		}
	}
	if failed == nil {
		failed = c.wait(nil, func() bool { return c.failedRank() >= 0 || c.allEnded() })
	}
	if i := c.failedRank(); failed == nil && i >= 0 {
		failed = c.copyFailed(i, stderr)
	}
	sig := syscall.SIGTERM
	if errors.Is(failed, errInterrupted) {
		sig = c.interrupt
	}
	lost := c.endPrograms(sig)
	c.closeOutputs()
	switch {
	case failed != nil && !errors.Is(failed, errCopy):
		return failed
	case lost != nil:
		return lost
	}
	worst := 0
	for _, p := range c.programs {
		if !p.told {
			worst = max(worst, statusOf(p.ended))
		}
	}
	if worst > 0 {
		return exitStatus(worst)
	}
	return nil
}

// errCopy says that a copy of the program has failed.
var errCopy = errors.New("a copy of the program failed")

// copyFailed reports the copy that failed first, and lets the others end by
// themselves for a while.
func (c *cluster) copyFailed(i int, stderr io.Writer) error {
	p := c.programs[i]
	if killedBy(p.ended, syscall.SIGKILL) {
		// A node that dies takes its copy with it: then the node is the news,
		// and it comes in a moment.
		moment := time.NewTimer(nodeNews)
		defer moment.Stop()
		if err := c.wait(moment, func() bool { return false }); err != nil {
			return err
		}
	}
	if c.allEnded() {
		fmt.Fprintf(stderr, "momenode: rank %d failed (%v)\n", i, p.ended)
		return errCopy
	}
	fmt.Fprintf(stderr, "momenode: rank %d failed (%v): the other copies have %v to end\n", i, p.ended, c.grace)
	grace := time.NewTimer(c.grace)
	defer grace.Stop()
	if err := c.wait(grace, c.allEnded); err != nil {
		return err
	}
	return errCopy
}

// nodeNews is how long the end of a node may come after that of its copy.
const nodeNews = 300 * time.Millisecond

func (c *cluster) startCopy(i int, m *member, path string, args []string, out, errs *prefixer) error {
	cmd := exec.Command(path, args[1:]...)
	cmd.Args[0] = args[0]
	cmd.Env = append(os.Environ(),
		mome.EnvSocket+"="+m.socket, mome.EnvRank+"="+strconv.Itoa(i), mome.EnvNodes+"="+strconv.Itoa(len(c.nodes)))
	if c.trace != "" {
		dir, err := filepath.Abs(c.trace)
		if err != nil {
			return err
		}
		cmd.Env = append(cmd.Env, mome.EnvHistory+"="+dir)
	}
	prefix := fmt.Sprintf("%*d| ", len(strconv.Itoa(len(c.nodes)-1)), i)
	p := &rank{}
	for _, stream := range []struct {
		end *io.Writer
		to  *prefixer
	}{{&cmd.Stdout, out}, {&cmd.Stderr, errs}} {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer w.Close()
		*stream.end = w
		p.pipes = append(p.pipes, r)
		c.outputs.Add(1)
		go func() {
			defer c.outputs.Done()
			defer r.Close()
			_ = stream.to.copy(prefix, r) // who closed the output does not want it
		}()
	}
	var err error
	p.child, err = c.family.start(cmd, func(state *os.ProcessState) { c.events <- event{rank: p, ended: state} })
	if err == nil {
		c.programs = append(c.programs, p)
	}
	return err
}

func (c *cluster) failedRank() int {
	for i, p := range c.programs {
		if p.ended != nil && !p.ended.Success() {
			return i
		}
	}
	return -1
}

func (c *cluster) allEnded() bool {
	for _, p := range c.programs {
		if p.ended == nil {
			return false
		}
	}
	return true
}

// endPrograms ends the copies that still run: with sig, and after the grace or
// a further signal to this command with SIGKILL. Its error is a node that was
// lost meanwhile.
func (c *cluster) endPrograms(sig syscall.Signal) (lost error) {
	grace := time.NewTimer(c.grace)
	defer grace.Stop()
	for _, sig := range []syscall.Signal{sig, syscall.SIGKILL} {
		for _, p := range c.programs {
			if p.ended == nil {
				p.told = true
				p.signal(sig)
			}
		}
		if sig == syscall.SIGKILL {
			grace = nil // nothing survives that
		}
		for !c.allEnded() {
			err := c.wait(grace, c.allEnded)
			if err == nil || errors.Is(err, errInterrupted) && sig != syscall.SIGKILL {
				break
			}
			if !errors.Is(err, errInterrupted) && lost == nil {
				lost = err
			}
		}
	}
	return lost
}

// closeOutputs waits for the output of the copies. One that left its process
// group may keep it open; it is not waited for.
func (c *cluster) closeOutputs() {
	deadline := time.Now().Add(outputGrace)
	for _, p := range c.programs {
		for _, pipe := range p.pipes {
			_ = pipe.SetReadDeadline(deadline)
		}
	}
	c.outputs.Wait()
}

// outputGrace is how long output may come after its program has ended.
const outputGrace = 2 * time.Second

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

// nodeGrace is how long a node may take to end.
const nodeGrace = 10 * time.Second

// described is what cluster prints of a node when there is no program.
type described struct {
	Rank    int               `json:"rank"`
	Address string            `json:"address"`
	Socket  string            `json:"socket"`
	Env     map[string]string `json:"env"`
}

func (c *cluster) describe(w io.Writer) error {
	n := len(c.nodes)
	var all []described
	for i, m := range c.nodes {
		all = append(all, described{i, m.report.Address, m.socket, map[string]string{
			mome.EnvSocket: m.socket, mome.EnvRank: strconv.Itoa(i), mome.EnvNodes: strconv.Itoa(n)}})
	}
	if c.json {
		return json.NewEncoder(w).Encode(map[string]any{"nodes": all, "directory": c.dir})
	}
	fmt.Fprintf(w, "A cluster of %s is up. Start one copy of a program per node, each with its environment:\n\n", plural(n, "node"))
	for _, d := range all {
		fmt.Fprintf(w, "  env %s=%s %s=%d %s=%d PROGRAM   # %s\n", mome.EnvSocket, d.Socket, mome.EnvRank, d.Rank, mome.EnvNodes, n, d.Address)
	}
	_, err := fmt.Fprintf(w, "\n  momenode status --socket %s\n\n^C ends it.\n", all[0].Socket)
	return err
}
