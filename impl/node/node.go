package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/node/controlpb"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
	"github.com/mome-dsm/mome/impl/wire"
	"github.com/mome-dsm/mome/internal/limits"
)

// failGrace is how long applications have to end by themselves when the cluster
// has failed, before they are killed.
const failGrace = time.Second

// ownFiles is how many descriptors a node keeps for itself, besides two for each
// link: for the store, the log, and who asks for its status.
const ownFiles = 32

// Node is one node of a cluster: the daemon. See the package comment for its
// threads and locks.
type Node struct {
	cfg         Config
	log         *slog.Logger
	id          addr.NodeID
	incarnation addr.Incarnation
	cut         cut
	started     time.Time

	store     coord.Store
	config    *membership
	forming   *formation
	listener  *wire.Listener
	server    *grpc.Server
	local     *grpc.Server // on the control socket
	mesh      *wire.Mesh
	peers     atomic.Pointer[peers]
	trace     *trace.Recorder
	absences  *absences
	linksUp   sync.WaitGroup
	connected chan struct{} // closed when the peers are there
	halted    atomic.Bool   // nothing is granted, sent or answered any more
	sleepers  atomic.Int64
	attach    *client.Listener

	shards      [shardCount]shard
	segments    atomic.Pointer[segmentTable]
	residences  *residences
	room        *room // nil: no limit
	fetching    fetching
	fetched     func() // fetching.done, as one value for all waiters
	waiterLists sync.Pool
	syncs       syncs
	parties     atomic.Uint64
	servants    servants

	applying       sync.Mutex // guards conf, applied and appliedView
	appliedChanged sync.Cond
	conf           *protocol.Configuration
	applied        int64       // revision
	appliedView    *coord.View // nil: none yet

	slots    []protocol.Slot // fixed, as the members are
	cleaning atomic.Int64    // how much writes back at the moment

	ctx   context.Context
	stop  context.CancelFunc
	tasks sync.WaitGroup

	closeOnce sync.Once
	closeErr  error

	mu      sync.Mutex // guards apps, failure, closing
	apps    map[*application]struct{}
	failure error
	closing bool
	gone    chan struct{} // holds a value after an application has left
	ended   chan struct{} // closed when the node cannot go on
}

// Start makes a node, joins or founds its cluster, and returns when the cluster
// is complete and this node serves. The context bounds the start alone.
func Start(ctx context.Context, cfg Config) (*Node, error) {
	if err := memory.Probe().Err(); err != nil {
		return nil, err
	}
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	n := newNode(cfg)
	if err := n.start(ctx); err != nil {
		n.mu.Lock()
		if n.failure != nil {
			err = n.failure
		}
		n.mu.Unlock()
		_ = n.Close() // of a run that was none
		return nil, err
	}
	return n, nil
}

// newNode is a node that belongs to no cluster yet.
func newNode(cfg Config) *Node {
	n := &Node{cfg: cfg, log: cfg.Log, started: time.Now(), apps: make(map[*application]struct{}), connected: make(chan struct{}), gone: make(chan struct{}, 1), ended: make(chan struct{})}
	n.servants.most = MaxServed
	n.absences = newAbsences(limits.ReadWaits)
	n.ctx, n.stop = context.WithCancel(context.Background())
	n.forming = newFormation(&n.cfg)
	n.appliedChanged.L = &n.applying
	n.fetching.less.L = &n.fetching.mu
	n.fetched = n.fetching.done
	n.waiterLists.New = func() any { return new([1]waiter) }
	n.segments.Store(&segmentTable{})
	n.peers.Store(&peers{})
	return n
}

