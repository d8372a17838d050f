package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/metrics"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/node/controlpb"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/internal/limits"
)

// statusTime bounds how long another node may take to say how it is.
const statusTime = 2 * time.Second

// ControlSocket is the path of the control service that belongs to an attach
// socket. The service checks no more than the right to open it, which the node's
// user and root have: it only reads, and says nothing of what pages hold.
func ControlSocket(attach string) string { return attach + ".control" }

// control implements the control service.
type control struct {
	controlpb.UnimplementedControlServer
	node *Node
}

// registerControl adds the control service to the node's port.
func (n *Node) registerControl() {
	controlpb.RegisterControlServer(n.server, control{node: n})
}

// serveControl serves the control service on its UNIX socket.
func (n *Node) serveControl() error {
	path := ControlSocket(n.cfg.Socket)
	// The attach socket is this node's: what lies here is a dead node's.
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("control socket: %w", err)
	}
	l, err := listenPrivate(path)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	l = &patient{Listener: l, over: n.ctx.Done()}
	n.local = grpc.NewServer()
	controlpb.RegisterControlServer(n.local, control{node: n})
	n.tasks.Add(1)
	go func() {
		defer n.tasks.Done()
		if err := n.local.Serve(l); err != nil && n.ctx.Err() == nil {
			n.fail(fmt.Errorf("node %d cannot serve %s: %w", n.id, path, err))
		}
	}()
	return nil
}

// patient is a listener of which Accept fails only where it is closed: without room
// for a connection, whoever connects waits in the socket's queue. A server of gRPC
// ends by most errors of Accept.
type patient struct {
	net.Listener
	over <-chan struct{} // closed when nobody waits any more
}

func (l *patient) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		switch {
		case err == nil:
			return limits.Conn{Conn: conn}, nil
		case errors.Is(err, net.ErrClosed):
			return nil, err
		}
		select {
		case <-time.After(acceptPause):
		case <-l.over:
			return nil, err
		}
	}
}

// listenPrivate makes a UNIX socket that others than its owner cannot open, from
// its first moment on.
func listenPrivate(path string) (net.Listener, error) {
	config := net.ListenConfig{
		// The mode of a socket's inode becomes that of the file it is bound to,
		// less the umask.
		Control: func(_, _ string, raw syscall.RawConn) error {
			var err error
			if e := raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); e != nil {
				return e
			}
			return err
		},
	}
	return config.Listen(context.Background(), "unix", path)
}

// Node implements the control service.
func (c control) Node(_ context.Context, r *controlpb.NodeRequest) (*controlpb.NodeStatus, error) {
	return c.node.status(int(r.Hottest)), nil
}

// Cluster implements the control service: it asks all nodes at once. While the
// cluster is not complete they cannot answer, and have nothing to say.
func (c control) Cluster(ctx context.Context, r *controlpb.ClusterRequest) (*controlpb.ClusterStatus, error) {
	n := c.node
	v := n.config.View()
	members := v.Joined()
	out := &controlpb.ClusterStatus{Cluster: v.Cluster.ID, Epoch: v.Epoch, Expected: uint32(v.Cluster.Nodes),
		Fanout: uint32(v.Cluster.Fanout), Transport: v.Cluster.Transport, Nodes: make([]*controlpb.NodeStatus, len(members)),
		RepairSeconds: v.Cluster.Repair.Seconds(), ResidenceSeconds: v.Cluster.Residence.Seconds()}
	out.Waits, _ = n.forming.now()
	var all sync.WaitGroup
	for i, m := range members {
		all.Add(1)
		go func() {
			defer all.Done()
			if m.Node == n.id {
				out.Nodes[i] = n.status(int(r.Hottest))
				return
			}
			if !v.Complete() {
				out.Nodes[i] = &controlpb.NodeStatus{Node: uint32(m.Node), Incarnation: uint32(m.Incarnation), Address: m.Address}
				return
			}
			err := n.checkAway(m.Node)
			var s *controlpb.NodeStatus
			if err == nil {
				s, err = askNode(ctx, m.Address, n.cfg.Token, r)
			}
			if err != nil {
				s = &controlpb.NodeStatus{Node: uint32(m.Node), Incarnation: uint32(m.Incarnation), Address: m.Address,
					Error: err.Error(), AwaySeconds: n.away(m.Node).Seconds()}
			}
			out.Nodes[i] = s
		}()
	}
	all.Wait()
	return out, nil
}

func askNode(ctx context.Context, address string, token []byte, r *controlpb.ClusterRequest) (*controlpb.NodeStatus, error) {
	conn, err := grpc.NewClient(address, withToken(token)...)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	return controlpb.NewControlClient(conn).Node(ctx, &controlpb.NodeRequest{Hottest: r.Hottest})
}

