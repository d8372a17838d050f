package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/memory"
	"github.com/mome-dsm/mome/impl/trace"
	"github.com/mome-dsm/mome/internal/limits"
)

// application is one attached process.
type application struct {
	node  *Node
	conn  *client.Conn
	party uint64 // names it in locks and barriers
	// process is a pidfd of the process; negative if it was gone already.
	process int
	dead    chan struct{} // closed when the process has ended, or soon after
	freed   chan struct{} // closed when its locks and barriers are free
	ctx     context.Context
	stop    context.CancelFunc

	tasks sync.WaitGroup
	hints atomic.Int32 // prefetches that wait

	mu          sync.Mutex // guards the fields below
	name        string     // for people
	program     string
	watch       *os.File          // the process is killed when it is closed
	killed      bool              // by that
	mapped      map[uint64]*share // by generation
	mappings    map[uint64]*mapping
	temporary   map[string]bool // names of segments that it wanted to end with it
	outstanding int
}

// acceptApplications serves the attach socket until it is closed. An application
// that the node has no descriptors for is told so. Where not even that can be
// done it waits in the socket's queue.
func (n *Node) acceptApplications() {
	defer n.tasks.Done()
	n.attach.Refused = func(who client.Peer, err error) {
		n.mesh.Report(fmt.Sprintf("user %d", who.UID), fmt.Errorf("process %d: %w", who.PID, err))
	}
	waiting := false
	for {
		conn, err := n.attach.Accept()
		var refused *client.RefusedError
		switch {
		case errors.As(err, &refused):
			err := n.noRoom(refused.Err)
			n.attach.Refused(refused.Who, err)
			refused.Tell(err)
			continue
		case errors.Is(err, net.ErrClosed):
			if n.ctx.Err() == nil {
				n.fail(fmt.Errorf("the node cannot accept applications: %w", err))
			}
			return
		case err != nil:
			if !waiting {
				n.log.Error("applications wait to attach", "error", limits.Explain(err))
				waiting = true
			}
			select {
			case <-time.After(acceptPause):
			case <-n.ctx.Done():
			}
			continue
		}
		if waiting {
			n.log.Info("applications can attach again")
			waiting = false
		}
		if err := n.servants.take(); err != nil {
			err = n.noRoom(err)
			n.attach.Refused(conn.Peer(), err)
			conn.Refuse(err)
			continue
		}
		n.tasks.Add(1)
		go n.serveApplication(conn)
	}
}

// acceptPause is how long no application is accepted after this process or the
// machine had no descriptors or memory left.
const acceptPause = 100 * time.Millisecond

