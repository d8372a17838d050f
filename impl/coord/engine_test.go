package coord

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/coord/coordtest"
)

// logged is a log that a test looks at.
type logged struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

// Write is slow, so that whoever is told something before the log is does not find
// it there.
func (l *logged) Write(b []byte) (int, error) {
	for range 1000 {
		runtime.Gosched()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(b))
	return len(b), nil
}

// count is how many lines have a text.
func (l *logged) count(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// text is all of it.
func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// child is the process that serves a store.
func (e *Embedded) child(t *testing.T) *storeChild {
	t.Helper()
	e.engine.mu.Lock()
	defer e.engine.mu.Unlock()
	if e.engine.serving == nil {
		t.Fatal("no process serves the store")
	}
	return e.engine.serving
}

// setDisk gives stores another disk until the test ends.
func setDisk(t *testing.T) (set func(disk)) {
	var now atomic.Pointer[disk]
	now.Store(&disk{bytes: 1 << 30, inodes: true})
	old := freeDisk
	freeDisk = func(string) (disk, error) { return *now.Load(), nil }
	t.Cleanup(func() { freeDisk = old })
	return func(d disk) { now.Store(&d) }
}

// The process of a store is killed: what it has acknowledged is there, watches
// miss nothing, here and at another node, and nobody has to open it again.
func TestStoreProcessKilled(t *testing.T) {
	var log logged
	e := startEmbedded(t, EmbeddedConfig{Log: log.logger()})
	r := startServer(t, e).dial(t, "")
	here, there := e.Watch(testContext(t), "", 1), r.Watch(testContext(t), "", 1)
	for i := range 3 {
		before := mustTxn(t, e, nil, Put("a", []byte{byte(i)}))
		diff(t, "a watch here", next(t, here), Event{Rev: before, Ops: []Op{Put("a", []byte{byte(i)})}})
		diff(t, "a watch there", next(t, there), Event{Rev: before, Ops: []Op{Put("a", []byte{byte(i)})}})
		child := e.child(t)
		child.kill()
		<-child.ended
		diff(t, "what was there", mustGet(t, e, "a"), Entry{"a", []byte{byte(i)}, before})
		mustTxn(t, r, nil, Put("b", nil))
		next(t, here)
		next(t, there)
	}
	if down, up := log.count("does not serve"), log.count("serves again"); down != 3 || up != 3 {
		t.Errorf("three ends in the log: %q", log.text())
	}
	if log.count("signal: killed") != 3 {
		t.Errorf("why it ended is not in the log: %q", log.text())
	}
}

// The process cannot write a file any more: a change fails with the reason, and
// with the limit gone the next one does not.
func TestStoreProcessCannotWrite(t *testing.T) {
	var log logged
	dir := t.TempDir()
	e := startEmbedded(t, EmbeddedConfig{Dir: dir, NoFsync: true, Log: log.logger()})
	acknowledged := 0
	for round := range 2 {
		child := e.child(t)
		limit := unix.Rlimit{Cur: 64 << 10, Max: 64 << 10}
		if err := unix.Prlimit(child.cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
			t.Fatal(err)
		}
		var err error
		for err == nil {
			_, _, err = e.Txn(testContext(t), nil, []Op{Put("k", fmt.Append(nil, acknowledged+1)), Put("filler", make([]byte, 8<<10))})
			if err == nil {
				acknowledged++
			}
		}
		<-child.ended
		reason := child.reason()
		wantErr(t, reason, ErrDiskFull)
		for _, says := range []string{dir, "file too large", "delete files"} {
			if !strings.Contains(reason.Error(), says) {
				t.Errorf("round %d: %v does not say %q", round, reason, says)
			}
		}
		if !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrDiskFull) {
			t.Errorf("round %d: the change fails with %v", round, err)
		}
		// The change that failed may have been made: the log has it.
		got := mustGet(t, e, "k")
		if text := string(got.Value); text != fmt.Sprint(acknowledged) && text != fmt.Sprint(acknowledged+1) {
			t.Fatalf("round %d: %d changes were acknowledged, and %q is there", round, acknowledged, text)
		}
		mustTxn(t, e, nil, Put("k", fmt.Append(nil, acknowledged)))
	}
	if log.count("file too large") == 0 {
		t.Errorf("why it ended is not in the log: %q", log.text())
	}
}

