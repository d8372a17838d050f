package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a child of the test: a node or a program.
type process struct {
	title string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	log   tail
	done  chan struct{} // closed when it has ended and all its lines are in

	mu    sync.Mutex // guards the fields below
	more  sync.Cond
	lines []string
	end   bool
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 256 << 10

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, b...)
	if extra := len(l.buf) - tailBytes; extra > 0 {
		l.buf = l.buf[extra:]
	}
	return len(b), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.buf)
}

// spawn starts this binary again in a role.
func spawn(title, role string, env []string, args ...string) (*process, error) {
	return command(title, "/proc/self/exe", append(env, roleVariable+"="+role), args...)
}

// command starts a binary.
func command(title, path string, env []string, args ...string) (*process, error) {
	p := &process{title: title, done: make(chan struct{})}
	p.more.L = &p.mu
	p.cmd = exec.Command(path, args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = &p.log
	p.cmd.WaitDelay = 5 * time.Second // a child of its own may hold the pipe
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout = w
	if err := p.cmd.Start(); err != nil {
		out.Close()
		w.Close()
		return nil, err
	}
	w.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer out.Close()
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			p.mu.Lock()
			p.lines = append(p.lines, lines.Text())
			p.mu.Unlock()
			p.more.Broadcast()
		}
	}()
	go func() {
		_ = p.cmd.Wait() // ProcessState says how it ended
		<-read
		p.mu.Lock()
		p.end = true
		p.mu.Unlock()
		p.more.Broadcast()
		close(p.done)
	}()
	return p, nil
}

// next waits for the next line. It returns false when there are no more.
func (p *process) next() (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.lines) == 0 && !p.end {
		p.more.Wait()
	}
	if len(p.lines) == 0 {
		return "", false
	}
	line := p.lines[0]
	p.lines = p.lines[1:]
	return line, true
}

// rest is all lines up to the end.
func (p *process) rest() []string {
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := p.lines
	p.lines = nil
	return lines
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// ended says whether the process is over.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// outcome is how the process ended: "exit status 1", "signal: killed".
func (p *process) outcome() string {
	<-p.done
	return p.cmd.ProcessState.String()
}

// report is what a failed test shows of the process.
func (p *process) report() string {
	state := "running"
	if p.ended() {
		state = p.outcome()
	}
	text := strings.TrimRight(p.log.String(), "\n")
	return fmt.Sprintf("--- %s (process %d, %s):\n%s", p.title, p.cmd.Process.Pid, state, text)
}
