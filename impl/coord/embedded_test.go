package coord

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc"
)

func TestEmbeddedKeepsItsData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	e := startEmbedded(t, EmbeddedConfig{Dir: dir, NoFsync: true})
	rev := mustTxn(t, e, nil, Put("a", []byte("1")))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = startEmbedded(t, EmbeddedConfig{Dir: dir})
	diff(t, "after a restart", mustGet(t, e, "a"), Entry{"a", []byte("1"), rev})
	if again := mustTxn(t, e, []Cond{{"a", rev}}, Put("a", nil)); again <= rev {
		t.Fatalf("revision %d after %d", again, rev)
	}
	events := e.Watch(testContext(t), "", rev)
	diff(t, "history", next(t, events), Event{Rev: rev, Ops: []Op{Put("a", []byte("1"))}})
}

func TestEmbeddedDirInUse(t *testing.T) {
	dir := t.TempDir()
	startEmbedded(t, EmbeddedConfig{Dir: dir, NoFsync: true})
	_, err := OpenEmbedded(testContext(t), EmbeddedConfig{Dir: dir})
	wantErr(t, err, ErrInUse)
	if !strings.Contains(err.Error(), dir) {
		t.Fatalf("the error does not name %s: %v", dir, err)
	}
}

func TestEmbeddedTemporary(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	e := startEmbedded(t, EmbeddedConfig{})
	mustTxn(t, e, nil, Put("a", nil))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) != 0 {
		t.Fatalf("left behind: %v, %v", left, err)
	}
}

func TestEmbeddedBadDir(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenEmbedded(testContext(t), EmbeddedConfig{Dir: file}); err == nil {
		t.Fatal("opened a store in a file")
	}
}

func TestRemoteNeedsToken(t *testing.T) {
	srv := startServer(t, startEmbedded(t, EmbeddedConfig{}))
	for _, opts := range [][]grpc.DialOption{
		nil,
		{grpc.WithPerRPCCredentials(token("wrong"))},
	} {
		_, err := OpenRemote(testContext(t), RemoteConfig{Endpoints: []string{srv.addr}, DialOptions: opts})
		wantErr(t, err, ErrDenied)
		if !strings.Contains(err.Error(), "token") {
			t.Fatalf("the error does not say what to check: %v", err)
		}
	}
}

func TestRemoteNobodyThere(t *testing.T) {
	srv := startServer(t, startEmbedded(t, EmbeddedConfig{}))
	srv.stop()
	_, err := OpenRemote(context.Background(), RemoteConfig{Endpoints: []string{srv.addr}, Timeout: shortTimeout})
	wantErr(t, err, ErrUnavailable)
	if !strings.Contains(err.Error(), srv.addr) {
		t.Fatalf("the error does not name %s: %v", srv.addr, err)
	}
	_, err = OpenRemote(context.Background(), RemoteConfig{})
	wantErr(t, err, errNoEndpoint)
}

// What is committed while a watcher is cut off reaches it later, in order.
func TestWatchSurvivesOutage(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{})
	srv := startServer(t, e)
	r := srv.dial(t, "")
	first := mustTxn(t, e, nil, Put("a", nil))
	events := r.Watch(testContext(t), "", first)
	next(t, events)
	for round := range 2 {
		srv.stop()
		var revs []int64
		for i := range 5 {
			revs = append(revs, mustTxn(t, e, nil, Put("a", []byte{byte(round), byte(i)})))
		}
		srv.start(t)
		for i, rev := range revs {
			diff(t, "missed", next(t, events), Event{Rev: rev, Ops: []Op{Put("a", []byte{byte(round), byte(i)})}})
		}
	}
}

// A watch that the server refuses for a while goes on where it was.
func TestWatchSurvivesRefusal(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{})
	srv := startServer(t, e)
	r := srv.dial(t, "")
	ctx := testContext(t)
	first := mustTxn(t, e, nil, Put("a", []byte("1")))
	events := r.Watch(ctx, "", first)
	next(t, events)
	srv.stop()
	srv.deny.Store(1)
	srv.start(t)
	second := mustTxn(t, e, nil, Put("a", []byte("2")))
	for srv.denied.Load() < 2 {
		if ctx.Err() != nil {
			t.Fatal("the watch was not set up again")
		}
		runtime.Gosched()
	}
	srv.deny.Store(0)
	diff(t, "missed", next(t, events), Event{Rev: second, Ops: []Op{Put("a", []byte("2"))}})
}

// Two clusters share one etcd, and neither sees the other's keys.
func TestPrefixes(t *testing.T) {
	srv := startServer(t, startEmbedded(t, EmbeddedConfig{}))
	a, ab := srv.dial(t, "/a"), srv.dial(t, "/ab")
	mustTxn(t, a, nil, Put("k", []byte("a")))
	events := a.Watch(testContext(t), "", 0)
	next(t, events)
	mustTxn(t, ab, []Cond{{Key: "k"}}, Put("k", []byte("ab")))
	rev := mustTxn(t, a, nil, Delete("k"))
	diff(t, "only its own", next(t, events), Event{Rev: rev, Ops: []Op{Delete("k")}})
	list, _, err := ab.List(testContext(t), "")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "ab", describe(list), []string{"k=ab"})
}

func BenchmarkOpenEmbedded(b *testing.B) {
	for _, fsync := range []bool{false, true} {
		b.Run(fmt.Sprintf("fsync=%v", fsync), func(b *testing.B) {
			for b.Loop() {
				e, err := OpenEmbedded(b.Context(), EmbeddedConfig{Dir: b.TempDir(), NoFsync: !fsync})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				e.Close()
				b.StartTimer()
			}
		})
	}
}

func BenchmarkTxn(b *testing.B) {
	e := startEmbedded(b, EmbeddedConfig{})
	srv := startServer(b, e)
	for _, c := range []struct {
		name  string
		store Store
	}{
		{"memory", NewMemory()},
		{"embedded", e},
		{"remote", srv.dial(b, "")},
	} {
		b.Run("store="+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := c.store.Txn(b.Context(), nil, []Op{Put("k", []byte("v"))}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
