package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/memory"
)

// The programs under test, built once.
var momenodePath, sorPath string

// childEnv makes the test binary the application named in it.
const childEnv = "MOMENODE_TEST_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		children[name]()
		os.Exit(0)
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	flag.Parse()
	for _, name := range []string{"test.fuzz", "test.list"} {
		if flag.Lookup(name).Value.String() != "" {
			return m.Run() // a fuzz target runs no program
		}
	}
	for _, name := range []string{mome.EnvSocket, mome.EnvRank, mome.EnvSize, mome.EnvHistory} {
		os.Unsetenv(name)
	}
	// Not below TMPDIR: the paths of sockets are short.
	dir, err := os.MkdirTemp("/tmp", "momenode-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// Another user runs the programs too.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// A node that is killed leaves its store there.
	os.Setenv("TMPDIR", dir)
	build := exec.Command("go", "build", "-o", dir+"/", "github.com/mome-dsm/mome/cmd/momenode", "github.com/mome-dsm/mome/examples/sor")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s%v\n", out, err)
		return 1
	}
	momenodePath, sorPath = filepath.Join(dir, "momenode"), filepath.Join(dir, "sor")
	return m.Run()
}

// children are programs that tests run on clusters.
var children = map[string]func(){
	// hang ends by SIGKILL only.
	"hang": func() {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		fmt.Println("up")
		select {}
	},
	// lines writes to both streams at once.
	"lines": func() {
		var both sync.WaitGroup
		for _, w := range []*os.File{os.Stdout, os.Stderr} {
			both.Add(1)
			go func() {
				defer both.Done()
				for i := range 500 {
					fmt.Fprintf(w, "%s line %d\n", filepath.Base(w.Name()), i)
				}
				fmt.Fprint(w, "no end")
			}()
		}
		both.Wait()
	},
	// tickets draws numbers under a lock, and records that.
	"tickets": func() {
		ctx := context.Background()
		check := func(err error) {
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		n, err := mome.Connect(ctx)
		check(err)
		recorder, err := mome.Record(n)
		check(err)
		s, err := n.OpenOrCreate(ctx, "tickets", 4096)
		check(err)
		c := recorder.Client()
		w, err := mome.WordsOf[int64](c, s, 0, 2)
		check(err)
		lock := n.Lock("tickets")
		for range 50 {
			w.Add(0, 1)
			_, err := c.Acquire(ctx, lock)
			check(err)
			w.Store(1, w.Load(1)+1)
			check(c.Release(lock))
		}
		check(recorder.Close())
		check(n.Close())
	},
	// careless records, and does not complete the history.
	"careless": func() {
		n, err := mome.Connect(context.Background())
		if err == nil {
			_, err = mome.Record(n)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	},
	// share writes a word per rank, reads all of them, and stays.
	"share": func() {
		ctx := context.Background()
		check := func(err error) {
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		n, err := mome.Connect(ctx)
		check(err)
		s, err := n.OpenOrCreate(ctx, "shared", 1<<20)
		check(err)
		b, err := n.Barrier(ctx, "shared", n.Rank(), n.Size())
		check(err)
		words := s.Bytes()
		words[n.Rank()] = byte(n.Rank() + 1)
		check(b.Wait(ctx))
		sum := 0
		for _, w := range words[:n.Size()] {
			sum += int(w)
		}
		fmt.Println("sum", sum)
		select {}
	},
	"tuned": tuned,
	"meet":  meet,
	"hurry": hurry,
	// impatient waits for its node, and no longer than it has to.
	"impatient": func() {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		_, err := mome.Connect(ctx)
		fmt.Println(errors.Is(err, context.DeadlineExceeded), err)
	},
}

// childProgram is the command line of a program above; the environment names it.
func childProgram(t *testing.T, name string) string {
	t.Helper()
	t.Setenv(childEnv, name)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// patience bounds what a test waits for; reaching it is a failure.
const patience = 2 * time.Minute

// needNode skips where no node can run, or fails where that is not allowed.
func needNode(t *testing.T) {
	t.Helper()
	if err := memory.Probe().Err(); err != nil {
		if os.Getenv("MOME_REQUIRE_UFFD") == "1" {
			t.Fatalf("MOME_REQUIRE_UFFD=1, and no node can run: %v", err)
		}
		t.Skipf("no node can run: %v", err)
	}
}

// process is a momenode, or another program, under test.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr bytes.Buffer
	lines  chan string // of standard output
	seen   []string    // of lines, by expect
	done   chan struct{}
}

// start starts a program and sees to it that it ends with the test.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return startCmd(t, exec.Command(name, args...))
}

func startCmd(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, lines: make(chan string, 10000), done: make(chan struct{})}
	cmd.Stderr = &p.stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.WaitDelay = patience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		defer close(p.lines)
		in := bufio.NewScanner(out)
		for in.Scan() {
			p.lines <- in.Text()
		}
		_ = cmd.Wait() // the state says the same
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.done
	})
	return p
}

