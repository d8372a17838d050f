//go:build linux

// Package clienttest has a node for tests of what attaches to one: it speaks
// the attach protocol, over a real socket, to any number of processes of one
// machine. They share its memfds without a coherence protocol (the machine's
// caches have one), so programs run on it as on a cluster, one rank a process.
package clienttest

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/clock"
	"github.com/mome-dsm/mome/impl/memory"
	"golang.org/x/sys/unix"
)

// Node is a node for tests.
type Node struct {
	listener *client.Listener
	nodes    int
	wg       sync.WaitGroup

	mu         sync.Mutex
	conns      map[*conn]bool
	segments   map[string]*segment
	memories   []*memory.Segment // of removed segments too
	generation uint64
	nextPage   addr.PageNum
	locks      map[string]*lock
	barriers   map[string][]*barrier // the generations of each name
	log        []*attachpb.Request
	instead    func(*attachpb.Request) *attachpb.Reply // or nil
}

type conn struct {
	*client.Conn
	watch    int                          // the node's end
	mappings map[*segment]*memory.Mapping // nil between Map and Registered
	waiting  map[uint64]*lock             // acquires without an answer
}

type segment struct {
	info    *attachpb.Segment
	memory  *memory.Segment
	removed bool
}

type lock struct {
	holder *conn // nil: free
	fence  uint64
	died   bool
	queue  []waiter
}

type waiter struct {
	conn *conn
	id   uint64
}

type barrier struct {
	parties uint32
	members map[uint32]*conn
	arrived map[uint32]*uint64 // request that waits, or nil; of this round
	over    uint64             // rounds
	broken  bool
}

// Start starts a node that tells its applications that it is node 0 of a
// cluster of that many. It ends with the test. The test is skipped where this
// machine has no userfaultfd.
func Start(t testing.TB, nodes int) *Node {
	t.Helper()
	if err := memory.Probe().Err(); err != nil {
		t.Skipf("no userfaultfd: %v", err)
	}
	l, err := client.Listen(filepath.Join(t.TempDir(), "attach"))
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{
		listener: l, nodes: nodes,
		conns:    make(map[*conn]bool),
		segments: make(map[string]*segment),
		locks:    make(map[string]*lock),
		barriers: make(map[string][]*barrier),
	}
	n.wg.Go(n.accept)
	t.Cleanup(n.stop)
	return n
}

// Socket is the path for MOME_SOCKET.
func (n *Node) Socket() string { return n.listener.Path() }

// Requests is what applications have asked so far.
func (n *Node) Requests() []*attachpb.Request {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.log)
}

// Instead has f answer requests: where it returns a reply, that is the answer, and
// the request has no other effect. It must not call the Node.
func (n *Node) Instead(f func(*attachpb.Request) *attachpb.Reply) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.instead = f
}

// Lose has the data of a segment be lost: accesses raise SIGBUS.
func (n *Node) Lose(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := n.segments[name].memory
	return m.Poison(m.First(), m.Len())
}

// Fail announces ClusterFailed to all applications.
func (n *Node) Fail(reason string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		c.WriteReply(&attachpb.Reply{Body: &attachpb.Reply_ClusterFailed{ClusterFailed: &attachpb.ClusterFailed{Reason: reason}}})
	}
}

// HangUp ends all connections without a word, and leaves the watches.
func (n *Node) HangUp() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		c.watch = -1 // open until this process ends
		c.Close()
	}
}

// Kill closes the watches: the applications die.
func (n *Node) Kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		unix.Close(c.watch)
		c.watch = -1
	}
}

func (n *Node) stop() {
	n.listener.Close()
	n.mu.Lock()
	for c := range n.conns {
		c.Close()
	}
	n.mu.Unlock()
	n.wg.Wait()
	for _, m := range n.memories {
		m.Close()
	}
}

func (n *Node) accept() {
	for {
		inner, err := n.listener.Accept()
		if err != nil {
			return
		}
		c := &conn{Conn: inner, watch: -1, mappings: make(map[*segment]*memory.Mapping), waiting: make(map[uint64]*lock)}
		n.mu.Lock()
		n.conns[c] = true
		n.mu.Unlock()
		n.wg.Go(func() { n.serve(c) })
	}
}

