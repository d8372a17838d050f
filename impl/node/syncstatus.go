package node

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/node/controlpb"
	"github.com/mome-dsm/mome/impl/protocol"
)

// maxSyncsAnswer bounds the answer of a node about locks and barriers: a barrier
// may have a million parties, and a lock 65,536 that wait for it.
const maxSyncsAnswer = 256 << 20

// Syncs implements the control service.
func (c control) Syncs(_ context.Context, r *controlpb.SyncsRequest) (*controlpb.NodeSyncs, error) {
	return c.node.ownSyncs(r), nil
}

// ClusterSyncs implements the control service: it asks all nodes at once. While
// the cluster is not complete there are neither locks nor barriers.
func (c control) ClusterSyncs(ctx context.Context, r *controlpb.SyncsRequest) (*controlpb.ClusterSyncsStatus, error) {
	n := c.node
	v := n.config.View()
	joined := v.Joined()
	answers := make([]*controlpb.NodeSyncs, len(joined))
	if v.Complete() {
		var members []addr.NodeID
		for _, m := range joined {
			members = append(members, m.Node)
		}
		answers = n.askSyncs(ctx, v, members, r)
	}
	out := putTogether(answers)
	out.Cluster, out.Expected = v.Cluster.ID, uint32(v.Cluster.Nodes)
	for i, m := range joined {
		one := &controlpb.NodeSyncs{Node: uint32(m.Node), Address: m.Address, Error: answers[i].GetError()}
		out.Nodes = append(out.Nodes, one)
	}
	return out, nil
}

// askSyncs asks some of the members at once. Who does not answer has an error.
func (n *Node) askSyncs(ctx context.Context, v *coord.View, members []addr.NodeID, r *controlpb.SyncsRequest) []*controlpb.NodeSyncs {
	answers := make([]*controlpb.NodeSyncs, len(members))
	var all sync.WaitGroup
	for i, id := range members {
		all.Go(func() {
			if id == n.id {
				answers[i] = n.ownSyncs(r)
				return
			}
			err := n.checkAway(id)
			var answer *controlpb.NodeSyncs
			if err == nil {
				answer, err = n.askNodeSyncs(ctx, v.Member(id).Address, r)
			}
			if err != nil {
				answer = &controlpb.NodeSyncs{Node: uint32(id), Error: err.Error()}
			}
			answers[i] = answer
		})
	}
	all.Wait()
	return answers
}

func (n *Node) askNodeSyncs(ctx context.Context, address string, r *controlpb.SyncsRequest) (*controlpb.NodeSyncs, error) {
	conn, err := grpc.NewClient(address, withToken(n.cfg.Token)...)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	return controlpb.NewControlClient(conn).Syncs(ctx, r, grpc.MaxCallRecvMsgSize(maxSyncsAnswer))
}

// ownSyncs is what this node knows: as a home, and of its own processes.
func (n *Node) ownSyncs(r *controlpb.SyncsRequest) *controlpb.NodeSyncs {
	out := &controlpb.NodeSyncs{Node: uint32(n.id), Names: make(map[uint64]string)}
	asked := func(object uint64) bool { return r.Object == 0 || r.Object == object }
	s := &n.syncs
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core == nil {
		return out // the node is not formed yet
	}
	if r.Locks {
		for _, object := range s.core.Locks() {
			if asked(object) {
				out.Locks = append(out.Locks, n.lockStatus(object, s.core.Lock(object)))
			}
		}
	}
	if r.Barriers {
		for _, object := range s.core.Barriers() {
			if asked(object) {
				for _, b := range s.core.Barrier(object) {
					out.Barriers = append(out.Barriers, n.barrierStatus(object, b))
				}
			}
		}
	}
	for object, name := range s.seen.names {
		if asked(object) {
			out.Names[object] = name
		}
	}
	for party, a := range s.parties {
		a.mu.Lock()
		out.Processes = append(out.Processes, &controlpb.Process{Party: party, Pid: int64(a.conn.Peer().PID), Program: a.program})
		a.mu.Unlock()
	}
	now := time.Now()
	for t, object := range s.core.Turns() {
		if a := s.parties[t.Party]; a != nil && asked(object) {
			out.Processes = append(out.Processes, &controlpb.Process{Party: t.Party, Request: t.Request,
				Seconds: s.seen.since(request{t.Party, t.Request}, now).Seconds()})
		}
	}
	return out
}

func (n *Node) lockStatus(object uint64, l protocol.LockState) *controlpb.LockStatus {
	out := &controlpb.LockStatus{Object: object, Home: uint32(n.id), Fence: l.Fence, OwnerDied: l.Died}
	process := func(a protocol.Waiter) *controlpb.Process {
		return &controlpb.Process{Node: uint32(a.Node), Party: a.Party, Request: a.Request}
	}
	if l.Fence != 0 {
		out.Holder = process(l.Holder)
	}
	for _, w := range l.Queue {
		out.Waiters = append(out.Waiters, process(w))
	}
	return out
}

func (n *Node) barrierStatus(object uint64, b protocol.BarrierState) *controlpb.BarrierStatus {
	out := &controlpb.BarrierStatus{Object: object, Home: uint32(n.id), Generation: b.Generation, Parties: b.Parties, Round: b.Over + 1, Broken: b.Broken, Left: b.Left}
	for _, s := range b.Seats {
		out.Seats = append(out.Seats, &controlpb.SeatStatus{Party: s.Index, Come: s.Arrived > b.Over,
			Process: &controlpb.Process{Node: uint32(s.Node), Party: s.Party}})
	}
	return out
}

// processKey names a process of the cluster, and one of its requests or none.
type processKey struct {
	node           uint32
	party, request uint64
}

// putTogether gives locks and barriers the names, and their parties the
// processes, that other nodes know. Answers may be nil.
func putTogether(answers []*controlpb.NodeSyncs) *controlpb.ClusterSyncsStatus {
	out := &controlpb.ClusterSyncsStatus{}
	names := make(map[uint64]string)
	processes := make(map[processKey]*controlpb.Process)
	for _, a := range answers {
		for object, name := range a.GetNames() {
			names[object] = name
		}
		for _, p := range a.GetProcesses() {
			processes[processKey{a.Node, p.Party, p.Request}] = p
		}
		out.Locks = append(out.Locks, a.GetLocks()...)
		out.Barriers = append(out.Barriers, a.GetBarriers()...)
	}
	complete := func(p *controlpb.Process) {
		known := processes[processKey{p.Node, p.Party, 0}]
		p.Pid, p.Program = known.GetPid(), known.GetProgram()
		p.Seconds = processes[processKey{p.Node, p.Party, p.Request}].GetSeconds()
	}
	for _, l := range out.Locks {
		l.Name = names[l.Object]
		if l.Holder != nil {
			complete(l.Holder)
		}
		for _, w := range l.Waiters {
			complete(w)
		}
	}
	for _, b := range out.Barriers {
		b.Name = names[b.Object]
		for _, s := range b.Seats {
			complete(s.Process)
		}
	}
	slices.SortFunc(out.Locks, func(a, b *controlpb.LockStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Object, b.Object))
	})
	slices.SortFunc(out.Barriers, func(a, b *controlpb.BarrierStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Generation, b.Generation))
	})
	return out
}
