package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/node/controlpb"
)

// DefaultWait is how long a node tries to reach its cluster's configuration.
const DefaultWait = 5 * time.Minute

const (
	// knockTime bounds one attempt to reach the founder.
	knockTime = 3 * time.Second
	// knockPause is between attempts.
	knockPause = 250 * time.Millisecond
)

// reach tries again and again until open succeeds, for as long as the node is to
// wait. open says what keeps it from that; its error is one that waiting does not
// mend.
func (n *Node) reach(ctx context.Context, whom string, open func(context.Context) (why string, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Wait)
	defer cancel()
	last := ""
	for {
		call, done := context.WithTimeout(ctx, knockTime)
		why, err := open(call)
		done()
		if err == nil && why == "" {
			return nil
		}
		if err != nil {
			return err
		}
		// The end of the time says less than what went wrong before it.
		if ctx.Err() == nil || last == "" {
			last = why
		}
		n.forming.wait(fmt.Sprintf("this node has not joined, waits for %s: %s", whom, last))
		pause := time.NewTimer(knockPause)
		select {
		case <-pause.C:
			continue
		case <-ctx.Done():
			pause.Stop()
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("%s, and this node has waited for %v (--wait): see that it runs there", last, n.cfg.Wait)
		}
		return ctx.Err()
	}
}

// reachFounder opens the configuration that the founder keeps.
func (n *Node) reachFounder(ctx context.Context) error {
	err := n.reach(ctx, "the node at "+n.cfg.Join, func(ctx context.Context) (string, error) {
		if why := n.knock(ctx); why != "" {
			return why, nil
		}
		remote, err := coord.OpenRemote(ctx, coord.RemoteConfig{Endpoints: []string{n.cfg.Join}, Prefix: coord.PrefixOf(n.cfg.Cluster),
			DialOptions: withToken(n.cfg.Token)})
		if errors.Is(err, coord.ErrUnavailable) {
			return "it does not answer", nil
		}
		if err != nil {
			return "", err
		}
		n.store = remote
		return "", nil
	})
	if err != nil {
		return fmt.Errorf("cannot join the cluster at %s: %w", n.cfg.Join, err)
	}
	return nil
}

// reachStore opens the configuration in an external etcd.
func (n *Node) reachStore(ctx context.Context) error {
	urls := strings.Join(n.cfg.Store, ",")
	err := n.reach(ctx, "the etcd at "+urls, func(ctx context.Context) (string, error) {
		remote, err := coord.OpenRemote(ctx, coord.RemoteConfig{Endpoints: n.cfg.Store, Prefix: coord.PrefixOf(n.cfg.Cluster)})
		if errors.Is(err, coord.ErrUnavailable) {
			return "it does not answer", nil
		}
		if err != nil {
			return "", err
		}
		n.store = remote
		return "", nil
	})
	if err != nil {
		return fmt.Errorf("the cluster's configuration at %s cannot be reached: %w", urls, err)
	}
	return nil
}

// knock looks whether a node of Mome listens where the founder is said to be, and
// otherwise says what there is instead. Whether it is the founder, and lets this
// node in, is found out later.
func (n *Node) knock(ctx context.Context) string {
	var mu sync.Mutex
	var dialed error // the last one
	dialer := func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		mu.Lock()
		defer mu.Unlock()
		dialed = err
		return conn, err
	}
	conn, err := grpc.NewClient("passthrough:///"+n.cfg.Join, append(withToken(n.cfg.Token), grpc.WithContextDialer(dialer))...)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_, err = controlpb.NewControlClient(conn).Clock(ctx, &controlpb.ClockRequest{})
	mu.Lock()
	defer mu.Unlock()
	return unreachable(dialed, err)
}

// unreachable says why no node of Mome was reached, by the errors of the connection
// and of the call; it is empty where one was, whatever it had to say.
func unreachable(dialed, called error) string {
	var dns *net.DNSError
	switch {
	case dialed == nil:
	case errors.Is(dialed, unix.ECONNREFUSED):
		return "nobody listens there (connection refused)"
	case errors.Is(dialed, unix.EHOSTUNREACH), errors.Is(dialed, unix.ENETUNREACH):
		return "there is no route to it"
	case errors.As(dialed, &dns):
		return fmt.Sprintf("the name %s cannot be looked up (%s)", dns.Name, dns.Err)
	case errors.Is(dialed, context.DeadlineExceeded), errors.Is(dialed, context.Canceled), errors.Is(dialed, unix.ETIMEDOUT):
		return "there is no answer"
	default:
		return dialed.Error()
	}
	switch status.Code(called) {
	case codes.OK, codes.Unauthenticated, codes.PermissionDenied:
		return ""
	case codes.DeadlineExceeded, codes.Canceled:
		return "it takes connections, and does not answer"
	}
	// Something else hangs up, or answers in a protocol of its own.
	return "what listens there is not a node of Mome"
}