// status is what this node says of itself.
func (n *Node) status(hottest int) *controlpb.NodeStatus {
	out := &controlpb.NodeStatus{Node: uint32(n.id), Incarnation: uint32(n.incarnation), Address: n.config.View().Member(n.id).Address,
		UptimeSeconds: time.Since(n.started).Seconds(), Memory: &controlpb.MemoryStatus{}}
	n.mu.Lock()
	for a := range n.apps {
		out.Applications = append(out.Applications, a.title())
	}
	n.mu.Unlock()
	slices.Sort(out.Applications)

	var handled protocol.Counters
	hot := make(map[*segment][]*controlpb.HotPage)
	for i := range n.shards {
		s := &n.shards[i]
		s.mu.Lock()
		if s.core == nil { // the node is not formed yet
			s.mu.Unlock()
			continue
		}
		c := s.core.Counters()
		for level := range c.Handled {
			for kind, count := range c.Handled[level] {
				handled.Handled[level][kind] += count
			}
		}
		views, directories := s.core.Tables()
		out.Memory.HeldPages += uint64(views)
		out.Memory.ManagedPages += uint64(directories)
		for j, p := range s.hot.pages {
			if seg := n.segment(p); seg != nil && s.hot.counts[j] > 0 {
				hot[seg] = append(hot[seg], &controlpb.HotPage{Page: uint32(p), Address: uint64(n.config.View().Cluster.Base.Addr(p)), Recalls: s.hot.counts[j]})
			}
		}
		s.unlock()
	}
	out.Memory.HeapBytes = liveHeap()
	if bytes, err := n.resident(); err == nil {
		out.Memory.PageBytes = uint64(bytes)
	}
	out.Memory.LimitBytes = uint64(n.cfg.Memory)
	select {
	case <-n.connected:
		if r := n.room; r != nil {
			out.Memory.ChargedBytes = uint64(r.charged.Load()) << addr.PageShift
			out.Memory.Waiting = uint64(r.waiting.Load())
		}
	default: // the node is not formed yet
	}
	for level, c := range handled.Handled {
		if c == ([protocol.Data + 1]uint64{}) {
			continue
		}
		title := fmt.Sprintf("intermediate %d", level)
		switch level {
		case 0:
			title = "leaf"
		case protocol.RootLevel:
			title = "root"
		}
		out.Managers = append(out.Managers, &controlpb.ManagerStatus{Level: title, Requests: c[protocol.Req],
			Grants: c[protocol.Grant], Recalls: c[protocol.Recall], Acks: c[protocol.Ack], Data: c[protocol.Data]})
	}
	for seg := range n.segments.Load().all() {
		st := &seg.stats
		pages := hot[seg]
		slices.SortFunc(pages, func(a, b *controlpb.HotPage) int {
			return cmp.Or(cmp.Compare(b.Recalls, a.Recalls), cmp.Compare(a.Page, b.Page))
		})
		out.Segments = append(out.Segments, &controlpb.SegmentStatus{
			Name: seg.info.Name, Generation: seg.core.Generation, FirstPage: uint32(seg.core.First), Pages: uint64(seg.core.Pages),
			Home: seg.info.Home, Mappings: uint32(seg.file.Mappings()),
			ReadFaults: st.readFaults.Load(), WriteFaults: st.writeFaults.Load(), Upgrades: st.upgrades.Load(),
			Recalls: st.recalls.Load(), Downgrades: st.downgrades.Load(),
			PagesIn: st.pagesIn.Load(), PagesOut: st.pagesOut.Load(),
			BytesIn: st.pagesIn.Load() * addr.PageSize, BytesOut: st.pagesOut.Load() * addr.PageSize,
			Prefetched: st.prefetched.Load(), Hottest: pages[:min(len(pages), hottest)],
		})
	}
	for _, p := range n.sortedPeers() {
		l := p.wireLink()
		if l == nil {
			continue
		}
		st := l.Stats()
		out.Links = append(out.Links, &controlpb.LinkStatus{Peer: uint32(p.id), AwaySeconds: l.Away().Seconds(), MessagesIn: st.MessagesIn, MessagesOut: st.MessagesOut,
			BytesIn: st.BytesIn, BytesOut: st.BytesOut, Connections: st.Connections, RetainedBytes: uint64(st.RetainedBytes)})
	}
	return out
}

func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// counters are the sums over all segments, for an application that asks. Those
// that are zero are there too.
func (n *Node) counters() *attachpb.Counters {
	sums := make(map[string]uint64)
	segments := n.status(0).Segments
	fields := (*controlpb.SegmentStatus)(nil).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Kind() != protoreflect.Uint64Kind || f.Name() == "pages" {
			continue
		}
		sums[string(f.Name())] = 0
		for _, seg := range segments {
			sums[string(f.Name())] += seg.ProtoReflect().Get(f).Uint()
		}
	}
	out := &attachpb.Counters{}
	for name, value := range sums {
		out.Counters = append(out.Counters, &attachpb.Counter{Name: name, Value: value})
	}
	slices.SortFunc(out.Counters, func(a, b *attachpb.Counter) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
