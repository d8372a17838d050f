package coord

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrInUse: another process has the directory of an embedded store open.
var ErrInUse = errors.New("mome: directory of the configuration store is in use")

// EmbeddedConfig says where an embedded store keeps its data.
type EmbeddedConfig struct {
	// Dir holds the data and the log (etcd.log); it is created if needed.
	// Empty: a temporary directory, which Close removes, or the next store with
	// a temporary directory if this process is killed.
	Dir string
	// NoFsync trades the safety of the data in a crash of the machine for
	// speed. It is implied by an empty Dir.
	NoFsync bool
	// Prefix is put before every key. Empty: DefaultPrefix.
	Prefix string
	// Timeout bounds calls whose context has no deadline. Zero: DefaultTimeout.
	Timeout time.Duration
	// Log is told when the store does not serve, and why, and when it does again.
	// Nil: nobody is told.
	Log *slog.Logger
}

// Embedded is a Store that is an etcd of this process, in a process of its own,
// which ends with this one. It listens nowhere: this process has a connection to
// it, and others reach it through the gRPC server on which it is registered.
//
// On a full disk, changes fail with ErrDiskFull, and everything with ErrDiskFull
// or ErrUnavailable where the etcd cannot run; when there is room the store
// serves again.
type Embedded struct {
	*etcdStore

	engine  *engine
	release []func() // what Close gives back, last first

	closeOnce sync.Once
	closeErr  error
}

// OpenEmbedded starts an etcd on the data in cfg.Dir and waits until it serves.
// Where the disk has no room for it: ErrDiskFull.
func OpenEmbedded(ctx context.Context, cfg EmbeddedConfig) (_ *Embedded, err error) {
	e := &Embedded{}
	defer func() {
		if err != nil {
			e.giveBack()
		}
	}()

	dir := cfg.Dir
	if dir == "" {
		if err := CheckSpace(os.TempDir()); err != nil {
			return nil, fmt.Errorf("%w, or let TMPDIR name a directory on another", err)
		}
		var remove func()
		if dir, remove, err = makeTemporary(); err != nil {
			return nil, fmt.Errorf("embedded configuration store: %w", err)
		}
		e.release = append(e.release, remove)
		cfg.NoFsync = true
	} else {
		least := uint64(SpaceToBegin)
		if _, err := os.Stat(filepath.Join(dir, "etcd")); err == nil {
			least = SpaceToChange // the log has what it is allotted
		}
		if err := checkSpace(dir, least, "the store needs"); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("embedded configuration store: %w", err)
		}
	}
	engine := &engine{dir: dir, noFsync: cfg.NoFsync, log: cfg.Log}
	if engine.lock, err = e.lockDirectory(dir); err != nil {
		return nil, err
	}
	if engine.journal, err = e.openLog(filepath.Join(dir, "etcd.log")); err != nil {
		return nil, err
	}
	if err := engine.begin(ctx); err != nil {
		return nil, err
	}
	e.engine = engine
	e.release = append(e.release, engine.close)
	e.etcdStore = newEtcdStore(engine.client(), cfg.Prefix, dir, cfg.Timeout)
	return e, nil
}

// client is an etcd client over the engine.
func (e *engine) client() *clientv3.Client {
	c := clientv3.NewCtxClient(context.Background())
	c.KV = clientv3.NewKVFromKVClient(pb.NewKVClient(e), c)
	c.Watcher = clientv3.NewWatchFromWatchClient(pb.NewWatchClient(e), c)
	return c
}

// lockDirectory keeps the directory for this process and those that it makes: a
// second etcd there would wait. What an earlier owner's etcd has to end is a
// moment, and waited for.
func (e *Embedded) lockDirectory(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	for tries := 0; ; tries++ {
		lock, err := fileutil.TryLockFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
		switch {
		case err == nil:
			e.release = append(e.release, func() { lock.Close() })
			return lock.File, nil
		case !errors.Is(err, fileutil.ErrLocked):
			return nil, fmt.Errorf("embedded configuration store: %w", err)
		case tries == lockTries:
			return nil, fmt.Errorf("%w: %s: stop the other momenode or use another directory", ErrInUse, dir)
		}
		time.Sleep(lockPause)
	}
}

const (
	lockTries = 40
	lockPause = 25 * time.Millisecond
)

// openLog opens the file that takes etcd's warnings, of one run after the other.
func (e *Embedded) openLog(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("embedded configuration store: %w", err)
	}
	e.release = append(e.release, func() { file.Close() })
	if _, err := fmt.Fprintf(file, "{\"level\":\"info\",\"ts\":%q,\"msg\":\"a run begins\",\"process\":%d}\n",
		time.Now().Format(time.RFC3339Nano), os.Getpid()); err != nil {
		return nil, fmt.Errorf("embedded configuration store: %w", err)
	}
	return file, nil
}

// Close implements Store. It stops the etcd.
func (e *Embedded) Close() error {
	e.closeOnce.Do(func() {
		e.closeErr = e.etcdStore.Close()
		e.giveBack()
	})
	return e.closeErr
}

func (e *Embedded) giveBack() {
	for i := len(e.release) - 1; i >= 0; i-- {
		e.release[i]()
	}
	e.release = nil
}
