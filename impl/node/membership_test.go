package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/coord"
)

// logged passes on what a node logs.
type logged struct {
	slog.Handler
	records chan slog.Record
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.records <- r
	return nil
}

// await is the next record whose message has the text, with its attributes as
// one text.
func (l *logged) await(t *testing.T, text string) (slog.Level, string) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case r := <-l.records:
			if !strings.Contains(r.Message, text) {
				continue
			}
			var attrs []string
			r.Attrs(func(a slog.Attr) bool { attrs = append(attrs, a.String()); return true })
			return r.Level, strings.Join(attrs, " ")
		case <-limit.C:
			t.Fatalf("nothing of %q is logged", text)
		}
	}
}

// A node whose store holds something unreadable says why it does not follow it
// any more, goes on, and follows it again when that is mended.
func TestConfigurationTrouble(t *testing.T) {
	log := &logged{records: make(chan slog.Record, 1000)}
	n := startNodes(t, 1, func(c *Config) { c.Log = slog.New(log) })[0]
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	set := func(op coord.Op) {
		t.Helper()
		if _, _, err := n.store.Txn(ctx, nil, []coord.Op{op}); err != nil {
			t.Fatal(err)
		}
	}
	set(coord.Put("segment/x", []byte("{")))
	if level, why := log.await(t, "cannot be followed"); level != slog.LevelError || !strings.Contains(why, "segment/x") {
		t.Errorf("logged at %v, with %s", level, why)
	}
	if _, err := n.config.Create(ctx, "a", 1, coord.Attrs{}); !errors.Is(err, coord.ErrBadConfig) {
		t.Errorf("a segment was created, or not: %v", err)
	}
	set(coord.Delete("segment/x"))
	log.await(t, "followed again")
	s, err := n.config.Create(ctx, "a", 1, coord.Attrs{})
	if err != nil {
		t.Fatal(err)
	}
	if n.awaitSegment(s) == nil {
		t.Error("the segment that was created is not there")
	}
	if err := n.Err(); err != nil {
		t.Error(err)
	}
}

// A node whose cluster another one has replaced ends, and says so.
func TestReplacedNodeEnds(t *testing.T) {
	n := startNodes(t, 1, func(*Config) {})[0]
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	next := coord.Cluster{ID: "next", Nodes: 1, Fanout: 2, Slots: 1, Transport: "tcp", Repair: time.Second}
	if err := coord.Found(ctx, n.store, next); !errors.Is(err, coord.ErrFounded) {
		t.Fatalf("over a cluster that runs: %v", err)
	}
	if err := n.config.End(ctx, "a test"); err != nil {
		t.Fatal(err)
	}
	if err := coord.Found(ctx, n.store, next); err != nil {
		t.Fatal(err)
	}
	select {
	case <-n.Ended():
	case <-ctx.Done():
		t.Fatal("the node goes on")
	}
	if err := n.Err(); !errors.Is(err, coord.ErrReplaced) || !strings.Contains(err.Error(), "next") {
		t.Errorf("it ended with %v", err)
	}
}

// A node that was stopped when its programs, and this node's, had ended is no
// failure, though this node has not taken note of that end yet.
func TestLeftAfterPrograms(t *testing.T) {
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(self)
	program := exec.Command("true")
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	dead, err := unix.PidfdOpen(program.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dead)
	if err := program.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		process int
		hungUp  bool
		fails   bool
	}{{"process ended", dead, false, false}, {"hung up", self, true, false}, {"runs", self, false, true}} {
		t.Run(c.name, func(t *testing.T) {
			n := startNodes(t, 1, func(*Config) {})[0]
			socket := filepath.Join(t.TempDir(), "s")
			l, err := client.Listen(socket)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			theirs, err := net.Dial("unixpacket", socket)
			if err != nil {
				t.Fatal(err)
			}
			defer theirs.Close()
			ours, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer ours.Close()
			if c.hungUp {
				theirs.Close()
			}
			a := &application{node: n, conn: ours, process: c.process}
			if !n.addApplication(a) {
				t.Fatal("the node takes no program")
			}
			n.left(1)
			n.removeApplication(a)
			if err := n.Err(); (err != nil) != c.fails {
				t.Errorf("%v", err)
			}
			<-n.Ended()
		})
	}
}
