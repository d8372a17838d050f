package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// maxOutstanding bounds the requests of one application that wait for their
// answer: so answers never fill its socket.
const maxOutstanding = 128

// application is one attached process.
type application struct {
	node  *Node
	conn  *client.Conn
	party uint64 // names it in locks and barriers
	// process is a pidfd of the process; negative if it was gone already.
	process int
	ctx     context.Context
	stop    context.CancelFunc

	tasks sync.WaitGroup
	hints atomic.Int32 // prefetches that wait

	mu          sync.Mutex // guards the fields below
	name        string
	watch       *os.File            // the process is killed when it is closed
	mapped      map[uint64]*segment // by generation: Map was answered
	mappings    map[uint64]*mapping
	outstanding int
}

// acceptApplications serves the attach socket until it is closed.
func (n *Node) acceptApplications() {
	defer n.tasks.Done()
	for {
		conn, err := n.attach.Accept()
		if err != nil {
			if n.ctx.Err() == nil {
				n.fail(fmt.Errorf("node %d cannot accept applications: %w", n.id, err))
			}
			return
		}
		n.tasks.Add(1)
		go n.serveApplication(conn)
	}
}

func (n *Node) serveApplication(conn *client.Conn) {
	defer n.tasks.Done()
	// It sleeps in the kernel most of its time: a thread of its own.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	n.sleep(1)
	defer n.sleep(-1)
	ctx, stop := context.WithCancel(n.ctx)
	a := &application{node: n, conn: conn, ctx: ctx, stop: stop, party: n.parties.Add(1),
		mapped: make(map[uint64]*segment), mappings: make(map[uint64]*mapping),
		name: fmt.Sprintf("process %d", conn.Peer().PID), process: -1}
	// The connection is open, so the process that made it, or one that it gave
	// the connection to, lives.
	if fd, err := unix.PidfdOpen(conn.Peer().PID, 0); err == nil {
		a.process = fd
		defer unix.Close(fd)
	}
	if !n.addApplication(a) {
		conn.Close()
		return
	}
	for {
		req, fds, err := conn.ReadRequest()
		if err != nil {
			if !errors.Is(err, io.EOF) && n.ctx.Err() == nil {
				n.log.Warn("an application was hung up on", "application", a.title(), "error", err)
			}
			break
		}
		if !a.request(req, fds) {
			break
		}
	}
	a.detach()
}

// detach frees what the application held. Its pages stay with the node.
func (a *application) detach() {
	killed := a.hangUp()
	a.conn.Close()
	if killed {
		// Until it is dead it may store, to pages that Protect must still reach.
		a.awaitDeath()
	}
	a.stop()
	a.node.fetching.recheck()
	a.node.processDied(a.party)
	a.tasks.Wait()
	a.mu.Lock()
	mappings, mapped := a.mappings, a.mapped
	a.mappings, a.mapped = nil, nil
	a.mu.Unlock()
	for _, m := range mappings {
		a.unmap(m)
	}
	for _, seg := range mapped {
		seg.release()
	}
	a.node.removeApplication(a)
}

