package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mome-dsm/mome"
)

var (
	flapTime = flag.Duration("flap", time.Minute, "how long TestFlapping breaks the network, for each transport")
	flapSeed = flag.Uint64("flap-seed", 0, "its seed; 0: another one each time")
)

func init() { children["keep"] = keepCounting }

const (
	keptPages = 32
	keptWords = 512 // of a page
)

// keepCounting counts in words that all ranks share, by atomic additions and under
// a lock, where it also checks and rewrites a page, until its standard input ends.
// Then it says how often it did so, and when all have done that, what is there.
func keepCounting() {
	ctx := context.Background()
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
	}
	n, err := mome.Connect(ctx)
	check(err)
	s, err := n.OpenOrCreate(ctx, "kept", (1+keptPages)*keptWords*8)
	check(err)
	words, err := mome.SliceOf[int64](s, 0, (1+keptPages)*keptWords)
	check(err)
	barrier, err := n.Barrier(ctx, "kept", n.Rank(), n.Nodes())
	check(err)
	lock := n.Lock("kept")
	check(barrier.Wait(ctx))
	var over atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		over.Store(true)
	}()
	fmt.Println("counting")
	random := rand.New(rand.NewPCG(1, uint64(n.Rank())))
	var added, locked int64
	for !over.Load() {
		atomic.AddInt64(&words[0], 1)
		added++
		_, err := lock.Acquire(ctx)
		check(err)
		words[1]++
		page := words[(1+random.IntN(keptPages))*keptWords:][:keptWords]
		version := page[0]
		for i, w := range page {
			if w != version*int64(1+i) {
				check(fmt.Errorf("word %d of a page of version %d is %d", i, version, w))
			}
		}
		for i := range page {
			page[i] = (version + 1) * int64(1+i)
		}
		check(lock.Release())
		locked++
	}
	fmt.Println("made", added, locked)
	check(barrier.Wait(ctx))
	versions := int64(0)
	for i := range keptPages {
		versions += words[(1+i)*keptWords]
	}
	fmt.Println("found", atomic.LoadInt64(&words[0]), words[1], versions)
	check(barrier.Wait(ctx))
	check(n.Close())
}

// TestFlapping: a network that comes and goes, each time for less than the repair
// time, does not end a run, however often, and nothing is lost.
func TestFlapping(t *testing.T) {
	needNode(t)
	for _, transport := range []string{"tcp", "grpc"} {
		t.Run("transport="+transport, func(t *testing.T) { testFlapping(t, transport) })
	}
}

func testFlapping(t *testing.T, transport string) {
	const (
		count  = 3
		repair = 3 * time.Second
	)
	seed := *flapSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	random := rand.New(rand.NewPCG(seed, 0))
	h := newHosts(t, count)
	dir := shortTemp(t)
	token := writeToken(t, "between us\n")
	var nodes []*startedNode
	for i := range count {
		args := []string{"--listen", h.address(i) + ":7070", "--token-file", token, "--socket", filepath.Join(dir, fmt.Sprint(i))}
		if i == 0 {
			args = append(args, "--nodes", fmt.Sprint(count), "--transport", transport, "--repair", repair.String())
		} else {
			args = append(args, "--join", h.address(0)+":7070")
		}
		n := startNodeBy(t, h.on(i), args...)
		n.await(stateJoined)
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		n.ready()
	}
	var programs []*process
	var inputs []io.Closer
	self := childProgram(t, "keep")
	for i, n := range nodes {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "MOME_SOCKET="+n.last.Socket, fmt.Sprintf("MOME_RANK=%d", i), fmt.Sprintf("MOME_SIZE=%d", count))
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, in)
		programs = append(programs, startCmd(t, cmd))
	}
	for _, p := range programs {
		p.expect("counting")
	}
	outages := 0
	for end := time.Now().Add(*flapTime); time.Now().Before(end) && !t.Failed(); outages++ {
		// Half a second each way has the period of what the kernel tries again once a
		// second; the rest is at random.
		down, up := repair/6, repair/6
		if outages >= 6 && outages%2 == 0 {
			down = 50*time.Millisecond + rand.N(repair*3/4)
			up = 400*time.Millisecond + rand.N(repair/4)
		}
		took := h.outage(random.IntN(count), random.IntN(3), down)
		timer := time.NewTimer(up)
		for _, n := range nodes {
			select {
			case <-n.done:
				t.Errorf("seed %d: %s ended in or after outage %d, which was to take %v and took %v at most: %s",
					seed, n.last.Address, outages, down, took, n.stderr.String())
			default:
			}
		}
		<-timer.C
	}
	for _, in := range inputs {
		in.Close()
	}
	var added, locked int64
	for _, p := range programs {
		var a, l int64
		if _, err := fmt.Sscanf(p.expect("made"), "made %d %d", &a, &l); err != nil {
			t.Fatal(err)
		}
		added, locked = added+a, locked+l
	}
	for i, p := range programs {
		if got, want := p.expect("found"), fmt.Sprint("found ", added, " ", locked, " ", locked); got != want {
			t.Errorf("seed %d: rank %d %s, want %s", seed, i, got, want)
		}
		if status, stderr := p.end(); status != 0 {
			t.Errorf("rank %d: status %d: %s", i, status, stderr)
		}
	}
	nodes[0].signal(syscall.SIGTERM)
	away := 0
	for i, n := range nodes {
		status, stderr := n.end()
		gone, back := strings.Count(stderr, " is away: "), strings.Count(stderr, " is back: ")
		if status != 0 || gone != back {
			t.Errorf("seed %d: node %d: status %d, others were %d times away and %d times back: %s", seed, i, status, gone, back, stderr)
		}
		away += gone
	}
	t.Logf("%d times a node was away for another", away)
	t.Logf("seed %d: %d outages, %d and %d counted", seed, outages, added, locked)
}

// outage cuts a host off for a time, in one of three ways: its cable is pulled, its
// interface is switched off, or the switch forwards nothing while all seems well.
// It says how long that was at most. One process with priority does it: what is to
// spare is little, and on a busy machine this one would be late for the end.
func (h *hosts) outage(i, way int, d time.Duration) time.Duration {
	h.t.Helper()
	namespace, port := h.bridge(), fmt.Sprintf("port%d", i)
	off, on := "down", "up"
	switch way {
	case 1:
		namespace, port = h.host(i), "eth0"
	case 2:
		off, on = "type bridge_slave state 0", "type bridge_slave state 3"
	}
	const script = `date +%s%N; ip -n $0 link set $1 $2; sleep $4; ip -n $0 link set $1 $3; date +%s%N`
	var stdout, stderr strings.Builder
	cmd := exec.Command("nice", "-n", "-40", "sh", "-ec", script, namespace, port, off, on, fmt.Sprint(d.Seconds()))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var began, ended time.Duration
	if err == nil {
		_, err = fmt.Sscan(stdout.String(), &began, &ended)
	}
	if err != nil {
		h.t.Fatalf("%q: %v: %s", cmd.Args, err, stderr.String())
	}
	return ended - began
}
