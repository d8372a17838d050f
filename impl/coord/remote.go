package coord

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
)

const (
	// keepaliveTime is how often an idle connection to the store is probed,
	// keepaliveTimeout how long the answer may take.
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 5 * time.Second
	// reconnectFirst and reconnectLast bound the pauses between attempts to
	// connect; grpc's own last one is two minutes.
	reconnectFirst = 50 * time.Millisecond
	reconnectLast  = 2 * time.Second
)

// RemoteConfig says how to reach a store in another process.
type RemoteConfig struct {
	// Endpoints are the addresses of the store's servers: HOST:PORT or URLs.
	// At least one is needed.
	Endpoints []string
	// Prefix is put before every key, so that clusters can share one etcd.
	// Empty: DefaultPrefix.
	Prefix string
	// Timeout bounds calls whose context has no deadline. Zero: DefaultTimeout.
	Timeout time.Duration
	// TLS is used for the connection. Nil: none, except for https endpoints.
	TLS *tls.Config
	// DialOptions come after the client's own: credentials, interceptors,
	// dialers.
	DialOptions []grpc.DialOption
}

// Remote is a Store in another process: the etcd that another node embeds and
// serves on its own port, or an external etcd.
type Remote struct {
	*etcdStore
}

var errNoEndpoint = errors.New("mome: no endpoint of the configuration store given")

// OpenRemote connects to a store and asks it once, so that a wrong address or
// token shows at once.
func OpenRemote(ctx context.Context, cfg RemoteConfig) (*Remote, error) {
	if len(cfg.Endpoints) == 0 {
		return nil, errNoEndpoint
	}
	pauses := backoff.DefaultConfig
	pauses.BaseDelay, pauses.MaxDelay = reconnectFirst, reconnectLast
	own := []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{Backoff: pauses})}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            cfg.Endpoints,
		TLS:                  cfg.TLS,
		DialKeepAliveTime:    keepaliveTime,
		DialKeepAliveTimeout: keepaliveTimeout,
		DialOptions:          append(own, cfg.DialOptions...),
		// What goes wrong is in the errors that the calls return.
		Logger: zap.NewNop(),
	})
	where := strings.Join(cfg.Endpoints, ",")
	if err != nil {
		return nil, errors.Join(errors.New("mome: configuration store "+where+" cannot be used"), err)
	}
	r := &Remote{newEtcdStore(client, cfg.Prefix, where, cfg.Timeout)}
	if _, err := r.Get(ctx, keyCluster); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// ServerOptions are what a gRPC server needs on which an Embedded is
// registered: without them it would take the clients' probes for an attack.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveTime / 2}),
	}
}
