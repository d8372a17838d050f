package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/node"
)

const (
	roleVariable   = "MOME_E2E_ROLE"   // "node" or "program"; the tests: unset
	configVariable = "MOME_E2E_CONFIG" // of a node: its nodeConfig in JSON
)

// nodeConfig is the part of a node.Config that tests choose.
type nodeConfig struct {
	Listen, Advertise, Join string
	Store                   []string
	Directory, Socket       string
	Nodes, Fanout           int
	Transport               string
	Base                    addr.Base
	Repair, Residence       time.Duration
	NoReadAhead             bool
	Memory                  int64
	Trace                   string
	GiveCallsAway           bool
}

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		code := m.Run()
		closeShared()
		os.Exit(code)
	case "node":
		os.Exit(nodeMain())
	case "program":
		programMain()
	default:
		fmt.Fprintln(os.Stderr, "unknown role", role)
		os.Exit(2)
	}
}

// nodeMain is a node's daemon. It says "ready" when it serves, and "ended" with
// the reason when the cluster cannot go on. It ends in order when its standard
// input does.
func nodeMain() int {
	var c nodeConfig
	if err := json.Unmarshal([]byte(os.Getenv(configVariable)), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if c.GiveCallsAway {
		if err := giveCallsAway(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
	}
	cfg := node.Config{Listen: c.Listen, Advertise: c.Advertise, Join: c.Join, Store: c.Store, Directory: c.Directory,
		Socket: c.Socket, Nodes: c.Nodes, Fanout: c.Fanout, Transport: c.Transport, Base: c.Base, Repair: c.Repair, Residence: c.Residence,
		NoReadAhead: c.NoReadAhead, Memory: c.Memory, Trace: c.Trace, Version: "e2e", Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	n, err := node.Start(ctx, cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer n.Close()
	fmt.Println("ready", n.ID())
	select {
	case <-n.Ended():
		if err := n.Err(); err != nil {
			fmt.Println("ended", err)
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	case <-ctx.Done():
	}
	return 0
}

// programs is the applications by name. Test files add theirs in init.
var programs = make(map[string]func(*program))

// program is what an application has: its arguments, its node, and the lines
// that it exchanges with the test.
type program struct {
	*mome.Node
	ctx  context.Context
	args []string
	in   *bufio.Scanner
}

// exitProgram is the status of a program that found something wrong. 1 is that
// of one which its node has ended.
const exitProgram = 3

func programMain() {
	ctx := context.Background()
	n, err := mome.Connect(ctx)
	check(err)
	p := &program{Node: n, ctx: ctx, args: os.Args[2:], in: bufio.NewScanner(os.Stdin)}
	run := programs[os.Args[1]]
	if run == nil {
		check(fmt.Errorf("unknown program %q", os.Args[1]))
	}
	run(p)
	check(n.Close())
	os.Exit(0)
}

// check ends the program if something went wrong.
func check(err error) {
	if err != nil {
		fatalf("%v", err)
	}
}

func fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "rank %s: %s\n", os.Getenv(mome.EnvRank), fmt.Sprintf(format, args...))
	os.Exit(exitProgram)
}

// expect ends the program if an error is not the one that belongs here.
func expect(err, want error) {
	if !errors.Is(err, want) {
		fatalf("got the error %v, want %v", err, want)
	}
}

func (p *program) arg(i int) string {
	if i >= len(p.args) {
		fatalf("argument %d is missing", i)
	}
	return p.args[i]
}

func (p *program) number(i int) int {
	v, err := strconv.Atoi(p.arg(i))
	check(err)
	return v
}

// say writes a result line.
func (p *program) say(words ...any) { fmt.Println(words...) }

// hear waits for a line of the test.
func (p *program) hear() string {
	if !p.in.Scan() {
		fatalf("the test has ended")
	}
	return p.in.Text()
}

// meet says where the program is and waits for the test to answer.
func (p *program) meet(where string) {
	p.say(where)
	p.hear()
}

// open maps the segment of the test, which the first argument names.
func (p *program) open(size int64, opts ...mome.SegmentOption) *mome.Segment {
	s, err := p.OpenOrCreate(p.ctx, p.arg(0), size, opts...)
	check(err)
	return s
}

// words is a segment as 64-bit words.
func words(s *mome.Segment) []int64 {
	w, err := mome.SliceOf[int64](s, 0, int(s.Size()/8))
	check(err)
	return w
}

// Words and bytes of a page.
const (
	pageSize  = 4096
	pageWords = pageSize / 8
)

// yield lets other processes run before the caller looks again at a word that
// it waits for: there are more of them than cores.
func yield() { _, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// stat is the sum of the named counters of the program's node.
func (p *program) stat(names ...string) (sum uint64) {
	stats, err := p.Stats(p.ctx)
	check(err)
	for _, n := range names {
		v, ok := stats[n]
		if !ok {
			fatalf("no counter %q among %v", n, stats)
		}
		sum += v
	}
	return sum
}

// fields cuts a line into words and drops the first.
func fields(line string) []string {
	f := strings.Fields(line)
	if len(f) == 0 {
		return nil
	}
	return f[1:]
}