// With little room left, changes are refused, here and at another node, and
// nothing else is.
func TestNoRoomForChanges(t *testing.T) {
	set := setDisk(t)
	var log logged
	e := startEmbedded(t, EmbeddedConfig{Log: log.logger()})
	r := startServer(t, e).dial(t, "")
	before := mustTxn(t, e, nil, Put("a", nil))
	for round, short := range []disk{{bytes: 1 << 20, inodes: true}, {bytes: 1 << 30}} {
		set(short)
		for _, s := range []Store{e, r} {
			for range 2 {
				_, _, err := s.Txn(testContext(t), nil, []Op{Put("a", []byte("x"))})
				wantErr(t, err, ErrDiskFull)
				what := []string{"1024 KiB are free", "needs 1536 KiB"}
				if !short.inodes {
					what = []string{"inode"}
				}
				for _, says := range append(what, e.where, "delete files") {
					if !strings.Contains(err.Error(), says) {
						t.Errorf("%v does not say %q", err, says)
					}
				}
			}
			diff(t, "it can be read", mustGet(t, s, "a"), Entry{Key: "a", ModRev: before})
		}
		if n := log.count("delete files"); n != round+1 {
			t.Errorf("shortage %d is in the log %d times: %q", round+1, n-round, log.text())
		}
		set(disk{bytes: 2 << 20, inodes: true})
		before = mustTxn(t, r, nil, Put("a", nil))
		mustTxn(t, e, nil, Put("b", nil))
		if n := log.count("has room again"); n != round+1 {
			t.Errorf("the end of shortage %d is in the log %d times: %q", round+1, n-round, log.text())
		}
	}
}

// A process that ends while the disk is full is not started before it has room,
// and by the first request that comes then.
func TestNoRoomToRestart(t *testing.T) {
	set := setDisk(t)
	e := startEmbedded(t, EmbeddedConfig{})
	r := startServer(t, e).dial(t, "")
	mustTxn(t, e, nil, Put("a", nil))
	for range 2 {
		set(disk{inodes: true})
		child := e.child(t)
		child.kill()
		<-child.ended
		for _, s := range []Store{e, r} {
			_, err := s.Get(testContext(t), "a")
			wantErr(t, err, ErrDiskFull)
			_, _, err = s.Txn(testContext(t), nil, []Op{Put("a", nil)})
			wantErr(t, err, ErrDiskFull)
		}
		set(disk{bytes: 1 << 30, inodes: true})
		mustTxn(t, r, nil, Put("a", nil))
		mustGet(t, e, "a")
	}
}

func TestNoRoomToBegin(t *testing.T) {
	set := setDisk(t)
	set(disk{bytes: SpaceToBegin - 1, inodes: true})
	dir := filepath.Join(t.TempDir(), "not", "there")
	for _, cfg := range []EmbeddedConfig{{}, {Dir: dir}} {
		_, err := OpenEmbedded(testContext(t), cfg)
		wantErr(t, err, ErrDiskFull)
		if !strings.Contains(err.Error(), "needs 4096 KiB") || !strings.Contains(err.Error(), cfg.Dir) {
			t.Errorf("%v", err)
		}
	}
	wantErr(t, CheckSpace(dir), ErrDiskFull)
	set(disk{bytes: SpaceToBegin, inodes: true})
	if err := CheckSpace(dir); err != nil {
		t.Error(err)
	}
}

