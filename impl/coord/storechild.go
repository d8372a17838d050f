package coord

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/mome-dsm/mome/internal/limits"
)

// storeChild is a process of a store, as its parent has it.
type storeChild struct {
	dir    string
	cmd    *exec.Cmd
	socket net.Conn
	conn   *grpc.ClientConn // over socket
	ready  chan struct{}    // closed when it serves
	ended  chan struct{}    // closed when it has ended and its last words are in
	words  lastWords        // complete when it has ended
}

// start makes a process that serves the store's data before ctx ends.
func (e *engine) start(ctx context.Context) (_ *storeChild, err error) {
	c := &storeChild{dir: e.dir, ready: make(chan struct{}), ended: make(chan struct{})}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, c.failed(os.NewSyscallError("socketpair", err))
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "store"), os.NewFile(uintptr(pair[1]), "store")
	defer theirs.Close()
	c.socket, err = net.FileConn(ours)
	ours.Close()
	if err != nil {
		return nil, c.failed(err)
	}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.conn, err = c.dial(); err != nil {
		return nil, c.failed(err)
	}

	mode := modeFsync
	if e.noFsync {
		mode = modeNoFsync
	}
	c.cmd = exec.Command("/proc/self/exe")
	c.cmd.Args = []string{storeProcess, filepath.Join(e.dir, "etcd"), mode}
	c.cmd.ExtraFiles = []*os.File{theirs, e.lock}
	stdin, err := c.cmd.StdinPipe() // never written to; its end is that of this process
	if err != nil {
		return nil, c.failed(err)
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, c.failed(err)
	}
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		return nil, c.failed(err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, c.failed(err)
	}
	var said sync.WaitGroup
	said.Go(func() {
		lines := bufio.NewScanner(stdout)
		if lines.Scan() && lines.Text() == readyLine {
			close(c.ready)
		}
		_, _ = io.Copy(io.Discard, stdout)
	})
	said.Go(func() {
		lines := bufio.NewReader(stderr)
		for {
			line, err := lines.ReadString('\n')
			if line != "" {
				// The words that matter are the node's to say. A disk that is full
				// must not stop the process by a pipe that is.
				_, _ = e.journal.WriteString(line)
				c.words.hear(strings.TrimSuffix(line, "\n"))
			}
			if err != nil {
				return
			}
		}
	})
	go func() {
		defer close(c.ended)
		said.Wait()
		_ = c.cmd.Wait() // the state says the same
		stdin.Close()
	}()
	select {
	case <-c.ready:
		return c, nil
	case <-c.ended:
		return nil, c.reason()
	case <-ctx.Done():
		c.kill()
		<-c.ended
		return nil, fmt.Errorf("%w: %s: etcd did not start: %w; see etcd.log there", ErrUnavailable, c.dir, ctx.Err())
	}
}

// dial makes the connection. There is one in the life of a process: if it breaks,
// so does the process.
func (c *storeChild) dial() (*grpc.ClientConn, error) {
	var used atomic.Bool
	return grpc.NewClient("passthrough:///store",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithIdleTimeout(0),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			if used.Swap(true) {
				c.kill()
				return nil, errors.New("the process of the configuration store ended")
			}
			return limits.Conn{Conn: c.socket}, nil
		}))
}

func (c *storeChild) kill() { _ = c.cmd.Process.Kill() } // it may have ended

// over says whether the process has ended.
func (c *storeChild) over() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// broken says whether the connection is. Then the process has ended, too.
func (c *storeChild) broken() bool {
	if c.conn.GetState() == connectivity.Ready && !c.over() {
		return false
	}
	c.kill()
	<-c.ended
	return true
}

// close ends the process, and gives back what was for it.
func (c *storeChild) close() {
	if c.cmd != nil && c.cmd.Process != nil {
		c.kill()
		<-c.ended
	}
	if c.conn != nil {
		c.conn.Close()
	}
	c.socket.Close()
}

// failed is the error of a process that could not be made.
func (c *storeChild) failed(err error) error {
	return fmt.Errorf("%w: %s: etcd cannot be started: %w", ErrUnavailable, c.dir, limits.Explain(err))
}

// reason is why a process has ended, by its last words: ErrDiskFull or
// ErrUnavailable.
func (c *storeChild) reason() error {
	text := c.words.text
	if text == "" || !c.cmd.ProcessState.Exited() {
		text = c.cmd.ProcessState.String() // killed: it had nothing to say about that
	}
	for _, errno := range shortages {
		if strings.Contains(text, errno.Error()) {
			return fmt.Errorf("%w: %s: etcd ended: %s: delete files on its file system, or lift the limit on them", ErrDiskFull, c.dir, text)
		}
	}
	if err := checkSpace(c.dir, SpaceToChange, "the store needs"); errors.Is(err, ErrDiskFull) {
		return err
	}
	return fmt.Errorf("%w: %s: etcd ended: %s; see etcd.log there", ErrUnavailable, c.dir, text)
}

// lastWords is what a process has said about its end: the last line of the most
// serious kind.
type lastWords struct {
	text string
	rank int
}

func (w *lastWords) hear(line string) {
	text, rank := "", 0
	var record struct{ Level, Msg, Error string }
	switch {
	case json.Unmarshal([]byte(line), &record) == nil:
		text = record.Msg
		if record.Error != "" {
			text += ": " + record.Error
		}
		rank = map[string]int{"error": 1, "dpanic": 3, "panic": 3, "fatal": 3}[record.Level]
	case strings.HasPrefix(line, storeProcess+": "):
		text, rank = strings.TrimPrefix(line, storeProcess+": "), 2
	case strings.HasPrefix(line, "panic: "), strings.HasPrefix(line, "fatal error: "), strings.HasPrefix(line, "unexpected fault address"):
		text, rank = line, 2
	}
	if rank > 0 && rank >= w.rank {
		w.text, w.rank = text, rank
	}
}