func momenode(t *testing.T, args ...string) *process {
	t.Helper()
	return start(t, momenodePath, args...)
}

// expect reads lines of standard output up to one that has the text.
func (p *process) expect(text string) string {
	p.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				<-p.done
				p.t.Fatalf("%v ended (%v) before it printed %q: %q\n%s", p.cmd.Args, p.cmd.ProcessState, text, p.seen, p.stderr.String())
			}
			p.seen = append(p.seen, line)
			if strings.Contains(line, text) {
				return line
			}
		case <-limit.C:
			p.t.Fatalf("%v did not print %q: %q", p.cmd.Args, text, p.seen)
		}
	}
}

// end waits for the end and returns the status and standard error.
func (p *process) end() (int, string) {
	p.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case line, ok := <-p.lines:
			if ok {
				p.seen = append(p.seen, line)
				continue
			}
			<-p.done
			return statusOf(p.cmd.ProcessState), p.stderr.String()
		case <-limit.C:
			p.t.Fatalf("%v does not end: %q", p.cmd.Args, p.seen)
		}
	}
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// run runs momenode to its end.
func run(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	p := momenode(t, args...)
	status, stderr = p.end()
	return status, strings.Join(p.seen, "\n"), stderr
}

// failure checks that a command failed with one line that has the texts, and
// nothing else.
func failure(t *testing.T, status int, stderr string, want int, texts ...string) {
	t.Helper()
	if status != want {
		t.Errorf("status %d, want %d", status, want)
	}
	if !strings.HasPrefix(stderr, "momenode: ") || strings.Count(stderr, "\n") != 1 || !strings.HasSuffix(stderr, "\n") {
		t.Errorf("not one line of momenode's: %q", stderr)
	}
	for _, text := range texts {
		if !strings.Contains(stderr, text) {
			t.Errorf("%q does not say %q", stderr, text)
		}
	}
}

// ownLines are the lines of an output that momenode itself wrote, without the
// log.
func ownLines(stderr string) []string {
	var list []string
	for line := range strings.Lines(stderr) {
		if strings.HasPrefix(line, "momenode: ") {
			list = append(list, strings.TrimSuffix(line, "\n"))
		}
	}
	return list
}

// descendants are the processes that a process has started, and those that
// these have.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	parents := make(map[int]int)
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // gone meanwhile
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		parents[id], _ = strconv.Atoi(fields[1])
	}
	var list []int
	for id := range parents {
		for up := parents[id]; up > 1; up = parents[up] {
			if up == pid {
				list = append(list, id)
				break
			}
		}
	}
	slices.Sort(list)
	return list
}

// nodeProcess is the descendant that is the node with the socket.
func nodeProcess(t *testing.T, pid int, socket string) int {
	t.Helper()
	for _, id := range descendants(t, pid) {
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", id))
		if err == nil && strings.Contains(string(cmdline), "start\x00") && strings.Contains(string(cmdline), socket) {
			return id
		}
	}
	t.Fatalf("no node with the socket %s below process %d", socket, pid)
	return 0
}

// watched is processes whose end can be waited for, whoever their parent is.
type watched struct {
	t   *testing.T
	fds map[int]int // by process id
}

func watch(t *testing.T, pids []int) *watched {
	t.Helper()
	w := &watched{t, make(map[int]int)}
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		w.fds[pid] = fd
		t.Cleanup(func() { unix.Close(fd) })
	}
	return w
}

// gone waits until all have ended.
func (w *watched) gone() {
	w.t.Helper()
	for pid, fd := range w.fds {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for {
			n, err := unix.Poll(poll, int(patience.Milliseconds()))
			if err == unix.EINTR {
				continue
			}
			if err != nil || n == 0 {
				cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
				w.t.Errorf("process %d still runs: %q", pid, cmdline)
				_ = unix.Kill(pid, unix.SIGKILL)
			}
			break
		}
	}
}
