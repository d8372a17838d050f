// Package coordtest has what tests of configuration stores need: an etcd for
// clusters whose configuration is in one, a server of its own, with a port, which
// stays when nodes go; and a disk that can be full.
package coordtest

import (
	"context"
	"net/url"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"
)

// patience bounds what a server does for a test.
const patience = time.Minute

// Etcd is an etcd with one member, in the test's process, on loopback.
type Etcd struct {
	tb     testing.TB
	dir    string
	client *url.URL
	server *embed.Etcd // nil while it is stopped
}

// StartEtcd starts one, which ends with the test.
func StartEtcd(tb testing.TB) *Etcd {
	tb.Helper()
	e := &Etcd{tb: tb, dir: tb.TempDir(), client: &url.URL{Scheme: "http", Host: "127.0.0.1:0"}}
	e.Start()
	e.client.Host = e.server.Clients[0].Addr().String()
	tb.Cleanup(e.Stop)
	return e
}

// Start starts it again after Stop, on the same port and with the same data.
func (e *Etcd) Start() {
	e.tb.Helper()
	peer := url.URL{Scheme: "http", Host: "127.0.0.1:1"} // there is none, and nobody listens
	cfg := embed.NewConfig()
	cfg.Dir = e.dir
	cfg.UnsafeNoFsync = true
	cfg.ListenPeerUrls = nil
	cfg.AdvertisePeerUrls = []url.URL{peer}
	cfg.ListenClientUrls = []url.URL{*e.client}
	cfg.AdvertiseClientUrls = []url.URL{*e.client}
	cfg.InitialCluster = cfg.Name + "=" + peer.String()
	cfg.TickMs, cfg.ElectionMs = 20, 100
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		e.tb.Fatal(err)
	}
	e.server = server
	select {
	case <-server.Server.ReadyNotify():
	case err := <-server.Err():
		e.tb.Fatal(err)
	case <-time.After(patience):
		e.tb.Fatal("etcd does not start")
	}
}

// Stop stops it: who asks it gets no connection.
func (e *Etcd) Stop() {
	if e.server != nil {
		e.server.Close()
		e.server = nil
	}
}

// URL is what --etcd takes.
func (e *Etcd) URL() string { return e.client.String() }

// Keys are those that begin with the prefix.
func (e *Etcd) Keys(prefix string) []string {
	e.tb.Helper()
	resp, err := e.do(clientv3.OpGet(prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly()))
	if err != nil {
		e.tb.Fatal(err)
	}
	var keys []string
	for _, kv := range resp.Get().Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys
}

// Delete removes the keys that begin with the prefix.
func (e *Etcd) Delete(prefix string) {
	e.tb.Helper()
	if _, err := e.do(clientv3.OpDelete(prefix, clientv3.WithPrefix())); err != nil {
		e.tb.Fatal(err)
	}
}

func (e *Etcd) do(op clientv3.Op) (clientv3.OpResponse, error) {
	client := v3client.New(e.server.Server)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return client.Do(ctx, op)
}
