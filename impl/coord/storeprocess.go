package coord

import (
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/logutil"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"

	"github.com/mome-dsm/mome/internal/limits"
)

// What the process of a store gets from its parent, beside its standard input,
// which ends when the parent does.
const (
	// storeProcess is the name under which a program that links this package is
	// the etcd of a store. Its arguments are the directory and one of the modes.
	storeProcess = "mome-store"
	modeFsync    = "fsync"
	modeNoFsync  = "no-fsync"
	// connectionFD is the socket on which it serves the parent.
	connectionFD = 3
	// readyLine is what it prints when it does.
	readyLine = "ready"
)

const (
	// memberName and memberURL name the only member of an embedded etcd. The
	// URL is never listened on nor dialled: there is no other member.
	memberName = "mome"
	memberURL  = "http://127.0.0.1:2380"
	// walSegment is what etcd allots on the disk ahead of its log, twice; its
	// own 64 MiB are meant for a busy store.
	walSegment = 1 << 20
	// snapshotEntries is how many changes the log has before it begins anew, and
	// walFiles how many segments stay then.
	snapshotEntries = 1000
	walFiles        = 2
	// keptRevisions is how much history a watch may lag behind.
	keptRevisions = "10000"
)

// Whatever program opens an embedded store can be its process, tests included,
// and is so before it does anything of its own.
func init() {
	if len(os.Args) == 3 && os.Args[0] == storeProcess {
		os.Exit(storeMain(os.Args[1], os.Args[2] == modeNoFsync))
	}
}

// storeMain is the process of a store. What goes wrong is on standard error: the
// parent reads it.
func storeMain(dir string, noFsync bool) int {
	// A ^C at the terminal is for the parent, which ends this process when it
	// needs it no more.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if err := serveEtcd(dir, noFsync); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", storeProcess, err)
	}
	return 1
}

func serveEtcd(dir string, noFsync bool) error {
	socket := os.NewFile(connectionFD, "connection")
	conn, err := net.FileConn(socket)
	if err != nil {
		return err
	}
	socket.Close()
	wal.SegmentSizeBytes = walSegment
	encoder := zapcore.NewJSONEncoder(logutil.DefaultZapLoggerConfig.EncoderConfig)
	logger := zap.New(zapcore.NewCore(encoder, zapcore.Lock(os.Stderr), zap.WarnLevel))
	if err := trimSparse(filepath.Join(dir, "member", "snap", "db")); err != nil {
		return err
	}
	server, err := embed.StartEtcd(etcdConfig(dir, noFsync, logger))
	if err != nil {
		return err
	}
	select {
	case <-server.Server.ReadyNotify():
	case err := <-server.Err():
		return err
	}
	g := grpc.NewServer()
	pb.RegisterKVServer(g, v3rpc.NewQuotaKVServer(server.Server))
	pb.RegisterWatchServer(g, v3rpc.NewWatchServer(server.Server))
	ended := make(chan error, 2)
	go func() { ended <- g.Serve(&oneConnection{conn: limits.Conn{Conn: conn}}) }()
	go func() { ended <- <-server.Err() }()
	fmt.Println(readyLine)
	return <-ended
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
	// There is nobody who could lag behind the log.
	cfg.SnapshotCount, cfg.SnapshotCatchUpEntries = snapshotEntries, snapshotEntries
	cfg.MaxWalFiles, cfg.MaxSnapFiles = walFiles, walFiles
	cfg.AutoCompactionMode = embed.CompactorModeRevision
	cfg.AutoCompactionRetention = keptRevisions
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(logger)
	return cfg
}

// oneConnection is a listener that has accepted a connection already.
type oneConnection struct {
	conn net.Conn
	once sync.Once
}

// Accept implements net.Listener.
func (l *oneConnection) Accept() (conn net.Conn, err error) {
	l.once.Do(func() { conn = l.conn })
	if conn == nil {
		select {} // the parent ends a process whose connection is broken
	}
	return conn, nil
}

// Close implements net.Listener.
func (l *oneConnection) Close() error { return nil }

// Addr implements net.Listener.
func (l *oneConnection) Addr() net.Addr { return l.conn.LocalAddr() }
