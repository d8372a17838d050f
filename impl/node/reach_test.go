package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestUnreachable(t *testing.T) {
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	for _, c := range []struct {
		dialed, called error
		want           string
	}{
		{nil, nil, ""},
		{nil, status.Error(codes.Unauthenticated, "wrong cluster token"), ""}, // a node says so
		{nil, status.Error(codes.PermissionDenied, "a cluster without a token"), ""},
		{dial(unix.ECONNREFUSED), status.Error(codes.Unavailable, "…"), "nobody listens there (connection refused)"},
		{dial(unix.EHOSTUNREACH), status.Error(codes.Unavailable, "…"), "there is no route to it"},
		{dial(unix.ENETUNREACH), status.Error(codes.Unavailable, "…"), "there is no route to it"},
		{dial(unix.ETIMEDOUT), status.Error(codes.Unavailable, "…"), "there is no answer"},
		{fmt.Errorf("dial: %w", context.DeadlineExceeded), status.Error(codes.DeadlineExceeded, "…"), "there is no answer"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Name: "founder", Err: "no such host"}}, status.Error(codes.Unavailable, "…"),
			"the name founder cannot be looked up (no such host)"},
		{errors.New("something else"), status.Error(codes.Unavailable, "…"), "something else"},
		{nil, status.Error(codes.DeadlineExceeded, "…"), "it takes connections, and does not answer"},
		{nil, status.Error(codes.Unavailable, "error reading server preface"), "what listens there is not a node of Mome"},
		{nil, status.Error(codes.Unimplemented, "unknown service"), "what listens there is not a node of Mome"},
	} {
		if got := unreachable(c.dialed, c.called); got != c.want {
			t.Errorf("%v, %v: %q, want %q", c.dialed, c.called, got, c.want)
		}
	}
}
