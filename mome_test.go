//go:build linux

package mome

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/mome-dsm/mome/impl/client/clienttest"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// childEnv makes the test binary the application named in it.
const childEnv = "MOME_TEST_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		children[name]()
		os.Exit(0)
	}
	os.Unsetenv(EnvSocket)
	os.Unsetenv(EnvRank)
	os.Unsetenv(EnvSize)
	os.Unsetenv(EnvHistory)
	goleak.VerifyTestMain(m)
}

// connect attaches this process to a new node, and detaches with the test.
func connect(t *testing.T) (*Node, *clienttest.Node) {
	t.Helper()
	daemon := clienttest.Start(t, 3)
	n, err := attachTo(t, daemon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return n, daemon
}

// attachTo is Connect as if this process were a program of its own: tests have
// several attachments.
func attachTo(t *testing.T, daemon *clienttest.Node) (*Node, error) {
	n := newNode()
	return n, n.connect(t.Context(), WithSocket(daemon.Socket()))
}

// create makes a segment, or skips where the address space is taken (by the
// race detector).
func create(t *testing.T, n *Node, name string, size int64, opts ...SegmentOption) *Segment {
	t.Helper()
	s, err := n.Create(t.Context(), name, size, opts...)
	if errors.Is(err, ErrBaseTaken) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConnectSaysWhatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ socket, rank, size, want string }{
		{"", "", "", "MOME_SOCKET is not set"},
		{file + ".none", "", "", "is the node running?"},
		{file, "", "", "is not a socket"},
		{file, "x", "", `MOME_RANK="x" is not a number`},
		{file, "", "-1", `MOME_SIZE="-1" is not a number`},
		{file, "2", "2", "do not fit"},
		{file, "", "0", "do not fit"},
	} {
		t.Setenv(EnvSocket, c.socket)
		t.Setenv(EnvRank, c.rank)
		t.Setenv(EnvSize, c.size)
		if _, err := Connect(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Connect with %+v: %v", c, err)
		}
	}
}

// A node that does not answer is not waited for without a word.
func TestConnectToASilentNode(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unixpacket", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var said []string
	_, err = Connect(ctx, WithSocket(socket), WithWaitingHandler(func(waits string) {
		said = append(said, waits)
		cancel()
	}))
	if want := "the node at " + socket + " does not answer"; !errors.Is(err, context.Canceled) || len(said) != 1 || said[0] != want {
		t.Errorf("%v, and it said %q, want %q", err, said, want)
	}
}