func (n *Node) start(ctx context.Context) (err error) {
	// Whatever can be wrong with this node alone is found before it joins.
	// Applications that attach now wait until it serves, and are told for whom.
	if n.attach, err = client.Listen(n.cfg.Socket); err != nil {
		return err
	}
	n.tasks.Add(1)
	go n.acceptApplications()
	if n.listener, err = wire.Listen(n.cfg.Listen); err != nil {
		return err
	}
	n.listener.Trouble(func(err error) {
		if err != nil {
			n.log.Error("other nodes cannot connect, and wait", "error", limits.Explain(err))
			return
		}
		n.log.Info("other nodes can connect again")
	})
	address, err := n.ownAddress()
	if err != nil {
		return err
	}
	embedded, err := n.openStore(ctx)
	if err != nil {
		return err
	}
	me, err := n.join(ctx, address)
	if err != nil {
		return err
	}
	n.id, n.incarnation = me.Node, me.Incarnation
	cluster := n.config.View().Cluster
	if err := n.makeMesh(cluster); err != nil {
		return err
	}
	options := append(n.mesh.ServerOptions(), tokenOptions(n.cfg.Token, n.listener, n.mesh.Report)...)
	options = append(options, coord.ServerOptions()...)
	n.server = grpc.NewServer(options...)
	n.mesh.Register(n.server)
	n.registerControl()
	controlpb.RegisterRoomServer(n.server, rooms{node: n})
	if embedded != nil {
		embedded.Register(n.server)
	}
	// Before the links: a configuration and shards to deliver to.
	v, err := n.config.await(ctx, func(v *coord.View) bool { return v.Epoch >= me.Joined })
	if err != nil {
		return err
	}
	if embedded != nil || n.cfg.Join == "" {
		n.serve()
	}
	if err := n.serveControl(); err != nil {
		return err
	}
	n.log.Info("joined", "cluster", n.cfg.Cluster, "id", cluster.ID, "node", n.id, "address", address)
	if n.cfg.Joined != nil {
		n.cfg.Joined(n.id, address)
	}
	if !v.Complete() {
		if v, err = n.config.await(ctx, func(v *coord.View) bool {
			n.forming.joined(n.id, v)
			return v.Complete()
		}); err != nil {
			return fmt.Errorf("waiting for %d nodes to join at %s: %w", cluster.Nodes, address, err)
		}
	}
	if err := n.form(ctx, v); err != nil {
		return err
	}
	n.config.formed = true
	n.forming.serves()
	if err := n.servants.check(); err != nil {
		n.log.Error("no program can attach to this node", "error", n.noRoom(err))
	}
	n.log.Info("serving", "node", n.id, "nodes", v.Nodes(), "socket", n.cfg.Socket)
	return nil
}

func (n *Node) makeMesh(cluster coord.Cluster) error {
	var err error
	n.mesh, err = wire.New(wire.Config{
		Self: n.id, Incarnation: n.incarnation, Cluster: cluster.ID, Token: n.cfg.Token,
		Transport: cluster.Transport, Handler: receiver{n}, Port: n.listener, RepairTime: n.cfg.Repair,
		ConnectTime: max(30*time.Second, n.cfg.Repair),
		// A peer may be complete, and dial, before this node is.
		Admit: func(addr.NodeID, addr.Incarnation) error { return errors.New("this node is not ready yet") },
		Away:  n.wentAway, Back: n.cameBack,
		Refused: func(remote string, err error) {
			n.log.Warn("a connection was refused", "remote", remote, "error", err)
		},
	})
	return err
}

// serve lets the others in.
func (n *Node) serve() {
	n.tasks.Add(2)
	go func() {
		defer n.tasks.Done()
		if err := n.server.Serve(n.listener.HTTP2()); err != nil && n.ctx.Err() == nil {
			n.fail(fmt.Errorf("node %d cannot serve its port: %w", n.id, err))
		}
	}()
	go func() {
		defer n.tasks.Done()
		if err := n.mesh.Serve(n.listener.Framed()); err != nil && n.ctx.Err() == nil {
			n.fail(fmt.Errorf("node %d cannot serve its port: %w", n.id, err))
		}
	}()
}

// form makes the complete cluster of v work: shards, links, segments.
func (n *Node) form(ctx context.Context, v *coord.View) error {
	lives := make(map[addr.NodeID]addr.Incarnation)
	for _, m := range v.Joined() {
		lives[m.Node] = m.Incarnation
	}
	conf := &protocol.Configuration{Epoch: v.Epoch, Fanout: v.Cluster.Fanout, Members: protocol.NewMembers(lives)}
	limits.Reserve(ownFiles + 2*v.Nodes())
	conf.Slots = protocol.DealSlots(v.Cluster.Slots, conf.Members)
	if err := n.prepare(conf); err != nil {
		return err
	}
	n.tasks.Add(1)
	go n.residences.serve()

	if err := n.connect(v); err != nil {
		return err
	}
	if n.cfg.Join != "" {
		n.serve()
	}
	up := make(chan struct{})
	go func() {
		n.linksUp.Wait()
		close(up)
	}()
	select {
	case <-up:
	case <-n.ended:
		if err := n.Err(); err != nil {
			return err
		}
		return errors.New("mome: the cluster was dissolved before all its nodes were linked: another node was stopped")
	case <-ctx.Done():
		return fmt.Errorf("not all nodes of the cluster could be linked: %w", ctx.Err())
	}
	n.tasks.Add(1)
	go n.followConfiguration()
	if n.room != nil {
		n.tasks.Add(1)
		go n.keepLimit()
	}
	return nil
}