// A store whose process cannot start says why, and closes all the same.
func TestStoreProcessCannotRestart(t *testing.T) {
	dir := t.TempDir()
	var log logged
	e := startEmbedded(t, EmbeddedConfig{Dir: dir, NoFsync: true, Log: log.logger()})
	mustTxn(t, e, nil, Put("a", nil))
	child := e.child(t)
	data := filepath.Join(dir, "etcd")
	if err := os.Rename(data, filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(data, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	child.kill()
	<-child.ended
	_, err := e.Get(testContext(t), "a")
	wantErr(t, err, ErrUnavailable)
	if !strings.Contains(err.Error(), data) || !strings.Contains(err.Error(), "not a directory") || strings.Count(err.Error(), "unavailable") != 1 || strings.Contains(err.Error(), "goroutine") {
		t.Errorf("%v", err)
	}
	if log.count("signal: killed") != 1 || log.count("not a directory") != 1 {
		t.Errorf("why it ended, and why it does not start, are not in the log once: %q", log.text())
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.Get(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestLastWords(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"nothing", nil, ""},
		{"warnings only", []string{`{"level":"warn","msg":"slow fdatasync"}`, "goroutine 1 [running]:"}, ""},
		{"an error", []string{`{"level":"error","msg":"failed to preallocate","error":"no space left on device"}`}, "failed to preallocate: no space left on device"},
		{"a fatal one counts", []string{`{"level":"fatal","msg":"failed to save","error":"no space left on device"}`, `{"level":"error","msg":"later"}`}, "failed to save: no space left on device"},
		{"a panic that the log has too", []string{`{"level":"panic","msg":"unexpected","error":"e"}`, "panic: unexpected [recovered]", "goroutine 7 [running]:"}, "unexpected: e"},
		{"a plain panic", []string{`{"level":"error","msg":"m"}`, "panic: index out of range", "", "goroutine 7 [running]:", "main.main()"}, "panic: index out of range"},
		{"its own words", []string{`{"level":"error","msg":"m"}`, "mome-store: cannot listen"}, "cannot listen"},
	} {
		var w lastWords
		for _, l := range c.lines {
			w.hear(l)
		}
		if w.text != c.want {
			t.Errorf("%s: %q, want %q", c.name, w.text, c.want)
		}
	}
}

// What etcd has allotted ahead goes before it is mapped, what it has written does
// not; on a disk nothing goes.
func TestTrimSparse(t *testing.T) {
	memory := coordtest.MountDisk(t, "4m").Path
	here, err := os.MkdirTemp(".", "disk") // which is on a disk, or should be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(here) })
	var s unix.Statfs_t
	if err := unix.Statfs(here, &s); err != nil {
		t.Fatal(err)
	}
	onDisk := int64(1 << 20)
	if s.Type == unix.TMPFS_MAGIC {
		onDisk = 5 << 12
	}
	for _, c := range []struct {
		dir        string
		data, size int64
		want       int64
	}{
		{memory, 5 << 12, 1 << 20, 5 << 12},
		{memory, 5 << 12, 5 << 12, 5 << 12},
		{memory, 0, 1 << 20, 0},
		{here, 5 << 12, 1 << 20, onDisk},
	} {
		path := filepath.Join(c.dir, "db")
		content := bytes.Repeat([]byte{7}, int(c.data))
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, c.size); err != nil {
			t.Fatal(err)
		}
		if err := trimSparse(path); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(got)) != c.want || !bytes.HasPrefix(got, content) {
			t.Errorf("%+v: %d bytes are left", c, len(got))
		}
	}
	if err := trimSparse(filepath.Join(memory, "nothing", "there")); err != nil {
		t.Error(err)
	}
}

// The log has one run after the other.
func TestEmbeddedKeepsItsLog(t *testing.T) {
	dir := t.TempDir()
	var before []byte
	for i := range 3 {
		e := startEmbedded(t, EmbeddedConfig{Dir: dir, NoFsync: true})
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		log, err := os.ReadFile(filepath.Join(dir, "etcd.log"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(log, before) || bytes.Count(log, []byte(`"a run begins"`)) != i+1 {
			t.Errorf("after run %d: %s", i, log)
		}
		before = log
	}
}