func (n *Node) serve(c *conn) {
	for {
		req, fds, err := c.ReadRequest()
		if err != nil {
			break
		}
		n.mu.Lock()
		n.log = append(n.log, req)
		body, fd, err := n.handle(c, req, fds)
		switch {
		case err == errLater:
		case err != nil:
			c.WriteError(req.Id, err)
		case body == nil:
			c.WriteDone(req.Id)
		default:
			var out []int
			if fd >= 0 {
				out = []int{fd}
			}
			body.Id = req.Id
			c.WriteReply(body, out...)
		}
		n.mu.Unlock()
	}
	n.gone(c)
}

// errLater says that the request is answered by another one.
var errLater = errors.New("later")

func (n *Node) handle(c *conn, req *attachpb.Request, fds []int) (*attachpb.Reply, int, error) {
	if n.instead != nil {
		if reply := n.instead(req); reply != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
			return reply, -1, nil
		}
	}
	switch b := req.Body.(type) {
	case *attachpb.Request_Hello:
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, -1, err
		}
		c.watch = pair[0]
		err = c.WriteReply(&attachpb.Reply{Id: req.Id, Body: &attachpb.Reply_Welcome{Welcome: &attachpb.Welcome{
			Version: client.Version, Nodes: uint32(n.nodes), Incarnation: 1, Cluster: "test",
			Base: uint64(addr.DefaultBase), PageSize: addr.PageSize,
		}}}, pair[1])
		unix.Close(pair[1])
		if err != nil {
			return nil, -1, err
		}
		return nil, -1, errLater
	case *attachpb.Request_Create:
		s, err := n.create(b.Create)
		if err != nil {
			return nil, -1, err
		}
		return &attachpb.Reply{Body: &attachpb.Reply_Segment{Segment: s.info}}, -1, nil
	case *attachpb.Request_Open:
		s := n.segments[b.Open.Name]
		if s == nil {
			return nil, -1, client.ErrNotFound
		}
		return &attachpb.Reply{Body: &attachpb.Reply_Segment{Segment: s.info}}, -1, nil
	case *attachpb.Request_List:
		return &attachpb.Reply{Body: &attachpb.Reply_Segments{Segments: n.list(b.List.After)}}, -1, nil
	case *attachpb.Request_Remove:
		return nil, -1, n.remove(b.Remove.Name)
	case *attachpb.Request_Map:
		s, err := n.find(b.Map.Segment)
		if err != nil {
			return nil, -1, err
		}
		if _, ok := c.mappings[s]; ok {
			return nil, -1, fmt.Errorf("%w: segment %q is mapped already", client.ErrInvalid, s.info.Ref.Name)
		}
		c.mappings[s] = nil
		return &attachpb.Reply{Body: &attachpb.Reply_Mapped{Mapped: &attachpb.Mapped{}}}, s.memory.FD(), nil
	case *attachpb.Request_Registered:
		return nil, -1, n.registered(c, b.Registered.Segment, fds[0])
	case *attachpb.Request_Unmap:
		for s, m := range c.mappings {
			if s.info.Ref.Name == b.Unmap.Segment.Name && s.info.Ref.Generation == b.Unmap.Segment.Generation {
				delete(c.mappings, s)
				if m != nil {
					m.Close()
				}
			}
		}
		return nil, -1, nil
	case *attachpb.Request_Prefetch:
		for _, h := range append(b.Prefetch.More, b.Prefetch) {
			if err := n.mapped(c, h.Range); err != nil {
				return nil, -1, err
			}
		}
		return nil, -1, errLater // a hint has no reply
	case *attachpb.Request_Prefault:
		return nil, -1, n.mapped(c, b.Prefault.Range)
	case *attachpb.Request_WriteBack:
		return nil, -1, n.mapped(c, b.WriteBack.Range)
	case *attachpb.Request_Drop:
		return nil, -1, n.mapped(c, b.Drop.Range)
	case *attachpb.Request_LockAcquire:
		return n.acquire(c, req.Id, b.LockAcquire)
	case *attachpb.Request_LockRelease:
		l := n.locks[b.LockRelease.Name]
		if l == nil || l.holder != c || l.fence != b.LockRelease.Fence {
			return nil, -1, client.ErrNotOwner
		}
		l.pass(false)
		return nil, -1, nil
	case *attachpb.Request_LockCancel:
		if l := c.waiting[b.LockCancel.Request]; l != nil {
			delete(c.waiting, b.LockCancel.Request)
			l.queue = slices.DeleteFunc(l.queue, func(w waiter) bool { return w == waiter{c, b.LockCancel.Request} })
			c.WriteError(b.LockCancel.Request, client.ErrCanceled)
		}
		return nil, -1, nil
	case *attachpb.Request_BarrierJoin:
		return nil, -1, n.join(c, b.BarrierJoin)
	case *attachpb.Request_BarrierWait:
		return nil, -1, n.wait(c, req.Id, b.BarrierWait)
	case *attachpb.Request_BarrierLeave:
		n.leave(c, b.BarrierLeave.Name, b.BarrierLeave.Party)
		return nil, -1, nil
	case *attachpb.Request_Clock:
		name := clock.Name()
		return &attachpb.Reply{Body: &attachpb.Reply_Clock{Clock: &attachpb.ClockReading{Clock: name, Reference: name}}}, -1, nil
	case *attachpb.Request_Stats:
		return &attachpb.Reply{Body: &attachpb.Reply_Counters{Counters: &attachpb.Counters{
			Counters: []*attachpb.Counter{{Name: "requests", Value: uint64(len(n.log))}},
		}}}, -1, nil
	}
	return nil, -1, client.ErrUnsupported
}

