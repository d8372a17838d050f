package node

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/memory"
)

// Nodes of these tests run in the test's own process, so that what they
// allocate and hold can be counted. Programs are processes of their own, as
// always: this binary, with programArgument and the attach socket.
const programArgument = "node-test-program"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == programArgument {
		if err := programMain(os.Args[2]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// requireUserfaultfd skips a test where the machine has no full userfaultfd,
// unless MOME_REQUIRE_UFFD=1 says that it must.
func requireUserfaultfd(t testing.TB) {
	t.Helper()
	err := memory.Probe().Err()
	switch {
	case err == nil:
	case os.Getenv("MOME_REQUIRE_UFFD") == "1":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// startNodes is a cluster by number of its nodes, which end with the test.
func startNodes(t testing.TB, count int, edit func(*Config)) []*Node {
	t.Helper()
	requireUserfaultfd(t)
	dir, err := os.MkdirTemp("", "mome") // short: a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	type result struct {
		node *Node
		err  error
	}
	results := make(chan result, count)
	var founder string
	for i := range count {
		joined := make(chan string, 1)
		cfg := Config{Socket: filepath.Join(dir, fmt.Sprint(i)), Repair: time.Minute, Join: founder,
			Joined: func(_ addr.NodeID, address string) { joined <- address }}
		if i == 0 {
			cfg.Nodes, cfg.Directory = count, filepath.Join(dir, "store")
		}
		edit(&cfg)
		go func() {
			n, err := Start(ctx, cfg)
			results <- result{n, err}
		}()
		select {
		case address := <-joined:
			if i == 0 {
				founder = address
			}
		case <-ctx.Done():
			t.Fatalf("node %d does not join: %v", i, ctx.Err())
		}
	}
	nodes := make([]*Node, count)
	for range nodes {
		r := <-results
		if r.err != nil {
			t.Fatal(r.err)
		}
		nodes[r.node.ID()] = r.node
	}
	// All at once: a node that misses another one complains.
	t.Cleanup(func() {
		for _, n := range nodes {
			n.Close()
		}
	})
	return nodes
}

// program is a process attached to a node. It does what it is told, a line at a
// time.
type program struct {
	t       testing.TB
	in      io.WriteCloser
	out     *bufio.Reader
	mayFail bool // it ends by itself or is killed, in the course of the test
	process *os.Process
	wait    func() error
}

// startProgram attaches one; it ends before the nodes do.
func startProgram(t testing.TB, n *Node) *program {
	t.Helper()
	cmd := exec.Command(os.Args[0], programArgument, n.cfg.Socket)
	p := &program{t: t}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.process, p.wait = cmd.Process, sync.OnceValue(cmd.Wait)
	t.Cleanup(func() {
		in.Close()
		if err := p.wait(); err != nil && !p.mayFail {
			t.Errorf("a program: %v", err)
		}
	})
	p.in, p.out = in, bufio.NewReader(out)
	return p
}

// do has the program carry one order out, and returns its answer.
func (p *program) do(order string) string {
	p.t.Helper()
	p.begin(order)
	return p.end(order)
}

// end is the answer to an order that was begun.
func (p *program) end(order string) string {
	p.t.Helper()
	answer, err := p.out.ReadString('\n')
	answer, ok := strings.CutPrefix(strings.TrimSpace(answer), "done")
	if err != nil || !ok {
		p.t.Fatalf("%s: %q, %v", order, answer, err)
	}
	return strings.TrimSpace(answer)
}

// begin has the program begin with one order.
func (p *program) begin(order string) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, order); err != nil {
		p.t.Fatalf("%s: %v", order, err)
	}
}

// rest is what the program says until it ends.
func (p *program) rest() string {
	p.t.Helper()
	text, err := io.ReadAll(p.out)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// sharedPages is the size of the segment that load and store are about.
const sharedPages = 512

// programMain does what its standard input says until that ends: load or store
// touches every page of the shared segment once, in an order without sequences;
// the other orders are those of a life (resources_test.go).
func programMain(socket string) error {
	ctx := context.Background()
	in := bufio.NewScanner(os.Stdin)
	var shared []byte
	l, w := life{ctx: ctx, socket: socket}, writer{ctx: ctx, socket: socket}
	for in.Scan() {
		var verb, answer string
		var number int
		_, _ = fmt.Sscan(in.Text(), &verb, &number) // not every verb has a number
		var err error
		switch verb {
		case "load", "store", "open", "sequence", "sum":
			if shared == nil {
				n, err := mome.Connect(ctx, mome.WithSocket(socket))
				if err != nil {
					return err
				}
				defer n.Close()
				s, err := n.OpenOrCreate(ctx, "shared", sharedPages*addr.PageSize)
				if err != nil {
					return err
				}
				shared = s.Bytes()
			}
			switch verb {
			case "load", "store":
				access(shared, verb == "store")
			case "sequence":
				for i := range number {
					shared[i*addr.PageSize+1]++
				}
			case "sum":
				sum := 0
				for i := range sharedPages {
					sum += int(shared[i*addr.PageSize])
				}
				answer = fmt.Sprint(sum)
			}
		case "fill", "verify", "zeros", "clean", "prefault", "gone":
			answer, err = w.do(verb, in.Text())
		case "deaf":
			err = mapDeaf(socket)
		case "begin":
			err = l.begin(number)
		case "remove":
			err = l.node.Remove(ctx, l.segment.Name())
		case "end":
			err = l.end()
		case "count":
			answer, err = held().encode()
		default:
			err = fmt.Errorf("unknown order %q", in.Text())
		}
		if err != nil {
			return err
		}
		fmt.Println("done", answer)
	}
	return in.Err()
}

// access touches every page once.
func access(mem []byte, store bool) {
	const stride = 5 // prime to sharedPages, and no neighbour
	for i := range sharedPages {
		word := (*[8]byte)(mem[i*stride%sharedPages*addr.PageSize:])
		if store {
			word[0]++
		} else {
			sink += word[0]
		}
	}
}

var sink byte // keeps loads
