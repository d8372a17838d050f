package coord

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == ownerArgument {
		ownerMain()
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must happen. It is never waited
// for in full by a test that passes.
const patience = 2 * time.Minute

// tb is what a test and a property of rapid have in common.
type tb interface {
	Helper()
	Cleanup(func())
	Error(...any)
	Fatal(...any)
	Fatalf(string, ...any)
}

func testContext(t tb) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// backend is one implementation under test.
type backend struct {
	name string
	// open returns a store without any keys, which the test closes at its end.
	open func(t tb) Store
	// twin opens a second store on the same keys.
	twin func(t tb, s Store) Store
	// down and up take the store's server away and bring it back. Nil: the
	// backend has none.
	down, up func(t tb, s Store)
}

// shortTimeout is that of the remote stores, so that a store that is down does
// not slow the tests down.
const shortTimeout = 300 * time.Millisecond

// eachBackend runs a test against every implementation. The ones with etcd
// share one server, each opened store under a prefix of its own.
func eachBackend(t *testing.T, run func(t *testing.T, b backend)) {
	t.Run("store=memory", func(t *testing.T) {
		run(t, backend{
			name: "memory",
			open: func(t tb) Store {
				m := NewMemory()
				t.Cleanup(func() { m.Close() })
				return m
			},
			twin: func(_ tb, s Store) Store { return s },
			down: func(_ tb, s Store) { s.(*Memory).SetDown(true) },
			up:   func(_ tb, s Store) { s.(*Memory).SetDown(false) },
		})
	})
	t.Run("store=embedded", func(t *testing.T) {
		e := startEmbedded(t, EmbeddedConfig{})
		open := func(t tb, prefix string) Store {
			s := newEtcdStore(e.engine.client(), prefix, "embedded", 0)
			t.Cleanup(func() { s.Close() })
			return s
		}
		run(t, backend{
			name: "embedded",
			open: func(t tb) Store { return open(t, freshPrefix()) },
			twin: func(t tb, s Store) Store { return open(t, s.(*etcdStore).prefix) },
		})
	})
	t.Run("store=remote", func(t *testing.T) {
		e := startEmbedded(t, EmbeddedConfig{})
		srv := startServer(t, e)
		open := func(t tb, prefix string) Store { return srv.dial(t, prefix) }
		run(t, backend{
			name: "remote",
			open: func(t tb) Store { return open(t, freshPrefix()) },
			twin: func(t tb, s Store) Store { return open(t, s.(*Remote).prefix) },
			down: func(tb, Store) { srv.stop() },
			up:   func(t tb, _ Store) { srv.start(t) },
		})
	})
}

var prefixes atomic.Int64

func freshPrefix() string { return fmt.Sprintf("/test-%d", prefixes.Add(1)) }

func startEmbedded(t tb, cfg EmbeddedConfig) *Embedded {
	t.Helper()
	e, err := OpenEmbedded(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// testServer is the gRPC server of a founding node: one port, which lets in
// only those who know the token.
type testServer struct {
	store *Embedded
	addr  string
	grpc  *grpc.Server
	ended chan struct{}
	// deny refuses every stream; denied counts them.
	deny, denied atomic.Int64
}

const testToken = "let me in"

var errToken = status.Error(codes.Unauthenticated, "wrong cluster token")

func authorize(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if got := md.Get("mome-token"); len(got) != 1 || got[0] != testToken {
		return errToken
	}
	return nil
}

func startServer(t tb, e *Embedded) *testServer {
	s := &testServer{store: e}
	s.start(t)
	t.Cleanup(s.stop)
	return s
}

// start serves on a free port, later again on the same one.
func (s *testServer) start(t tb) {
	t.Helper()
	addr := s.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.grpc = grpc.NewServer(append(ServerOptions(),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			if err := authorize(ctx); err != nil {
				return nil, err
			}
			return h(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			if s.deny.Load() != 0 {
				s.denied.Add(1)
				return errToken
			}
			if err := authorize(ss.Context()); err != nil {
				return err
			}
			return h(srv, ss)
		}))...)
	s.store.Register(s.grpc)
	server, ended := s.grpc, make(chan struct{})
	s.ended = ended
	go func() {
		defer close(ended)
		server.Serve(l)
	}()
}

func (s *testServer) stop() {
	s.grpc.Stop()
	<-s.ended
}

// token is the client's side of authorize.
type token string

func (tk token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"mome-token": string(tk)}, nil
}

func (token) RequireTransportSecurity() bool { return false }

func (s *testServer) dial(t tb, prefix string) *Remote {
	t.Helper()
	r, err := OpenRemote(testContext(t), RemoteConfig{
		Endpoints:   []string{s.addr},
		Prefix:      prefix,
		Timeout:     shortTimeout,
		DialOptions: []grpc.DialOption{grpc.WithPerRPCCredentials(token(testToken))},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func wantErr(t tb, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want %v", got, want)
	}
}