func (n *Node) create(b *attachpb.Create) (*segment, error) {
	if n.segments[b.Name] != nil {
		return nil, fmt.Errorf("%w: %q", client.ErrExists, b.Name)
	}
	pages := (b.Size + addr.PageSize - 1) >> addr.PageShift
	if !addr.DefaultBase.Holds(n.nextPage, int64(pages)) {
		return nil, client.ErrNoSpace
	}
	m, err := memory.NewSegment(addr.DefaultBase, n.nextPage, int64(pages))
	if err != nil {
		return nil, err
	}
	if err := m.Open(); err != nil {
		return nil, err
	}
	n.generation++
	s := &segment{memory: m, info: &attachpb.Segment{
		Ref:       &attachpb.SegmentRef{Name: b.Name, Generation: n.generation},
		FirstPage: uint32(n.nextPage), Pages: pages, Size: pages << addr.PageShift, Attributes: b.Attributes,
	}}
	n.nextPage += addr.PageNum(pages)
	n.segments[b.Name] = s
	n.memories = append(n.memories, m)
	return s, nil
}

// list gives two segments at a time, to have its users ask again.
func (n *Node) list(after string) *attachpb.Segments {
	var all []*attachpb.Segment
	for name, s := range n.segments {
		if name > after {
			all = append(all, s.info)
		}
	}
	slices.SortFunc(all, func(a, b *attachpb.Segment) int { return cmp.Compare(a.Ref.Name, b.Ref.Name) })
	return &attachpb.Segments{Segments: all[:min(2, len(all))], More: len(all) > 2}
}

func (n *Node) remove(name string) error {
	s := n.segments[name]
	if s == nil {
		return client.ErrNotFound
	}
	delete(n.segments, name)
	s.removed = true
	if end := s.memory.First() + addr.PageNum(s.memory.Len()); end == n.nextPage {
		n.nextPage = s.memory.First() // the next segment lies where this one did
	}
	for c := range n.conns {
		if _, ok := c.mappings[s]; ok {
			c.WriteReply(&attachpb.Reply{Body: &attachpb.Reply_SegmentRemoved{SegmentRemoved: &attachpb.SegmentRemoved{Segment: s.info.Ref}}})
		}
	}
	return s.memory.Poison(s.memory.First(), s.memory.Len())
}

func (n *Node) find(ref *attachpb.SegmentRef) (*segment, error) {
	s := n.segments[ref.Name]
	if s == nil || s.info.Ref.Generation != ref.Generation {
		return nil, client.ErrRemoved
	}
	return s, nil
}

func (n *Node) mapped(c *conn, r *attachpb.Range) error {
	s, err := n.find(r.Segment)
	if err == nil && c.mappings[s] == nil {
		err = fmt.Errorf("%w: segment %q is not mapped", client.ErrInvalid, r.Segment.Name)
	}
	return err
}

func (n *Node) registered(c *conn, ref *attachpb.SegmentRef, uffd int) error {
	s, err := n.find(ref)
	if err != nil {
		unix.Close(uffd)
		return err
	}
	m, err := s.memory.Attach(uffd, fmt.Sprintf("process %d", c.Peer().PID))
	if err != nil {
		return err
	}
	c.mappings[s] = m
	n.wg.Go(func() {
		m.Serve(func(faults []memory.Fault) {
			for _, f := range faults {
				// Round about the fault, so that programs do not crawl.
				first := max(f.Page&^63, s.memory.First())
				count := min(int64(first)+64, int64(s.memory.First())+s.memory.Len()) - int64(first)
				if s.memory.Populate(first, count) == nil {
					m.Install(first, count, true)
				}
			}
		})
	})
	return nil
}

