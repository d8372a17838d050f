package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// family is the processes that one command has started, none of which outlives
// it. Each is the leader of a process group of its own, so that a ^C at the
// terminal reaches the command alone, which ends the others in order.
//
// Three things see to the end of a process: the command itself; the kernel,
// which kills a direct child when the command dies (PR_SET_PDEATHSIG); and the
// keeper, a process that kills the groups of a command that died, children's
// children included, and removes its directory.
type family struct {
	// starts are run by one thread that lives as long as the process: for
	// PR_SET_PDEATHSIG a parent is a thread.
	starts chan func()
	keeper *exec.Cmd

	mu     sync.Mutex // guards orders
	orders io.WriteCloser
}

// child is a process of a family.
type child struct {
	family *family
	cmd    *exec.Cmd
	pid    int

	mu   sync.Mutex // guards gone
	gone bool       // reaped: the number may be another's now
}

// newFamily starts the keeper. The directory is removed when the command dies
// without calling end.
func newFamily(dir string) (*family, error) {
	f := &family{starts: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for start := range f.starts {
			start()
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	f.keeper = exec.Command(self, "keeper")
	f.keeper.Stdin = r
	f.keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := f.keeper.Start(); err != nil {
		w.Close()
		return nil, err
	}
	f.orders = w
	f.order("directory", dir)
	return f, nil
}

// order tells the keeper something. A keeper that is gone is no reason to stop.
func (f *family) order(words ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, _ = io.WriteString(f.orders, strings.Join(words, " ")+"\n")
}

// start starts a process and calls ended, on a goroutine of its own, when the
// process has ended and was reaped.
func (f *family) start(cmd *exec.Cmd, ended func(*os.ProcessState)) (*child, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	f.starts <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	c := &child{family: f, cmd: cmd, pid: cmd.Process.Pid}
	group := strconv.Itoa(c.pid)
	f.order("group", group)
	go func() {
		// Until it is reaped, its number belongs to nobody else.
		for {
			if err := unix.Waitid(unix.P_PID, c.pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != unix.EINTR {
				break
			}
		}
		c.mu.Lock()
		c.gone = true
		// What it left running in its group ends with it.
		_ = unix.Kill(-c.pid, unix.SIGKILL)
		c.mu.Unlock()
		f.order("forget", group)
		_ = cmd.Wait() // the state says the same
		ended(cmd.ProcessState)
	}()
	return c, nil
}

// signal sends a signal to the process and those it has started.
func (c *child) signal(sig syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone {
		_ = unix.Kill(-c.pid, sig)
	}
}

// end lets the keeper go. All children have ended.
func (f *family) end() {
	f.order("end")
	f.orders.Close()
	_ = f.keeper.Wait()
	close(f.starts)
}

// keeperCommand is what newFamily starts.
func keeperCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "keeper",
		Short:  "End what a command has started when it dies",
		Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			keep(os.Stdin)
			return nil
		},
	}
}

// keep follows the orders of a command until they end.
func keep(orders io.Reader) {
	groups := make(map[int]bool)
	var dir string
	lines := bufio.NewScanner(orders)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "group", "forget":
			if pid, err := strconv.Atoi(rest); err == nil && pid > 1 {
				groups[pid] = word == "group"
			}
		case "directory":
			dir = rest
		case "end":
			return
		}
	}
	for pid, live := range groups {
		if live {
			_ = unix.Kill(-pid, unix.SIGKILL)
		}
	}
	if dir != "" {
		_ = os.RemoveAll(dir)
	}
}

// statusOf is the status that a shell would give: that of the process, or 128
// and the number of the signal that killed it.
func statusOf(state *os.ProcessState) int {
	ws := state.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// killedBy tells whether a process was killed by the signal.
func killedBy(state *os.ProcessState, sig syscall.Signal) bool {
	ws := state.Sys().(syscall.WaitStatus)
	return ws.Signaled() && ws.Signal() == sig
}

// prefixer writes the lines of many streams to one writer, whole.
type prefixer struct {
	mu   sync.Mutex // guards what follows
	out  io.Writer
	lost error // the first line that could not be written; who closed the output does not want it
}

// maxLine is where a line without an end is cut.
const maxLine = 64 << 10

// copy writes each line of r, with the prefix, until r ends. A last line
// without an end gets one.
func (p *prefixer) copy(prefix string, r io.Reader) error {
	in := bufio.NewReaderSize(r, maxLine)
	line := []byte(prefix)
	for {
		part, err := in.ReadSlice('\n')
		if len(part) > 0 {
			line = append(line[:len(prefix)], part...)
			if part[len(part)-1] != '\n' {
				line = append(line, '\n')
			}
			p.mu.Lock()
			_, werr := p.out.Write(line)
			if p.lost == nil && !errors.Is(werr, unix.EPIPE) {
				p.lost = werr
			}
			p.mu.Unlock()
			if werr != nil {
				_, err := io.Copy(io.Discard, in) // its writer is not to blame
				return err
			}
		}
		switch err {
		case nil, bufio.ErrBufferFull:
		case io.EOF:
			return nil
		default:
			return err
		}
	}
}

// after is a channel that gets the time once, or never if the timer is off.
func after(t *time.Timer) <-chan time.Time {
	if t == nil {
		return nil
	}
	return t.C
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