// hangUp has the kernel kill the process, and says so. A process that has
// detached in order, or is dead, has given up its end of the watch.
func (a *application) hangUp() (killed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.watch == nil {
		return false
	}
	_, _, err := unix.Recvfrom(int(a.watch.Fd()), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	a.watch.Close()
	a.watch = nil
	return err == unix.EAGAIN
}

// deathTime bounds the wait for a process that the kernel is killing: with all of
// the global space mapped it has much to give back.
const deathTime = 30 * time.Second

// awaitDeath returns when the process has ended.
func (a *application) awaitDeath() {
	if a.process < 0 {
		return
	}
	deadline := time.Now().Add(deathTime)
	for {
		fds := []unix.PollFd{{Fd: int32(a.process), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(time.Until(deadline).Milliseconds()))
		switch {
		case n > 0:
			return
		case err == unix.EINTR && time.Now().Before(deadline):
			continue
		}
		a.node.fail(fmt.Errorf("node %d cannot take its pages back: %s does not die", a.node.id, a.title()))
		return
	}
}

func (a *application) unmap(m *mapping) {
	m.seg.mu.Lock()
	delete(m.seg.mappings, m)
	m.seg.mu.Unlock()
	a.node.changeMappings(m.seg, trace.Exit, func() *memory.Mapping {
		m.uffd.Detach()
		return m.uffd
	})
	_ = m.uffd.Close()
}

// request answers one request, or sees to it that it will be answered. It
// returns false where the connection must end.
func (a *application) request(req *attachpb.Request, fds []int) bool {
	done := func(err error) bool {
		if err != nil {
			return a.conn.WriteError(req.Id, err) == nil
		}
		return a.conn.WriteDone(req.Id) == nil
	}
	switch b := req.Body.(type) {
	case *attachpb.Request_Hello:
		return a.hello(req.Id, b.Hello)
	case *attachpb.Request_Map:
		return a.mapSegment(req.Id, b.Map)
	case *attachpb.Request_Registered:
		return done(a.registered(b.Registered, fds[0]))
	case *attachpb.Request_Unmap:
		return done(a.unmapSegment(b.Unmap))
	case *attachpb.Request_Stats:
		return a.conn.WriteReply(&attachpb.Reply{Id: req.Id, Body: &attachpb.Reply_Counters{Counters: a.node.counters()}}) == nil
	case *attachpb.Request_LockRelease, *attachpb.Request_LockCancel, *attachpb.Request_BarrierJoin,
		*attachpb.Request_BarrierLeave, *attachpb.Request_LockAcquire, *attachpb.Request_BarrierWait:
		return a.syncRequest(req)
	case *attachpb.Request_Prefetch:
		hints, err := a.hintsOf(b.Prefetch)
		if err != nil {
			return done(err)
		}
		var out outbox
		a.begin(hints, &out)
		out.flush()
		return true
	}
	return a.later(func() {
		switch b := req.Body.(type) {
		case *attachpb.Request_Create:
			a.reply(req.Id, func() (*attachpb.Segment, error) { return a.create(b.Create) })
		case *attachpb.Request_Open:
			a.reply(req.Id, func() (*attachpb.Segment, error) { return a.open(b.Open.Name) })
		case *attachpb.Request_List:
			a.list(req.Id, b.List)
		case *attachpb.Request_Remove:
			done(a.remove(b.Remove.Name))
		case *attachpb.Request_WriteBack:
			done(a.clean(b.WriteBack.Range, false))
		case *attachpb.Request_Drop:
			done(a.clean(b.Drop.Range, true))
		case *attachpb.Request_Clock:
			reading, err := a.node.compareClock()
			if err != nil {
				_ = a.conn.WriteError(req.Id, err)
				return
			}
			_ = a.conn.WriteReply(&attachpb.Reply{Id: req.Id, Body: &attachpb.Reply_Clock{Clock: reading}})
		default:
			_ = a.conn.WriteError(req.Id, client.ErrUnsupported)
		}
	})
}

// later runs work that may wait, on a goroutine of its own.
func (a *application) later(work func()) bool {
	if !a.begun() {
		return false
	}
	a.tasks.Add(1)
	go func() {
		defer a.tasks.Done()
		defer a.finished()
		work()
	}()
	return true
}

// begun counts a request that will be answered later. It returns false if there
// are too many, and the connection must end.
func (a *application) begun() bool {
	a.mu.Lock()
	many := a.outstanding == maxOutstanding
	if !many {
		a.outstanding++
	}
	a.mu.Unlock()
	if many {
		a.node.log.Warn("an application was hung up on: too many requests at once", "application", a.title(), "limit", maxOutstanding)
		_ = a.conn.WriteError(0, fmt.Errorf("%w: more than %d requests at once", client.ErrInvalid, maxOutstanding)) // it may be gone
	}
	return !many
}

// finished is the end of what begun counted.
func (a *application) finished() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.outstanding--
}

// title names the application for people.
func (a *application) title() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.name
}

func (a *application) hello(id uint64, h *attachpb.Hello) bool {
	if h.Program != "" {
		a.mu.Lock()
		a.name = fmt.Sprintf("%s (process %d)", h.Program, a.conn.Peer().PID)
		a.mu.Unlock()
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		_ = a.conn.WriteError(id, fmt.Errorf("%w: watch: %w", client.ErrInternal, err))
		return false
	}
	defer unix.Close(pair[1])
	a.mu.Lock()
	a.watch = os.NewFile(uintptr(pair[0]), "watch")
	a.mu.Unlock()
	n := a.node
	return a.conn.WriteReply(&attachpb.Reply{Id: id, Body: &attachpb.Reply_Welcome{Welcome: &attachpb.Welcome{
		Version: client.Version, Node: uint32(n.id), Incarnation: uint32(n.incarnation), Nodes: uint32(n.Nodes()),
		Cluster: n.config.View().Cluster.ID, Base: uint64(addr.Base), PageSize: addr.PageSize,
	}}}, pair[1]) == nil
}

