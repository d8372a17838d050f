package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/coord/coordtest"
)

func init() { programs["steady"] = steady }

const (
	steadyPages  = 64
	steadyRounds = 50
)

// steady has memory, a lock and a barrier of its own team, uses them while the
// test says "round", and creates and finds segments as it is told.
func steady(p *program) {
	w := words(p.open(steadyPages * pageSize))
	lock := p.Lock(p.arg(0))
	barrier, err := p.Barrier(p.ctx, p.arg(0), p.Rank(), p.Size())
	check(err)
	p.say("ready")
	page := 1 // fresh for each order: all of its accesses fault
	for {
		order := strings.Fields(p.hear())
		switch order[0] {
		case "round":
			for i := range steadyRounds {
				_, err := lock.Acquire(p.ctx)
				check(err)
				w[0]++
				check(lock.Release())
				check(barrier.Wait(p.ctx))
				if p.Rank() == i%p.Size() {
					w[page*pageWords]++
				}
				check(barrier.Wait(p.ctx))
				if got := w[page*pageWords]; got != int64(i+1) {
					fatalf("page %d holds %d after %d stores", page, got, i+1)
				}
				check(barrier.Wait(p.ctx))
			}
			page++
			p.say("done", w[0])
		case "create":
			_, err := p.Create(p.ctx, order[1], pageSize)
			p.say("created", errors.Is(err, mome.ErrUnavailable), err)
		case "fill":
			n := 0
			for ; err == nil; n++ {
				_, err = p.Create(p.ctx, fmt.Sprintf("%s-%d", order[1], n), pageSize)
			}
			p.say("filled", n, errors.Is(err, mome.ErrNoSpace), err)
			err = nil
		case "find":
			_, err := p.Open(p.ctx, order[1])
			p.say("found", errors.Is(err, mome.ErrUnavailable), err)
		case "end":
			check(barrier.Close())
			return
		}
	}
}

// The configuration store is away for a while: memory, locks and barriers go on,
// what needs the store says so in one line, nothing ends, and all is well when it
// is back.
func TestStoreAway(t *testing.T) {
	onEach(t, []shape{{nodes: 3, etcd: true}}, func(t *testing.T, c *cluster) {
		apps := c.team(c.shape.nodes, c.shape.nodes, "steady")
		allAt(apps, "ready")
		rounds := 0
		round := func() {
			t.Helper()
			allTell(apps, "round")
			rounds++
			for _, a := range apps {
				if got, want := a.at("done")[0], fmt.Sprint(rounds*len(apps)*steadyRounds); got != want {
					t.Errorf("%s counts %s, want %s", a.title, got, want)
				}
			}
		}
		round()
		c.etcd.Stop()
		round()
		apps[1].tell("create " + c.name() + "-more")
		apps[2].tell("find " + c.name() + "-nowhere")
		for what, line := range map[string][]string{"created": apps[1].at("created"), "found": apps[2].at("found")} {
			text := strings.Join(line, " ")
			for _, says := range []string{"true mome: ", ": configuration store unavailable: " + c.etcd.URL(), "check that it runs", "memory, locks and barriers go on"} {
				if !strings.Contains(text, says) {
					t.Errorf("not %s, with %q, which does not say %q", what, text, says)
				}
			}
		}
		// A name that the node knows may be another's by now.
		apps[2].tell("find " + c.name())
		if line := strings.Join(apps[2].at("found"), " "); !strings.HasPrefix(line, "true ") || !strings.Contains(line, "configuration store unavailable") {
			t.Errorf("with the store away, a segment is looked for: %q", line)
		}
		round()
		c.etcd.Start()
		round()
		for i, a := range apps {
			name := c.name() + "-later-" + string(rune('0'+i))
			a.tell("create " + name)
			if line := a.at("created"); !slices.Equal(line, []string{"false", "<nil>"}) {
				t.Errorf("with the store back: %q", line)
			}
			apps[(i+1)%len(apps)].tell("find " + name)
			if line := apps[(i+1)%len(apps)].at("found"); !slices.Equal(line, []string{"false", "<nil>"}) {
				t.Errorf("with the store back: %q", line)
			}
		}
		allTell(apps, "end")
		allOK(apps)
		for i, n := range c.nodes {
			if n.ended() {
				t.Errorf("node %d has ended: %s", i, n.outcome())
			}
		}
	})
}