// prepare makes what the node needs of itself in a cluster, before anything of it
// runs.
func (n *Node) prepare(conf *protocol.Configuration) error {
	n.conf, n.slots = conf, conf.Slots
	n.room = newRoom(n.cfg.Memory)
	if err := n.startTrace(conf); err != nil {
		return err
	}
	for i := range n.shards {
		n.shards[i].form(n, i, conf)
	}
	n.startSyncs()
	var err error
	n.residences, err = newResidences(n)
	return err
}

// connect begins a link with every other member. What links deliver waits for
// the last one: its answer may go to any of them.
func (n *Node) connect(v *coord.View) error {
	defer close(n.connected)
	n.sleep(v.Nodes() - 1)
	n.linksUp.Add(v.Nodes() - 1)
	n.forming.linking(n.id, v.Joined())
	all := make(peers)
	for _, m := range v.Joined() {
		if m.Node == n.id {
			all[m.Node] = newPeer(m, nil)
			continue
		}
		l, err := n.mesh.Connect(m.Node, m.Address, m.Incarnation)
		if err != nil {
			return err
		}
		all[m.Node] = newPeer(m, l)
	}
	n.peers.Store(&all)
	return nil
}

// goroutine begins one that Close waits for.
func (n *Node) goroutine(f func()) {
	n.tasks.Add(1)
	go func() {
		defer n.tasks.Done()
		f()
	}()
}

func (n *Node) leaf() addr.Place { return addr.Place{Node: n.id, Tag: addr.Leaf} }

func (n *Node) root() addr.Place { return addr.Place{Node: n.id, Tag: addr.Root} }

// ID is the node's number, Nodes how many there are.
func (n *Node) ID() addr.NodeID { return n.id }

// Nodes is how many nodes the cluster has.
func (n *Node) Nodes() int { return len(*n.peers.Load()) }

// Address is where the node's port is.
func (n *Node) Address() string { return n.listener.Addr().String() }

// Ended is closed when the node cannot go on. Err says why.
func (n *Node) Ended() <-chan struct{} { return n.ended }

// Err is why the node cannot go on; nil if it can, or if the cluster was
// dissolved in order.
func (n *Node) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failure
}

// Failure is why a node, and the cluster with it, cannot go on.
type Failure struct{ Cause error }

func (f *Failure) Error() string {
	return "mome: the cluster cannot go on: " + strings.ReplaceAll(f.Cause.Error(), "mome: ", "")
}

// Unwrap is the cause.
func (f *Failure) Unwrap() error { return f.Cause }

// fail ends the cluster's run on this node: every application is told, and
// killed if it does not end by itself. No page is granted by mistake: from here
// on no effect of the core is carried out and no message is sent or taken, and
// what is under way stays under way.
func (n *Node) fail(err error) { n.failBecause(n.id, err) }

// failBecause is fail, where a node is the cause: the others are told.
func (n *Node) failBecause(cause addr.NodeID, err error) {
	n.halted.Store(true)
	n.mu.Lock()
	if n.failure != nil || n.closing {
		n.mu.Unlock()
		return
	}
	n.failure = &Failure{err}
	reason := n.failure.Error()
	apps := make([]*application, 0, len(n.apps))
	for a := range n.apps {
		apps = append(apps, a)
	}
	n.mu.Unlock()
	n.log.Error(reason)
	if n.mesh != nil {
		n.mesh.Fail(cause, strings.ReplaceAll(err.Error(), "mome: ", ""))
	}
	announce(apps, reason)
	go func() {
		n.awaitApplications()
		close(n.ended)
	}()
}