func (a *application) reply(id uint64, f func() (*attachpb.Segment, error)) {
	s, err := f()
	if err != nil {
		_ = a.conn.WriteError(id, err)
		return
	}
	_ = a.conn.WriteReply(&attachpb.Reply{Id: id, Body: &attachpb.Reply_Segment{Segment: s}})
}

// requestTime bounds what waits for the configuration store.
const requestTime = 10 * time.Second

func (a *application) create(c *attachpb.Create) (*attachpb.Segment, error) {
	attrs := coord.Attrs{Model: "strong", Home: "spread", Replicas: int(c.Attributes.GetReplicas())}
	if m := c.Attributes.GetModel(); m != attachpb.Model_MODEL_UNSPECIFIED && m != attachpb.Model_MODEL_STRONG {
		return nil, fmt.Errorf("%w: segment %q: this version has the strong model only", client.ErrInvalid, c.Name)
	}
	switch c.Attributes.GetHome() {
	case attachpb.Home_HOME_UNSPECIFIED, attachpb.Home_HOME_SPREAD:
	case attachpb.Home_HOME_BLOCK:
		attrs.Home = "block"
	default:
		return nil, fmt.Errorf("%w: segment %q: this version has the home policies spread and block", client.ErrInvalid, c.Name)
	}
	if attrs.Replicas > 1 {
		return nil, fmt.Errorf("%w: segment %q: this version keeps one copy, not %d", client.ErrInvalid, c.Name, attrs.Replicas)
	}
	if c.Size == 0 || c.Size > uint64(addr.Space) {
		return nil, fmt.Errorf("%w: segment %q: %d bytes; a segment has 1 to %d (2^32 pages)", client.ErrBadSize, c.Name, c.Size, addr.Space)
	}
	ctx, cancel := context.WithTimeout(a.ctx, requestTime)
	defer cancel()
	s, err := a.node.config.Create(ctx, c.Name, (c.Size+addr.PageSize-1)>>addr.PageShift, attrs)
	if err != nil {
		return nil, attachError(err)
	}
	return describe(s), nil
}

func (a *application) open(name string) (*attachpb.Segment, error) {
	s, ok := a.node.config.View().Segment(name)
	if ok {
		return describe(s), nil
	}
	// It may have been created on another node a moment ago.
	ctx, cancel := context.WithTimeout(a.ctx, requestTime)
	defer cancel()
	v, err := a.node.config.Sync(ctx)
	if err != nil {
		return nil, attachError(err)
	}
	if s, ok = v.Segment(name); !ok {
		return nil, fmt.Errorf("%w: %q; create it first", client.ErrNotFound, name)
	}
	return describe(s), nil
}

func (a *application) remove(name string) error {
	ctx, cancel := context.WithTimeout(a.ctx, requestTime)
	defer cancel()
	return attachError(a.node.config.Remove(ctx, name))
}

// listPage is how many segments one answer has: they fit in a packet.
const listPage = 100

func (a *application) list(id uint64, l *attachpb.List) {
	ctx, cancel := context.WithTimeout(a.ctx, requestTime)
	defer cancel()
	v, err := a.node.config.Sync(ctx)
	if err != nil {
		_ = a.conn.WriteError(id, attachError(err))
		return
	}
	segs := sortedByName(v.Segments, l.After)
	more := len(segs) > listPage
	if more {
		segs = segs[:listPage]
	}
	answer := &attachpb.Segments{More: more}
	for _, s := range segs {
		answer.Segments = append(answer.Segments, describe(s))
	}
	_ = a.conn.WriteReply(&attachpb.Reply{Id: id, Body: &attachpb.Reply_Segments{Segments: answer}})
}

func (a *application) mapSegment(id uint64, m *attachpb.Map) bool {
	seg, err := a.find(m.Segment)
	if err != nil {
		return a.conn.WriteError(id, err) == nil
	}
	g := uint64(seg.core.Generation)
	a.mu.Lock()
	_, twice := a.mapped[g]
	a.mu.Unlock()
	if twice {
		return a.conn.WriteError(id, fmt.Errorf("%w: segment %q is mapped in this process already", client.ErrInvalid, seg.info.Name)) == nil
	}
	if !seg.hold() {
		return a.conn.WriteError(id, fmt.Errorf("%w: %q", client.ErrRemoved, seg.info.Name)) == nil
	}
	a.mu.Lock()
	a.mapped[g] = seg
	a.mu.Unlock()
	return a.conn.WriteReply(&attachpb.Reply{Id: id, Body: &attachpb.Reply_Mapped{Mapped: &attachpb.Mapped{}}}, seg.frame.FD()) == nil
}