// The disk under the founder's store is full: creating segments fails with the
// reason, on every node; memory, locks and barriers go on, and no node ends, not
// even when the store's own process does. With room again segments are created.
func TestStoreDiskFull(t *testing.T) {
	requireUserfaultfd(t)
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			disk := coordtest.MountDisk(t, "12m")
			dir := filepath.Join(disk.Path, "store")
			c := start(t, transport, shape{nodes: 3, store: dir})
			apps := c.team(c.shape.nodes, c.shape.nodes, "steady")
			allAt(apps, "ready")
			rounds := 0
			round := func() {
				t.Helper()
				allTell(apps, "round")
				rounds++
				for _, a := range apps {
					if got, want := a.at("done")[0], fmt.Sprint(rounds*len(apps)*steadyRounds); got != want {
						t.Errorf("%s counts %s, want %s", a.title, got, want)
					}
				}
			}
			refused := func(when string) {
				t.Helper()
				for i, a := range apps {
					a.tell(fmt.Sprintf("fill %s-%s-%d", c.name(), when, i))
					line := a.at("filled")
					text := strings.Join(line[2:], " ")
					if line[0] != "1" || line[1] != "true" {
						t.Errorf("%s: %s: %q creates segments %s times, ErrNoSpace: %s", when, a.title, text, line[0], line[1])
					}
					for _, says := range []string{"no room", "disk", dir, "delete files", "memory, locks and barriers go on"} {
						if !strings.Contains(text, says) {
							t.Errorf("%s: %s: %q does not say %q", when, a.title, text, says)
						}
					}
				}
			}
			works := func(when string) {
				t.Helper()
				for i, a := range apps {
					name := fmt.Sprintf("%s-%s-%d", c.name(), when, i)
					a.tell("create " + name)
					if line := a.at("created"); !slices.Equal(line, []string{"false", "<nil>"}) {
						t.Errorf("%s: not created: %q", when, line)
					}
					other := apps[(i+1)%len(apps)]
					other.tell("find " + name)
					if line := other.at("found"); !slices.Equal(line, []string{"false", "<nil>"}) {
						t.Errorf("%s: not found: %q", when, line)
					}
				}
			}
			round()
			works("before")

			// By segments to where no change has room.
			disk.Fill(1700 << 10)
			apps[1].tell("fill " + c.name() + "-many")
			if line := apps[1].at("filled"); line[0] == "1" || line[1] != "true" {
				t.Errorf("the disk is full of segments: %q", line)
			}
			round()

			// To the last byte, and the process of the store does not survive that.
			disk.Fill(0)
			refused("fuller")
			round()
			if err := syscall.Kill(c.storeProcess(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			refused("gone")
			round()

			disk.Free()
			works("after")
			round()
			allTell(apps, "end")
			allOK(apps)
			for i, n := range c.nodes {
				if n.ended() {
					t.Errorf("node %d has ended: %s", i, n.outcome())
				}
			}
			if log := c.nodes[0].log.String(); !strings.Contains(log, "level=WARN") || !strings.Contains(log, dir) || !strings.Contains(log, "delete files") {
				t.Errorf("the founder's log does not say what to free: %s", log)
			}
		})
	}
}

// storeProcess is the process that the founder has for its store.
func (c *cluster) storeProcess() int {
	c.t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err == nil && strings.HasPrefix(string(text), "mome-store\x00"+c.shape.store) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			return pid
		}
	}
	c.t.Fatal("the store has no process")
	return 0
}
