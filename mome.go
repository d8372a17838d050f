package mome

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/memory"
)

// DefaultSocket is the path of a node's socket where nothing else is said.
const DefaultSocket = "/run/mome/mome.sock"

// Node is a process's attachment to its node. All methods are safe for
// concurrent use.
type Node struct {
	// Lock order: mapping, then mu.

	client *client.Client
	base   addr.Base // the address of page 0
	place  place

	// mapping is held while a segment is mapped or unmapped, requests included.
	mapping sync.Mutex

	mu       sync.Mutex
	mappings map[segmentKey]*mapping           // by users of Segment
	places   btree.Map[addr.PageNum, *mapping] // the same by their first pages
	turns    map[string]*turn                  // of the locks that this process holds or asks for, by name
	seats    map[seat]*Barrier
	closed   bool
}

// segmentKey is a SegmentRef as a map key.
type segmentKey struct {
	name       string
	generation uint64
}

func keyOf(ref *attachpb.SegmentRef) segmentKey {
	return segmentKey{ref.GetName(), ref.GetGeneration()}
}

func (k segmentKey) ref() *attachpb.SegmentRef {
	return &attachpb.SegmentRef{Name: k.name, Generation: k.generation}
}

// attached is the one attachment that this process has.
var attached struct {
	mu   sync.Mutex
	node *Node // nil: none; guarded by mu
	done bool  // Connect has returned it; guarded by mu
}

// attachedError says that the process has its attachment already. It wraps
// ErrInvalid.
type attachedError struct{ which string }

func (e *attachedError) Error() string {
	return fmt.Sprintf("mome: connect: this process is attached already%s: share that Node, or Close it first", e.which)
}

func (e *attachedError) Unwrap() error { return ErrInvalid }

// Connect attaches this process to its node. A process has one attachment, which
// its goroutines share: a segment lies at one address, so that a second one could
// not map what the first has mapped. The error wraps ErrInvalid where there is one
// already; after its Close there may be another. While the node waits for other
// nodes of its cluster to come, Connect waits too, until ctx ends: then its error
// says for whom the node waits. Where it takes longer than a second, this is also
// printed on standard error, or passed to WithWaitingHandler's.
func Connect(ctx context.Context, opts ...Option) (*Node, error) {
	n := newNode()
	attached.mu.Lock()
	if first := attached.node; first != nil {
		which := ""
		if attached.done {
			which = fmt.Sprintf(" (node %d)", first.ID())
		}
		attached.mu.Unlock()
		return nil, &attachedError{which}
	}
	attached.node, attached.done = n, false
	attached.mu.Unlock()
	if err := n.connect(ctx, opts...); err != nil {
		n.leaveProcess()
		return nil, err
	}
	attached.mu.Lock()
	attached.done = true
	attached.mu.Unlock()
	return n, nil
}

// leaveProcess makes room for another attachment of this process.
func (n *Node) leaveProcess() {
	attached.mu.Lock()
	defer attached.mu.Unlock()
	if attached.node == n {
		attached.node = nil
	}
}

func newNode() *Node {
	return &Node{mappings: make(map[segmentKey]*mapping), turns: make(map[string]*turn), seats: make(map[seat]*Barrier)}
}

// connect is Connect without looking at other attachments of the process.
// Postconditions: an error leaves nothing attached.
func (n *Node) connect(ctx context.Context, opts ...Option) error {
	o := options{socket: os.Getenv(EnvSocket), onFailure: exitOnFailure, onWaiting: printWaiting}
	for _, opt := range opts {
		opt(&o)
	}
	if o.socket == "" {
		if _, err := os.Stat(DefaultSocket); err != nil {
			return fmt.Errorf("mome: connect: %s is not set, and there is no %s: start the program with \"momenode cluster --nodes N -- PROGRAM\", or set it to the socket of a running node", EnvSocket, DefaultSocket)
		}
		o.socket = DefaultSocket
	}
	place, err := placeOf()
	if err != nil {
		return err
	}

	hello := &attachpb.Hello{Program: filepath.Base(os.Args[0]), Pid: int64(os.Getpid())}
	if place.haveRank {
		r := uint32(place.rank)
		hello.Rank = &r
	}
	// A handler may close the node, which the reading goroutine cannot wait for.
	var once sync.Once
	fail := func(err error) { once.Do(func() { go o.onFailure(err) }) }
	notice := client.NewNotice(noticeAfter, o.onWaiting)
	defer notice.Stop()
	notice.Waits(client.NoAnswer(o.socket))
	n.client, err = client.Dial(ctx, o.socket, client.Config{
		Hello: hello,
		Guard: memory.KillOnHangup,
		Event: func(event *attachpb.Reply) {
			switch e := event.Body.(type) {
			case *attachpb.Reply_ClusterFailed:
				fail(fmt.Errorf("%w: %s", ErrClusterFailed, strings.TrimPrefix(e.ClusterFailed.GetReason(), "mome: the cluster cannot go on: ")))
			case *attachpb.Reply_SegmentRemoved:
				n.removed(keyOf(e.SegmentRemoved.GetSegment()))
			case *attachpb.Reply_Waiting:
				notice.Event(event)
			}
		},
		Hangup: fail,
	})
	if err != nil {
		return wrap(err, "mome: connect")
	}
	w := n.client.Welcome()
	n.base = addr.Base(w.Base)
	if err := n.base.Check(); err != nil || w.PageSize != addr.PageSize {
		n.client.Close()
		return fmt.Errorf("mome: connect: %w: the node's memory starts at %v in pages of %d bytes, which this program cannot use",
			ErrVersion, n.base, w.PageSize)
	}
	if n.place, err = place.in(int(w.Node), int(w.Nodes)); err != nil {
		n.client.Close()
		return err
	}
	return nil
}

