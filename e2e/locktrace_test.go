package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
	"github.com/mome-dsm/mome/impl/trace/validate"
	"github.com/mome-dsm/mome/impl/wire"
	"github.com/mome-dsm/mome/spec/tlc"
)

func init() { programs["impatient"] = impatient }

// impatient tries a lock and then asks for it as often as it is told to, and
// takes its request back when it is told so, or has the lock by then.
func impatient(p *program) {
	l := p.Lock(p.arg(0))
	for p.hear() == "ask" {
		ctx, cancel := context.WithCancel(p.ctx)
		if _, err := l.TryAcquire(ctx); held(err) {
			check(l.Release())
		}
		done := make(chan error, 1)
		go func() {
			_, err := l.Acquire(ctx)
			done <- err
		}()
		p.say("asked")
		if p.hear() == "stop" {
			cancel()
		}
		if err := <-done; held(err) {
			check(l.Release())
		} else {
			expect(err, context.Canceled)
		}
		p.say("over")
		cancel()
	}
}

// held says of the end of an acquire whether the lock is held.
func held(err error) bool { return err == nil || errors.Is(err, mome.ErrOwnerDied) }

// contend has processes of all nodes take one lock, some give up, and some die
// with it or before they get it.
func contend(c *cluster) {
	last := c.shape.nodes - 1
	apps := c.team(c.shape.nodes, 2*c.shape.nodes, "counter", "lock", 25)
	allAt(apps, "ready")
	allTell(apps, "go")
	allOK(apps)
	for node := range c.shape.nodes {
		holder := c.run(node, "holder")
		holder.at("held")
		givesUp := c.run(last-node, "impatient")
		for _, word := range []string{"ask", "stop"} {
			givesUp.tell(word)
			givesUp.line()
		}
		waits := c.run(last-node, "impatient")
		waits.tell("ask")
		waits.at("asked")
		if node%2 == 0 {
			waits.kill() // while it waits, or was just granted the lock
		}
		// By its timeout, which the node keeps.
		f := c.foreign(c.t).hello()
		f.request(lockAcquire(c.name(), uint64(time.Millisecond)))
		f.fails("LockAcquire of a lock that is held", attachpb.Code_CODE_TIMEOUT)
		holder.kill()
		if node%2 != 0 {
			waits.tell("wait")
			waits.at("over")
			waits.tell("end")
			waits.ok()
		}
		next := c.run(node, "impatient")
		for _, word := range []string{"ask", "wait"} {
			next.tell(word)
			next.line()
		}
		next.tell("end")
		givesUp.tell("end")
		allOK([]*app{next, givesUp})
	}
}

// TestLockTraces: what real nodes did with locks is a behaviour of the
// specification, every action of it taken.
func TestLockTraces(t *testing.T) {
	requireUserfaultfd(t)
	tool, err := tlc.Find()
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range []struct {
		shape
		transport string
	}{{two, wire.GRPC}, {four, wire.TCP}} {
		t.Run(fmt.Sprintf("nodes=%d", run.nodes), func(t *testing.T) {
			run.trace = t.TempDir()
			// The logs are whole when the cluster has ended.
			if !t.Run("record", func(t *testing.T) { contend(start(t, run.transport, run.shape)) }) {
				return
			}
			logs, err := trace.OpenRun(run.trace)
			if err != nil {
				t.Fatal(err)
			}
			v, err := validate.Run(t.Context(), logs, validate.Locks, validate.Options{Tool: tool})
			if err != nil {
				t.Fatal(err)
			}
			if !v.Accepted {
				t.Fatalf("%s: %s of %s: %s\n%s", v.Refusal.Event.Where(), v.Refusal.Event.Act, v.Refusal.Object,
					strings.Join(v.Refusal.Reasons, "; "), v.Refusal.State)
			}
			t.Logf("locks: %d events of %d locks: %v", v.Events, v.Objects, v.Acts)
			if len(v.Acts) != len(protocol.LockActions()) {
				t.Errorf("not every action was taken: %v", v.Acts)
			}
			told, canceled := 0, 0
			for ev, err := range logs.SyncEvents() {
				if err != nil {
					t.Fatal(err)
				}
				if ev.Act == "RecvGrant" && ev.Sync.Code == protocol.CodeOwnerDied {
					told++
				}
				if ev.Act == "RecvRefuse" && ev.Sync.Code == protocol.CodeCanceled {
					canceled++
				}
			}
			if told < run.nodes || canceled < run.nodes {
				t.Errorf("%d grants told of a death, %d requests were taken back", told, canceled)
			}
		})
	}
}