func TestRankAndSize(t *testing.T) {
	n, daemon := connect(t)
	if n.ID() != 0 || n.Rank() != 0 || n.Size() != 3 || n.Nodes() != 3 || n.Cluster() != "test" {
		t.Errorf("node %d of %d, rank %d of %d in %q", n.ID(), n.Nodes(), n.Rank(), n.Size(), n.Cluster())
	}
	for _, c := range []struct {
		env        [2]string
		rank, size int
		want       string // of the error
	}{
		{[2]string{"4", "7"}, 4, 7, ""},
		{[2]string{"2", ""}, 2, 3, ""},
		{[2]string{"", "1"}, 0, 1, ""},
		{[2]string{"3", ""}, 0, 0, "rank 3 of 3"},
		{[2]string{"5", ""}, 0, 0, "set both MOME_RANK and MOME_SIZE"},
	} {
		t.Setenv(EnvRank, c.env[0])
		t.Setenv(EnvSize, c.env[1])
		n, err := attachTo(t, daemon)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q: %v, want %q", c.env, err, c.want)
			}
			continue
		}
		if err != nil || n.ID() != 0 || n.Rank() != c.rank || n.Size() != c.size || n.Nodes() != 3 {
			t.Errorf("%q: node %d, rank %d of %d, %v; want rank %d of %d", c.env, n.ID(), n.Rank(), n.Size(), err, c.rank, c.size)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A process has one attachment.
func TestConnectTwice(t *testing.T) {
	daemon := clienttest.Start(t, 3)
	if n, err := Connect(t.Context(), WithSocket(daemon.Socket()+".none")); err == nil {
		n.Close()
		t.Fatal("attached to nobody")
	}
	for range 2 { // Close makes room for another one, and so does an error
		n, err := Connect(t.Context(), WithSocket(daemon.Socket()))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Connect(t.Context(), WithSocket(daemon.Socket()))
		const want = "mome: connect: this process is attached already (node 0): share that Node, or Close it first"
		if !errors.Is(err, ErrInvalid) || err.Error() != want {
			t.Errorf("a second Connect: %v, want %s", err, want)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// While one is being made.
	n, err := Connect(t.Context(), WithSocket(daemon.Socket()), func(*options) {
		_, err := Connect(t.Context(), WithSocket(daemon.Socket()))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "attached already: share") {
			t.Errorf("a Connect within another: %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

func TestSliceOf(t *testing.T) {
	n, _ := connect(t)
	s := create(t, n, "a", 4096)
	if err := s.Prefault(0, 4096, true); err != nil {
		t.Fatal(err)
	}
	counters, err := SliceOf[atomic.Int64](s, 8, 511)
	if err != nil {
		t.Fatal(err)
	}
	counters[510].Add(7)
	last, err := ValueOf[int64](s, 4088)
	if err != nil || *last != 7 {
		t.Errorf("the last word is %v (%v), want 7", last, err)
	}
	if empty, err := SliceOf[int64](s, 4096, 0); err != nil || len(empty) != 0 {
		t.Errorf("an empty slice at the end: %v, %v", empty, err)
	}
	for _, c := range []struct {
		off  int64
		n    int
		want string
	}{
		{4, 1, "not a multiple of 8"},
		{-8, 1, "not within"},
		{0, 513, "not within"},
		{4096, 1, "not within"},
		{0, -1, "length of -1"},
		{0, 1 << 62, "length of"},
	} {
		if _, err := SliceOf[int64](s, c.off, c.n); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("SliceOf(%d, %d): %v, want %q", c.off, c.n, err, c.want)
		}
	}
	if _, err := SliceOf[string](s, 0, 1); !errors.Is(err, ErrInvalid) {
		t.Errorf("SliceOf[string]: %v", err)
	}
	if _, err := ValueOf[*int](s, 0); !errors.Is(err, ErrInvalid) {
		t.Errorf("ValueOf[*int]: %v", err)
	}
}

// twoConnections are two programs at one node.
func twoConnections(t *testing.T) (n, other *Node, daemon *clienttest.Node) {
	t.Helper()
	n, daemon = connect(t)
	other, err := attachTo(t, daemon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return n, other, daemon
}

func TestStatsAndClose(t *testing.T) {
	n, _ := connect(t)
	stats, err := n.Stats(t.Context())
	if err != nil || stats["requests"] != 2 {
		t.Errorf("Stats: %v, %v; want 2 requests", stats, err)
	}
	s := create(t, n, "a", 4096)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Open(t.Context(), "a"); !errors.Is(err, ErrClosed) {
		t.Errorf("Open: %v, want ErrClosed", err)
	}
	if s.Bytes() != nil {
		t.Error("a segment of a closed node has bytes")
	}
	for name, op := range map[string]func() error{
		"SliceOf":  func() error { _, err := SliceOf[int64](s, 0, 1); return err },
		"ValueOf":  func() error { _, err := ValueOf[int64](s, 0); return err },
		"WordsOf":  func() error { _, err := WordsOf[int64](nil, s, 0, 1); return err },
		"Prefault": func() error { return s.Prefault(0, 1, false) },
		"Prefetch": func() error { return s.Prefetch(0, 1, false) },
	} {
		if err := op(); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close of a segment of a closed node: %v", err)
	}
}

// children are applications, run in processes of their own.
var children = map[string]func(){
	// waits is blocked in a request.
	"waits": func() {
		n, err := Connect(context.Background())
		if err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		b, err := n.Barrier(context.Background(), "b", 0, 2)
		if err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		fmt.Println("ready")
		b.Wait(context.Background())
		select {} // the end comes from another goroutine
	},
	// handles has a handler of its own.
	"handles": func() {
		failed := make(chan error, 1)
		n, err := Connect(context.Background(), WithFailureHandler(func(err error) { failed <- err }))
		if err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		fmt.Println("ready")
		err = <-failed
		fmt.Fprintln(os.Stderr, "handled:", err, errors.Is(err, ErrClusterFailed))
		n.Close()
		os.Exit(7)
	},
	// default gives no handler, by name.
	"default": func() {
		if _, err := Connect(context.Background(), WithFailureHandler(nil)); err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		fmt.Println("ready")
		select {}
	},
	// sealed cannot unmap its segment.
	"sealed": func() {
		check := func(ok bool, what ...any) {
			if !ok {
				fmt.Println(what...)
				os.Exit(3)
			}
		}
		n, err := Connect(context.Background())
		check(err == nil, err)
		s, err := n.Create(context.Background(), "sealed", 4096)
		check(err == nil, err)
		other, err := n.Create(context.Background(), "other", 4096)
		check(err == nil, err)
		check(s.Prefault(0, 4096, true) == nil, "Prefault")
		const mseal = 462 // 6.10
		if _, _, errno := unix.Syscall(mseal, s.Addr(), uintptr(s.Size()), 0); errno != 0 {
			fmt.Println("no mseal:", errno)
			os.Exit(0)
		}
		for _, node := range []bool{false, true} {
			err := error(nil)
			if node {
				err = n.Close()
			} else {
				err = s.Close()
			}
			check(err != nil, "a sealed segment was unmapped")
			check(s.Bytes() != nil && s.Prefault(0, 1, true) == nil && s.Drop(context.Background(), 0, 1) == nil, "it is not as it was")
		}
		check(other.Bytes() == nil && other.Close() == nil, "the other segment is mapped")
		other, err = n.Open(context.Background(), "other")
		check(err == nil && other.Bytes() != nil, "the other segment cannot be mapped again:", err)
		fmt.Println("refused")
	},
}

func TestFailureEndsTheProgram(t *testing.T) {
	for _, c := range []struct {
		name, child string
		event       func(*clienttest.Node)
		status      int // or
		signal      syscall.Signal
		stderr      string
	}{
		{"announced", "waits", func(d *clienttest.Node) { d.Fail("node 2 died") }, 1, 0,
			"mome: the cluster failed: node 2 died\n"},
		{"hang-up", "waits", (*clienttest.Node).HangUp, 1, 0,
			"mome: the cluster failed: the node hung up\n"},
		{"node killed", "waits", (*clienttest.Node).Kill, 0, syscall.SIGKILL, ""},
		{"no handler", "default", func(d *clienttest.Node) { d.Fail("node 2 died") }, 1, 0,
			"mome: the cluster failed: node 2 died\n"},
		{"handler", "handles", func(d *clienttest.Node) { d.Fail("disk") }, 7, 0,
			"handled: mome: the cluster failed: disk true\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			daemon := clienttest.Start(t, 2)
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), exe)
			cmd.Env = append(os.Environ(), childEnv+"="+c.child, EnvSocket+"="+daemon.Socket())
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			stdout := bufio.NewReader(out)
			if line, err := stdout.ReadString('\n'); line != "ready\n" {
				t.Fatalf("the child says %q (%v)", line, err)
			}
			c.event(daemon)
			io.Copy(io.Discard, stdout)
			cmd.Wait()
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if c.signal != 0 && status.Signal() != c.signal || c.signal == 0 && status.ExitStatus() != c.status {
				t.Errorf("the child ended by %v, want status %d or signal %v", cmd.ProcessState, c.status, c.signal)
			}
			if stderr.String() != c.stderr {
				t.Errorf("on stderr %q, want %q", stderr.String(), c.stderr)
			}
		})
	}
}