// noticeAfter is after how long it is said for whom Connect waits.
const noticeAfter = time.Second

func printWaiting(waits string) { fmt.Fprintln(os.Stderr, "mome: connect:", waits) }

func exitOnFailure(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// ID is the node's number in the cluster.
func (n *Node) ID() int { return int(n.client.Welcome().Node) }

// Nodes is how many nodes the cluster has.
func (n *Node) Nodes() int { return int(n.client.Welcome().Nodes) }

// Rank is the number of this process among those of the program, from 0 to Size
// - 1. It is MOME_RANK, which "momenode cluster" sets; else what a launcher
// says, the first of OMPI_COMM_WORLD_RANK (Open MPI), PMIX_RANK and
// SLURM_PROCID (Slurm) that is set; else the node's number.
func (n *Node) Rank() int { return n.place.rank }

// Size is how many processes the program has: MOME_SIZE, or OMPI_COMM_WORLD_SIZE,
// PMIX_SIZE or SLURM_NTASKS of the launcher that says the rank; else the number of
// nodes.
func (n *Node) Size() int { return n.place.size }

// Cluster is the cluster's id.
func (n *Node) Cluster() string { return n.client.Welcome().Cluster }

// Stats is the node's counters by name, over all its processes and all segments
// that there are, since the node began or the segment was made:
//
//	read_faults, write_faults  accesses to pages that were not there
//	upgrades                   stores to pages that could only be read
//	prefetched                 pages asked for ahead of their use
//	pages_in, pages_out        pages received from other nodes, sent to them
//	bytes_in, bytes_out        the same in bytes
//	recalls                    pages given up because others wanted them
//	downgrades                 rights to store given up
//
// Later releases may have more.
func (n *Node) Stats(ctx context.Context) (map[string]uint64, error) {
	reply, err := n.call(ctx, &attachpb.Request{Body: &attachpb.Request_Stats{Stats: &attachpb.Stats{}}})
	if err != nil {
		return nil, wrap(err, "mome: stats")
	}
	stats := make(map[string]uint64)
	for _, c := range reply.GetCounters().GetCounters() {
		stats[c.GetName()] = c.GetValue()
	}
	return stats, nil
}

// Close unmaps all segments, leaves all barriers, gives up locks, and detaches; then
// the process may connect again. Nothing of it may use a segment any more: an access
// would fault. When Close has returned the cluster knows that the barriers are left:
// the program may be started again at once. A lock that is held then counts as left by
// a dead owner: release it first. If a segment cannot be unmapped, the error says so, and the process stays
// attached.
func (n *Node) Close() error {
	n.mapping.Lock()
	defer n.mapping.Unlock()
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	mappings := slices.Collect(maps.Values(n.mappings))
	n.mu.Unlock()
	var errs []error
	stuck := false
	for _, m := range mappings {
		errs = append(errs, m.unmap())
		stuck = stuck || !m.closed.Load()
	}
	if stuck {
		for _, m := range mappings {
			if m.closed.Load() {
				errs = append(errs, n.unmapped(m))
			}
		}
		return wrap(errors.Join(errs...), "mome: close")
	}
	n.mu.Lock()
	n.closed = true
	n.mappings = nil
	n.places.Clear()
	n.mu.Unlock()
	n.leaveBarriers()
	// The hang-up takes the mappings back at the node.
	errs = append(errs, n.client.Close())
	n.leaveProcess()
	return wrap(errors.Join(errs...), "mome: close")
}

func (n *Node) isClosed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closed
}

// call is for requests whose reply brings no descriptors.
func (n *Node) call(ctx context.Context, req *attachpb.Request) (*attachpb.Reply, error) {
	reply, _, err := n.client.Call(ctx, req)
	return reply, err
}

// removed marks a segment that the cluster has taken away. The reading goroutine
// calls it.
func (n *Node) removed(key segmentKey) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if m := n.mappings[key]; m != nil {
		m.removed.Store(true)
	}
}