func (n *Node) serveApplication(conn *client.Conn) {
	defer n.tasks.Done()
	defer n.servants.give()
	if !n.awaitFormation(conn) {
		conn.Close()
		return
	}
	// It sleeps in the kernel most of its time: a thread of its own, which ends
	// with the goroutine, since it is not unlocked.
	runtime.LockOSThread()
	n.sleep(1)
	defer n.sleep(-1)
	ctx, stop := context.WithCancel(n.ctx)
	a := &application{node: n, conn: conn, ctx: ctx, stop: stop, party: n.parties.Add(1), dead: make(chan struct{}), freed: make(chan struct{}),
		mapped: make(map[uint64]*share), mappings: make(map[uint64]*mapping), temporary: make(map[string]bool),
		name: fmt.Sprintf("process %d", conn.Peer().PID), process: -1}
	ended, err := a.hangUpAtDeath()
	defer ended()
	if limits.Short(err) {
		err := n.noRoom(err)
		n.attach.Refused(conn.Peer(), err)
		conn.Refuse(err)
		stop()
		return
	}
	if !n.addApplication(a) {
		conn.Close()
		return
	}
	if err != nil {
		n.log.Warn("an application was hung up on", "application", a.title(), "error", err)
		conn.Close()
	}
	for {
		req, fds, err := conn.ReadRequest()
		if errors.Is(err, client.ErrNoSpace) {
			if conn.WriteError(req.Id, n.noRoom(err)) == nil {
				continue
			}
			break
		}
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

// hangUpAtDeath hangs up when the process is dead, though others may have copies
// of its end of the connection: a child that it has forked. ended ends that, and
// closes a.process.
func (a *application) hangUpAtDeath() (ended func(), err error) {
	none := func() {}
	fd, err := a.conn.Process()
	if err == nil {
		err = limits.Spare(fd)
	}
	if err != nil {
		return none, fmt.Errorf("its process: %w", err)
	}
	a.process = fd
	closeProcess := func() { unix.Close(a.process) }
	if fd, err = unix.FcntlInt(uintptr(a.process), unix.F_DUPFD_CLOEXEC, 0); err == nil {
		err = limits.Spare(fd)
	}
	if err != nil {
		return closeProcess, fmt.Errorf("its process: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // for the netpoller
		unix.Close(fd)
		return closeProcess, err
	}
	process := os.NewFile(uintptr(fd), "pidfd")
	raw, err := process.SyscallConn()
	if err != nil {
		process.Close()
		return closeProcess, err
	}
	a.node.tasks.Add(1)
	go func() {
		defer a.node.tasks.Done()
		looked := false
		// The descriptor of a dead process is readable.
		if raw.Read(func(uintptr) bool { again := looked; looked = true; return again }) == nil {
			close(a.dead)
			a.conn.Close()
		}
	}()
	return func() {
		process.Close()
		closeProcess()
	}, nil
}

// detach frees what the application held. Its pages stay with the node.
func (a *application) detach() {
	a.conn.Close()
	a.letRead()
	a.hangUp()
	a.mu.Lock()
	kill := a.killed && len(a.mappings) > 0
	a.mu.Unlock()
	if kill {
		// Until it is dead it may store, to pages that Protect must still reach.
		a.awaitDeath()
	}
	a.stop()
	a.node.fetching.recheck()
	a.node.processDied(a.party)
	close(a.freed)
	a.tasks.Wait()
	a.mu.Lock()
	mappings, mapped, temporary := a.mappings, a.mapped, a.temporary
	a.mappings, a.mapped, a.temporary = nil, nil, nil
	a.mu.Unlock()
	a.node.endTemporary(a.owner(), temporary)
	for _, m := range mappings {
		a.unmap(m)
	}
	for _, c := range mapped {
		if c.seg != nil {
			a.node.closeFrame(c.seg)
		}
	}
	a.node.log.Info("a program is gone", "application", a.title())
	a.node.removeApplication(a)
}

// letRead gives a process that was told why it is hung up on the time to say so
// and to end. One that has detached in order, or is dead, needs none.
func (a *application) letRead() {
	for end := time.Now().Add(failGrace); a.watching() && a.node.ctx.Err() == nil && time.Now().Before(end); {
		fds := []unix.PollFd{{Fd: int32(a.process), Events: unix.POLLIN}} // a negative one is passed over
		if n, _ := unix.Poll(fds, 1); n > 0 {
			return // it is dead; a child of it has the watch
		}
	}
}

// watching says whether the process still has its end of the watch.
func (a *application) watching() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.watchOpen()
}

// watchOpen is watching.
// Preconditions: a.mu is held.
func (a *application) watchOpen() bool {
	if a.watch == nil {
		return false
	}
	_, _, err := unix.Recvfrom(int(a.watch.Fd()), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return err == unix.EAGAIN
}

// hangUp has the kernel kill the process. One that has detached in order, or is
// dead, has given up its end of the watch.
func (a *application) hangUp() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.watch == nil {
		return
	}
	a.killed = a.watchOpen()
	a.watch.Close()
	a.watch = nil
}

// deathTime bounds the wait for a process that the kernel is killing: with all of
// the global space mapped it has much to give back.
const deathTime = 30 * time.Second

// awaitDeath returns when the process has ended. It may not have armed its watch.
func (a *application) awaitDeath() {
	if a.process < 0 {
		return
	}
	_ = unix.PidfdSendSignal(a.process, unix.SIGKILL, nil, 0) // it may be dead
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
	m.gone.Store(true)
	a.node.room.recheck()
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
	return a.later(req.Id, func() {
		switch b := req.Body.(type) {
		case *attachpb.Request_Create:
			a.reply(req.Id, func() (*attachpb.Segment, error) { return a.create(b.Create) })
		case *attachpb.Request_Open:
			a.reply(req.Id, func() (*attachpb.Segment, error) { return a.open(b.Open.Name) })
		case *attachpb.Request_List:
			a.list(req.Id, b.List)
		case *attachpb.Request_Remove:
			done(a.remove(b.Remove))
		case *attachpb.Request_Prefault:
			done(a.prefault(b.Prefault))
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
		case *attachpb.Request_Explain:
			_ = a.conn.WriteReply(&attachpb.Reply{Id: req.Id, Body: &attachpb.Reply_Explanation{
				Explanation: &attachpb.Explanation{Text: a.explain(b.Explain)}}})
		default:
			_ = a.conn.WriteError(req.Id, client.ErrUnsupported)
		}
	})
}

// later runs work that may wait, on a goroutine of its own.
func (a *application) later(id uint64, work func()) bool {
	if !a.begun() {
		return a.refuse(id)
	}
	a.perform(work)
	return true
}

// perform does the work of a request that begun has counted.
func (a *application) perform(work func()) {
	a.tasks.Add(1)
	go func() {
		defer a.tasks.Done()
		defer a.finished()
		work()
	}()
}

// begun counts a request that will be answered later. It returns false if there
// are too many: the request is to be refused.
func (a *application) begun() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.outstanding == client.MaxOutstanding {
		return false
	}
	a.outstanding++
	return true
}

// refuse answers a request that begun did not count.
func (a *application) refuse(id uint64) bool {
	return a.conn.WriteError(id, fmt.Errorf("%w: more than %d requests of this process wait already", client.ErrInvalid, client.MaxOutstanding)) == nil
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
		a.program = h.Program
		a.mu.Unlock()
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		if err = limits.Spare(pair[0]); err != nil {
			unix.Close(pair[1])
		} else if err = limits.Spare(pair[1]); err != nil {
			unix.Close(pair[0])
		}
	}
	if err != nil {
		_ = a.conn.WriteError(id, a.node.noRoom(fmt.Errorf("watch: %w", err)))
		return false
	}
	defer unix.Close(pair[1])
	a.mu.Lock()
	a.watch = os.NewFile(uintptr(pair[0]), "watch")
	a.mu.Unlock()
	n := a.node
	n.log.Info("a program has attached", "application", a.title())
	err = a.conn.WriteReply(&attachpb.Reply{Id: id, Body: &attachpb.Reply_Welcome{Welcome: &attachpb.Welcome{
		Version: client.Version, Node: uint32(n.id), Incarnation: uint32(n.incarnation), Nodes: uint32(n.Nodes()),
		Cluster: n.config.View().Cluster.ID, Base: uint64(n.config.View().Cluster.Base), PageSize: addr.PageSize,
		Limited: n.cfg.Memory > 0,
	}}}, pair[1])
	if errors.Is(err, client.ErrNoSpace) {
		_ = a.conn.WriteError(id, n.noRoom(err))
	}
	return err == nil
}