func (n *Node) acquire(c *conn, id uint64, b *attachpb.LockAcquire) (*attachpb.Reply, int, error) {
	l := n.locks[b.Name]
	if l == nil {
		l = &lock{}
		n.locks[b.Name] = l
	}
	if l.holder == c || slices.ContainsFunc(l.queue, func(w waiter) bool { return w.conn == c }) {
		return nil, -1, fmt.Errorf("%w: this process holds the lock, or waits for it, already", client.ErrInvalid)
	}
	if l.holder != nil && b.Try {
		return nil, -1, client.ErrBusy
	}
	l.queue = append(l.queue, waiter{c, id})
	c.waiting[id] = l
	if l.holder == nil {
		l.pass(l.died)
	}
	return nil, -1, errLater
}

// pass gives the lock to who waits longest.
func (l *lock) pass(died bool) {
	l.holder, l.died = nil, died
	if len(l.queue) == 0 {
		return
	}
	next := l.queue[0]
	l.queue = l.queue[1:]
	l.fence++
	l.holder, l.died = next.conn, false
	delete(next.conn.waiting, next.id)
	next.conn.WriteReply(&attachpb.Reply{Id: next.id, Body: &attachpb.Reply_Lock{Lock: &attachpb.Lock{Fence: l.fence, OwnerDied: died}}})
}

// join takes a seat in the generation that is not broken, or in a new one.
func (n *Node) join(c *conn, b *attachpb.BarrierJoin) error {
	for _, r := range n.barriers[b.Name] {
		switch {
		case r.broken:
			continue
		case r.parties != b.Parties:
			return fmt.Errorf("%w: it has %d parties", client.ErrMismatch, r.parties)
		case r.members[b.Party] != nil:
			return fmt.Errorf("%w: party %d is taken", client.ErrMismatch, b.Party)
		}
		r.members[b.Party] = c
		return nil
	}
	r := &barrier{parties: b.Parties, members: map[uint32]*conn{b.Party: c}, arrived: make(map[uint32]*uint64)}
	n.barriers[b.Name] = append(n.barriers[b.Name], r)
	return nil
}

// barrier is the generation in which a connection has a seat, or nil.
func (n *Node) barrier(c *conn, name string, party uint32) *barrier {
	for _, r := range n.barriers[name] {
		if r.members[party] == c {
			return r
		}
	}
	return nil
}

func (n *Node) wait(c *conn, id uint64, b *attachpb.BarrierWait) error {
	r := n.barrier(c, b.Name, b.Party)
	switch {
	case r == nil || r.parties != b.Parties:
		return client.ErrMismatch
	case b.Round <= r.over:
		return nil
	case b.Round != r.over+1:
		return client.ErrMismatch
	case r.broken:
		return client.ErrPartyDied
	}
	r.arrived[b.Party] = &id
	if len(r.arrived) < int(r.parties) {
		return errLater
	}
	r.over++
	for party, id := range r.arrived {
		r.members[party].WriteDone(*id)
	}
	clear(r.arrived)
	return errLater
}

func (n *Node) leave(c *conn, name string, party uint32) {
	r := n.barrier(c, name, party)
	if r == nil {
		return
	}
	r.broken = true
	for party, id := range r.arrived {
		r.members[party].WriteError(*id, client.ErrPartyDied)
	}
	clear(r.arrived)
	delete(r.members, party)
	if len(r.members) == 0 {
		n.barriers[name] = slices.DeleteFunc(n.barriers[name], func(x *barrier) bool { return x == r })
	}
}

// gone frees what a connection held.
func (n *Node) gone(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c.Close()
	delete(n.conns, c)
	if c.watch >= 0 {
		unix.Close(c.watch)
	}
	for _, m := range c.mappings {
		if m != nil {
			m.Close()
		}
	}
	for _, l := range n.locks {
		l.queue = slices.DeleteFunc(l.queue, func(w waiter) bool { return w.conn == c })
		if l.holder == c {
			l.pass(true)
		}
	}
	for name, generations := range n.barriers {
		for _, r := range slices.Clone(generations) {
			for party, member := range r.members {
				if member == c {
					n.leave(c, name, party)
				}
			}
		}
	}
}
