package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// Node is how a daemon is to be started.
type Node struct {
	Index, Nodes int
	Listen       string // of node 0 a known port
	Join         string // node 0's port; empty for node 0
	Socket       string
	Transport    string
}

// bed is everything that was started: the cluster and the floor.
type bed struct {
	cfg     *Config
	dir     string
	daemons []*exec.Cmd
	apps    []*process // by node
	first   int64      // the segment's first page

	app, near, far, partner *process

	used usage // by the timed part of the block
}

// start starts the cluster and the floor. The caller's goroutine is locked to
// its thread until stop.
func start(ctx context.Context, cfg *Config) (b *bed, err error) {
	b = &bed{cfg: cfg}
	defer func() {
		if err != nil {
			b.stop()
			b = nil
		}
	}()
	if b.dir, err = os.MkdirTemp("", "mome-bench-"); err != nil {
		return b, err
	}
	port, err := freePort()
	if err != nil {
		return b, err
	}
	for i := range cfg.Nodes {
		n := Node{Index: i, Nodes: cfg.Nodes, Listen: port, Transport: cfg.Transport, Socket: b.socket(i)}
		if i > 0 {
			n.Listen, n.Join = "127.0.0.1:0", port
			if i == 1 {
				if err := awaitPort(ctx, port); err != nil {
					return b, err
				}
			}
		}
		cmd := cfg.Daemon(n)
		cmd.Stdout, cmd.Stderr = nil, os.Stderr
		endWithParent(cmd)
		if err := cmd.Start(); err != nil {
			return b, fmt.Errorf("mome: bench: node %d: %w", i, err)
		}
		b.daemons = append(b.daemons, cmd)
	}
	for i := range cfg.Nodes {
		cmd := cfg.Process(roleApplication)
		cmd.Env = append(cmd.Environ(), mome.EnvSocket+"="+b.socket(i), mome.EnvRank+"="+strconv.Itoa(i),
			mome.EnvSize+"="+strconv.Itoa(cfg.Nodes))
		p, err := startProcess(fmt.Sprintf("the application of node %d", i), cmd)
		if err != nil {
			return b, err
		}
		b.apps = append(b.apps, p)
	}
	for _, p := range b.apps {
		r, err := p.order(ctx, order{Op: "open", Name: "bench"})
		if err != nil {
			return b, err
		}
		b.first = r.First
	}
	return b, b.startFloor(ctx)
}

func (b *bed) startFloor(ctx context.Context) error {
	left, leftPeer, err := socketPair()
	if err != nil {
		return err
	}
	defer left.Close()
	defer leftPeer.Close()
	right, rightPeer, err := socketPair()
	if err != nil {
		return err
	}
	defer right.Close()
	defer rightPeer.Close()
	for _, x := range []struct {
		to   **process
		role string
		file *os.File
	}{{&b.app, roleFloor, left}, {&b.near, roleNear, leftPeer}, {&b.far, roleFar, right}, {&b.partner, rolePartner, rightPeer}} {
		if *x.to, err = startProcess("the "+x.role, b.cfg.Process(x.role), x.file); err != nil {
			return err
		}
	}
	r, err := b.far.order(ctx, order{Op: "setup"})
	if err != nil {
		return err
	}
	nearReady := b.near.begin(order{Op: "setup", Address: r.Address})
	if _, err := b.app.order(ctx, order{Op: "setup"}); err != nil {
		return err
	}
	_, err = nearReady(ctx)
	return err
}

func (b *bed) socket(i int) string { return filepath.Join(b.dir, fmt.Sprintf("node%d.sock", i)) }

// stop ends everything that was started.
func (b *bed) stop() {
	for _, p := range append(b.apps, b.app, b.near, b.far, b.partner) {
		if p != nil {
			p.stop()
		}
	}
	for _, cmd := range b.daemons {
		cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, cmd := range b.daemons {
		kill := time.AfterFunc(5*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		kill.Stop()
	}
	if b.dir != "" {
		os.RemoveAll(b.dir)
	}
}

// home is the node that is the home of the segment's page: the segment's homes
// are spread, over a cluster founded with the default number of slots.
func (b *bed) home(page int64) int {
	slots := protocol.DealSlots(protocol.DefaultSlots(b.cfg.Nodes), protocol.Founders(b.cfg.Nodes))
	all := protocol.Segment{Pages: addr.Pages, Policy: protocol.Spread}
	return int(slots[all.Slot(addr.PageNum(b.first+page), len(slots))].Home)
}

// freePort is an address on loopback that nobody listens at.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// awaitPort waits until somebody listens at the address.
func awaitPort(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return c.Close()
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("mome: bench: node 0 does not listen at %s", address), err)
		}
	}
}

// Offsets of the regions of the segment in which the cases work.
const (
	regionPages = 0
	regionScan  = 64 << 20
	regionCAS   = 256 << 20
	regionFresh = 512 << 20 // each page is used once
)

var _ [segmentSize - regionFresh - 1]struct{}

const pageSize = addr.PageSize