// find is this node's part of the segment that the application means.
func (a *application) find(ref *attachpb.SegmentRef) (*segment, error) {
	ctx, cancel := context.WithTimeout(a.ctx, requestTime)
	defer cancel()
	v := a.node.config.View()
	s, ok := v.Segment(ref.Name)
	if !ok || uint64(s.Generation) != ref.Generation {
		var err error
		if v, err = a.node.config.Sync(ctx); err != nil {
			return nil, attachError(err)
		}
		if s, ok = v.Segment(ref.Name); !ok || uint64(s.Generation) != ref.Generation {
			return nil, fmt.Errorf("%w: %q", client.ErrRemoved, ref.Name)
		}
	}
	seg := a.node.awaitSegment(s)
	if seg == nil {
		return nil, fmt.Errorf("%w: %q", client.ErrRemoved, ref.Name)
	}
	return seg, nil
}

// registered takes the userfaultfd of a mapping and serves it.
func (a *application) registered(r *attachpb.Registered, uffd int) error {
	a.mu.Lock()
	seg := a.mapped[r.Segment.Generation]
	_, twice := a.mappings[r.Segment.Generation]
	a.mu.Unlock()
	if seg == nil || twice {
		unix.Close(uffd)
		return fmt.Errorf("%w: segment %q: Registered must follow Map, once", client.ErrInvalid, r.Segment.Name)
	}
	var u *memory.Mapping
	var err error
	a.node.changeMappings(seg, trace.Attach, func() *memory.Mapping {
		u, err = seg.frame.Attach(uffd, a.title())
		return u
	})
	if err != nil {
		return fmt.Errorf("%w: %w", client.ErrInvalid, err)
	}
	m := &mapping{seg: seg, uffd: u}
	a.mu.Lock()
	a.mappings[uint64(seg.core.Generation)] = m
	a.mu.Unlock()
	seg.mu.Lock()
	seg.mappings[m] = a
	seg.mu.Unlock()
	a.node.tasks.Add(1)
	go a.node.serveFaults(m)
	return nil
}

func (a *application) unmapSegment(u *attachpb.Unmap) error {
	g := u.Segment.Generation
	a.mu.Lock()
	m, seg := a.mappings[g], a.mapped[g]
	delete(a.mapped, g)
	delete(a.mappings, g)
	a.mu.Unlock()
	if m != nil {
		a.unmap(m)
	}
	if seg != nil {
		seg.release()
	}
	return nil
}

// rangeOf is the pages of a range, and the application's mapping of them.
func (a *application) rangeOf(r *attachpb.Range) (m *mapping, first addr.PageNum, count int64, err error) {
	a.mu.Lock()
	m = a.mappings[r.Segment.Generation]
	a.mu.Unlock()
	if m == nil {
		return nil, 0, 0, fmt.Errorf("%w: segment %q is not mapped", client.ErrInvalid, r.Segment.Name)
	}
	size := uint64(m.seg.core.Pages) << addr.PageShift
	length := r.Length
	if length == 0 && r.Offset <= size {
		length = size - r.Offset
	}
	if r.Offset > size || length > size-r.Offset {
		return nil, 0, 0, fmt.Errorf("%w: bytes [%d, %d+%d) are not in segment %q of %d bytes",
			client.ErrInvalid, r.Offset, r.Offset, length, r.Segment.Name, size)
	}
	if m.seg.removed.Load() {
		return nil, 0, 0, fmt.Errorf("%w: %q", client.ErrRemoved, r.Segment.Name)
	}
	from := int64(r.Offset >> addr.PageShift)
	to := int64((r.Offset + length + addr.PageSize - 1) >> addr.PageShift)
	return m, m.seg.core.First + addr.PageNum(from), to - from, nil
}

// maxHints is how many prefetches of an application wait for their turn; more
// are dropped, as hints may be.
const maxHints = 64

// hint is pages of one mapping that its process is going to use.
type hint struct {
	mapping *mapping
	first   addr.PageNum
	count   int64
	write   bool
}

// hintsOf is the ranges of a request, or what is wrong with one of them.
func (a *application) hintsOf(all *attachpb.Prefetch) ([]hint, error) {
	hints := make([]hint, 0, 1+len(all.More))
	for _, one := range append([]*attachpb.Prefetch{all}, all.More...) {
		m, first, count, err := a.rangeOf(one.Range)
		if err != nil {
			return nil, err
		}
		hints = append(hints, hint{m, first, count, one.Write})
	}
	return hints, nil
}