// announce tells applications that the run is over, and why.
func announce(apps []*application, reason string) {
	for _, a := range apps {
		_ = a.conn.WriteReply(&attachpb.Reply{Body: &attachpb.Reply_ClusterFailed{ // it may be gone
			ClusterFailed: &attachpb.ClusterFailed{Reason: reason}}})
	}
}

// awaitApplications gives applications that were told the time to end.
func (n *Node) awaitApplications() {
	enough := time.NewTimer(failGrace)
	defer enough.Stop()
	for {
		n.mu.Lock()
		left := len(n.apps)
		n.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-n.gone:
		case <-enough.C:
			return
		}
	}
}

// left is told that a peer was stopped in order. Whoever stops it has seen his
// programs end, of which this node may not have heard yet.
func (n *Node) left(peer addr.NodeID) {
	n.mu.Lock()
	idle := true
	for a := range n.apps {
		idle = idle && (a.ended() || a.conn.HungUp())
	}
	if idle && n.failure == nil && !n.closing {
		n.closing = true
		n.mu.Unlock()
		n.log.Info("another node was stopped; this one stops too", "peer", peer)
		close(n.ended)
		return
	}
	closing := n.closing
	n.mu.Unlock()
	if closing {
		// This node stops too, and its programs have been told. What they still ask
		// of the peer has no answer; nothing has failed.
		return
	}
	n.fail(fmt.Errorf("node %d was stopped while applications were running", peer))
}

func (n *Node) addApplication(a *application) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failure != nil || n.closing {
		return false
	}
	n.apps[a] = struct{}{}
	return true
}

// endedApplications are those whose processes have ended.
func (n *Node) endedApplications() (ended []*application) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for a := range n.apps {
		if a.ended() {
			ended = append(ended, a)
		}
	}
	return ended
}

// ended says whether the process has ended.
// Preconditions: a.node.mu is held, and the application is not removed: its
// descriptor is closed after that.
func (a *application) ended() bool {
	fds := []unix.PollFd{{Fd: int32(a.process), Events: unix.POLLIN}}
	count, err := unix.Poll(fds, 0)
	return a.process < 0 || err == nil && count > 0
}

func (n *Node) removeApplication(a *application) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.apps, a)
	select {
	case n.gone <- struct{}{}:
	default:
	}
}

// Close stops the node. Applications that are still attached are told, and killed
// if they have not ended after a second: nobody answers for their memory any
// more. It may be called again, and from any goroutine, and returns when the node
// has stopped. Its error is a trace that is not complete: of the run it says
// nothing.
func (n *Node) Close() error {
	n.closeOnce.Do(n.close)
	return n.closeErr
}

func (n *Node) close() {
	n.mu.Lock()
	n.closing = true
	apps := make([]*application, 0, len(n.apps))
	for a := range n.apps {
		apps = append(apps, a)
	}
	told := n.failure != nil
	n.mu.Unlock()
	if !told && len(apps) > 0 {
		announce(apps, fmt.Sprintf("node %d was stopped", n.id))
		n.awaitApplications()
	}
	n.stop()
	n.applying.Lock()
	n.appliedChanged.Broadcast()
	n.applying.Unlock()
	if n.attach != nil {
		n.attach.Close()
	}
	for _, a := range apps {
		// The kernel kills the process at this hang-up, before anything that
		// it could see changes.
		a.hangUp()
		a.conn.Close()
	}
	if n.mesh != nil {
		_ = n.mesh.Close()
	}
	if n.server != nil {
		n.server.Stop()
	}
	if n.listener != nil {
		n.listener.Close()
	}
	if n.local != nil {
		n.local.Stop()
	}
	if n.config != nil {
		n.config.Close()
	}
	if n.store != nil {
		_ = n.store.Close()
	}
	if n.residences != nil {
		n.residences.close()
	}
	n.tasks.Wait()
	for _, p := range *n.peers.Load() {
		if p.calls != nil {
			_ = p.calls.Close()
		}
	}
	if err := n.trace.Close(n.account()); err != nil {
		n.closeErr = fmt.Errorf("mome: the trace of node %d in %s is cut short: %w", n.id, n.cfg.Trace, err)
	}
	for s := range n.segments.Load().all() {
		s.release()
	}
	for i := range n.shards {
		_ = n.shards[i].pool.Close()
	}
}
