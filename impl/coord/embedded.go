package coord

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/client/pkg/v3/logutil"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
)

// ErrInUse: another process has the directory of an embedded store open.
var ErrInUse = errors.New("mome: directory of the configuration store is in use")

const (
	// memberName and memberURL name the only member of an embedded etcd. The
	// URL is never listened on nor dialled: there is no other member.
	memberName = "mome"
	memberURL  = "http://127.0.0.1:2380"
	// walSegment is what etcd allots on the disk ahead of its log, twice; its
	// own 64 MB are meant for a busy store.
	walSegment = 4 << 20
	// keptRevisions is how much history a watch may lag behind.
	keptRevisions = "10000"
)

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
}

// Embedded is a Store that is an etcd inside this process. It listens nowhere:
// this process calls it directly, and others reach it through the gRPC server
// on which it is registered.
type Embedded struct {
	*etcdStore

	server  *embed.Etcd
	release []func() // what Close gives back, last first

	closeOnce sync.Once
	closeErr  error
}

var setWalSegment = sync.OnceFunc(func() { wal.SegmentSizeBytes = walSegment })

// OpenEmbedded starts an etcd on the data in cfg.Dir and waits until it serves.
func OpenEmbedded(ctx context.Context, cfg EmbeddedConfig) (_ *Embedded, err error) {
	setWalSegment()
	e := &Embedded{}
	defer func() {
		if err != nil {
			e.giveBack()
		}
	}()

	dir := cfg.Dir
	if dir == "" {
		var remove func()
		if dir, remove, err = makeTemporary(); err != nil {
			return nil, fmt.Errorf("embedded configuration store: %w", err)
		}
		e.release = append(e.release, remove)
		cfg.NoFsync = true
	} else if err = os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded configuration store: %w", err)
	}
	if err = e.lock(dir); err != nil {
		return nil, err
	}
	logger, err := e.openLog(filepath.Join(dir, "etcd.log"))
	if err != nil {
		return nil, err
	}
	server, err := embed.StartEtcd(etcdConfig(filepath.Join(dir, "etcd"), cfg.NoFsync, logger))
	if err != nil {
		return nil, fmt.Errorf("embedded configuration store in %s: %w; see etcd.log there", dir, err)
	}
	e.server = server
	e.release = append(e.release, server.Close)
	select {
	case <-server.Server.ReadyNotify():
	case err := <-server.Err():
		return nil, fmt.Errorf("embedded configuration store in %s: %w; see etcd.log there", dir, err)
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: embedded etcd in %s did not start: %w; see etcd.log there",
			ErrUnavailable, dir, ctx.Err())
	}
	e.etcdStore = newEtcdStore(v3client.New(server.Server), cfg.Prefix, dir, cfg.Timeout)
	return e, nil
}

// lock keeps a second process out of the directory; etcd itself would wait.
func (e *Embedded) lock(dir string) error {
	lock, err := fileutil.TryLockFile(filepath.Join(dir, "lock"), os.O_WRONLY|os.O_CREATE, 0o600)
	if errors.Is(err, fileutil.ErrLocked) {
		return fmt.Errorf("%w: %s: stop the other momenode or use another directory", ErrInUse, dir)
	}
	if err != nil {
		return fmt.Errorf("embedded configuration store: %w", err)
	}
	e.release = append(e.release, func() { lock.Close() })
	return nil
}

// openLog directs etcd's warnings to a file.
func (e *Embedded) openLog(path string) (*zap.Logger, error) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("embedded configuration store: %w", err)
	}
	e.release = append(e.release, func() { file.Close() })
	encoder := zapcore.NewJSONEncoder(logutil.DefaultZapLoggerConfig.EncoderConfig)
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(file), zap.WarnLevel)), nil
}

func etcdConfig(dir string, noFsync bool, logger *zap.Logger) *embed.Config {
	member, err := url.Parse(memberURL)
	if err != nil {
		panic(err)
	}
	cfg := embed.NewConfig()
	cfg.Name = memberName
	cfg.Dir = dir
	cfg.UnsafeNoFsync = noFsync
	cfg.ListenPeerUrls = nil
	cfg.ListenClientUrls = nil
	cfg.AdvertisePeerUrls = []url.URL{*member}
	cfg.AdvertiseClientUrls = nil
	cfg.InitialCluster = memberName + "=" + memberURL
	// The token goes into the identity of the etcd cluster when it is created.
	cfg.InitialClusterToken = rand.Text()
	// The only member elects itself: short ticks only make it ready sooner.
	cfg.TickMs = 20
	cfg.ElectionMs = 100
	cfg.AutoCompactionMode = embed.CompactorModeRevision
	cfg.AutoCompactionRetention = keptRevisions
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(logger)
	return cfg
}

// Register serves the store on a gRPC server, which must have been made with
// ServerOptions. The server's interceptors and credentials decide who may come
// in: whoever may can read and write everything. Stop the server before the
// store is closed.
func (e *Embedded) Register(server grpc.ServiceRegistrar) {
	pb.RegisterKVServer(server, v3rpc.NewQuotaKVServer(e.server.Server))
	pb.RegisterWatchServer(server, v3rpc.NewWatchServer(e.server.Server))
	pb.RegisterLeaseServer(server, v3rpc.NewQuotaLeaseServer(e.server.Server))
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