// begin begins prefetches. Those that fit under the bound need no goroutine, and
// leave the sending to the owner of out: what they ask of another node goes out
// together.
func (a *application) begin(hints []hint, out *outbox) {
	for _, h := range hints {
		if h.count <= maxFetch && a.node.fetching.try(h.count) {
			a.node.fetch(h.mapping, h.first, h.count, h.write, false, out)
			h.mapping.seg.stats.prefetched.Add(uint64(h.count))
			continue
		}
		if a.hints.Add(1) > maxHints {
			a.hints.Add(-1)
			continue
		}
		a.tasks.Add(1)
		go func() {
			defer a.tasks.Done()
			defer a.hints.Add(-1)
			a.prefetch(h)
		}()
	}
}

// maxFetch is how many pages of a hint are asked for at a time.
const maxFetch = 256

// prefetch asks for the pages, a bounded number at a time.
func (a *application) prefetch(h hint) {
	for h.count > 0 {
		part := min(h.count, maxFetch)
		if a.node.fetching.wait(a.ctx, part) != nil {
			return
		}
		var out outbox
		a.node.fetch(h.mapping, h.first, part, h.write, false, &out)
		out.flush()
		h.mapping.seg.stats.prefetched.Add(uint64(part))
		h.first += addr.PageNum(part)
		h.count -= part
	}
}

// maxCleaning is how many pages one request writes back at a time.
const maxCleaning = 256

// clean writes back the pages of the range that this node owns, and with drop
// gives up all of them.
func (a *application) clean(r *attachpb.Range, drop bool) error {
	m, first, count, err := a.rangeOf(r)
	if err != nil {
		return err
	}
	n := a.node
	end := int64(first) + count
	var left sync.WaitGroup
	credit := make(chan struct{}, maxCleaning)
	for i := range n.shards {
		s := &n.shards[i]
		s.mu.Lock()
		var pages []addr.PageNum
		if !m.seg.removed.Load() {
			for p := range s.core.Holds {
				if int64(p) >= int64(first) && int64(p) < end {
					pages = append(pages, p)
				}
			}
		}
		s.unlock()
		for _, p := range pages {
			select {
			case credit <- struct{}{}:
			case <-a.ctx.Done():
				return fmt.Errorf("%w: the node stops", client.ErrCanceled)
			}
			left.Add(1)
			s.clean(m.seg, p, drop, func() {
				<-credit
				left.Done()
			})
		}
	}
	done := make(chan struct{})
	go func() {
		left.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-a.ctx.Done():
		return fmt.Errorf("%w: the node stops", client.ErrCanceled)
	}
}

// clean writes back a page if the node owns it, then drops it if asked to, and
// calls done, perhaps with the lock held.
func (s *shard) clean(seg *segment, p addr.PageNum, drop bool, done func()) {
	s.mu.Lock()
	defer s.unlock()
	again := func() {
		s.node.tasks.Add(1)
		go func() {
			defer s.node.tasks.Done()
			s.clean(seg, p, drop, done)
		}()
	}
	switch {
	case seg.removed.Load():
		done()
	case s.core.Right(p) < protocol.Owned:
		if drop {
			s.give(protocol.Input{Kind: protocol.InEvict, Page: p})
		}
		done()
	case len(s.written[p]) > 0:
		s.written[p] = append(s.written[p], again)
	case s.core.Asking(p):
		// A process waits to store to the page: its request comes first.
		s.wait(p, waiter{fetched: again})
	default:
		s.written[p] = append(s.written[p], again)
		s.give(protocol.Input{Kind: protocol.InWriteback, Page: p})
	}
}

// give is one input, carried out. The segment is known to be there.
func (s *shard) give(in protocol.Input) {
	if err := s.input(in, nil); err != nil {
		panic(fmt.Sprintf("mome: %v of %v: %v", in.Kind, in.Page, err))
	}
	s.carryOut()
}

// segmentRemoved tells the application that a segment it has mapped is gone.
func (a *application) segmentRemoved(s *segment) {
	_ = a.conn.WriteReply(&attachpb.Reply{Body: &attachpb.Reply_SegmentRemoved{SegmentRemoved: &attachpb.SegmentRemoved{
		Segment: &attachpb.SegmentRef{Name: s.info.Name, Generation: uint64(s.core.Generation)}}}})
}
