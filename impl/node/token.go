package node

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/mome-dsm/mome/impl/wire"
	"github.com/mome-dsm/mome/impl/wire/wirepb"
)

// tokenKey is the metadata key under which control calls and calls to the
// configuration store carry the proof that the caller knows the token.
//
// The proof is the same in every call, and travels in the clear: it keeps out
// who does not know it, and nobody who can read the network between the nodes
// or sit in it. Only the handshake of links (impl/wire) cannot be used again by
// who has heard it. impl/wire/README.md says what a token protects.
const tokenKey = "mome-token"

// proof is what travels instead of the token.
func proof(token []byte) string {
	h := hmac.New(sha256.New, token)
	h.Write([]byte("mome control 1"))
	return hex.EncodeToString(h.Sum(nil))
}

// credentials attach the proof to every call.
type credentials struct{ token []byte }

func (c credentials) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{tokenKey: proof(c.token)}, nil
}

func (credentials) RequireTransportSecurity() bool { return false }

// withToken is the options of a connection to the port of a node.
func withToken(token []byte) []grpc.DialOption {
	return []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(credentials{token})}
}

// checkToken lets a call in whose caller knows the token. Without a token it
// must come from this machine.
func checkToken(ctx context.Context, token []byte) error {
	if p, ok := grpcpeer.FromContext(ctx); ok && len(token) == 0 && !onThisMachine(p.Addr.String()) {
		return status.Error(codes.PermissionDenied, "a cluster without a token is for one machine; give all its nodes one with --token-file")
	}
	md, _ := metadata.FromIncomingContext(ctx)
	for _, got := range md.Get(tokenKey) {
		if hmac.Equal([]byte(got), []byte(proof(token))) {
			return nil
		}
	}
	return status.Error(codes.Unauthenticated, "wrong cluster token; give this node's --token-file the token of the cluster")
}

// onThisMachine says whether an address is loopback, or no IP address at all: a
// UNIX socket.
func onThisMachine(address string) bool {
	ap, err := netip.ParseAddrPort(address)
	return err != nil || ap.Addr().Unmap().IsLoopback()
}

// tokenOptions let in only callers that know the token, and have the port trust
// their connections: before anything but the headers of a call was read. Links
// prove it in their own handshake. Who is refused is reported.
func tokenOptions(token []byte, port *wire.Listener, report func(remote string, err error)) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.InTapHandle(func(ctx context.Context, call *tap.Info) (context.Context, error) {
			if call.FullMethodName == wirepb.Link_Frames_FullMethodName {
				return ctx, nil
			}
			err := checkToken(ctx, token)
			p, known := grpcpeer.FromContext(ctx)
			switch {
			case err != nil && known:
				report(p.Addr.String(), fmt.Errorf("%w: a call of %s", wire.ErrToken, call.FullMethodName))
			case known:
				port.Trust(p.LocalAddr, p.Addr)
			}
			return ctx, err
		}),
	}
}
