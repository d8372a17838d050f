package node

import (
	"context"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

func TestCheckToken(t *testing.T) {
	local, mapped := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: 1}, &net.TCPAddr{IP: net.ParseIP("::ffff:127.0.0.1"), Port: 1}
	remote, remote6 := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 1, Zone: "eth0"}
	for _, tc := range []struct {
		from        net.Addr
		token, sent string
		want        codes.Code
	}{
		{local, "", "", codes.OK},
		{mapped, "", "", codes.OK},
		{&net.UnixAddr{Name: "@", Net: "unix"}, "", "", codes.OK},
		{remote, "", "", codes.PermissionDenied},
		{remote6, "", "", codes.PermissionDenied},
		{remote, "a", "a", codes.OK},
		{remote, "a", "", codes.Unauthenticated},
		{local, "a", "b", codes.Unauthenticated},
		{local, "", "b", codes.Unauthenticated},
	} {
		ctx := peer.NewContext(context.Background(), &peer.Peer{Addr: tc.from})
		ctx = metadata.NewIncomingContext(ctx, metadata.Pairs(tokenKey, proof([]byte(tc.sent))))
		err := checkToken(ctx, []byte(tc.token))
		if status.Code(err) != tc.want {
			t.Errorf("from %v, token %q, proof of %q: %v, want %v", tc.from, tc.token, tc.sent, err, tc.want)
		}
		if err != nil && !strings.Contains(err.Error(), "--token-file") {
			t.Errorf("no remedy in %v", err)
		}
	}
}
