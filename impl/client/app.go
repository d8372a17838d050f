package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/internal/limits"
	"golang.org/x/sys/unix"
)

// Config is what Dial needs beside the socket.
type Config struct {
	// Hello introduces the program. Version is filled in.
	Hello *attachpb.Hello

	// Guard arms the watch that Welcome brings: from then on the kernel kills
	// the process when the watch hangs up. Required. Close closes the watch.
	Guard func(watch int) error

	// Event is called with each event, by a goroutine that reads replies: it
	// must not wait for one. Nil drops events.
	Event func(*attachpb.Reply)

	// Hangup is called once, by a goroutine that reads replies, if the
	// connection ends after Dial has returned it, and other than by Close: which
	// it must not call. Nil drops the news.
	Hangup func(error)
}

// Client is the application's end of a connection. It owns the connection and
// the watch.
//
// Whoever waits for a reply reads, for all who wait: so a reply wakes the thread
// that it is for, and no other. While nobody waits, a goroutine looks for events
// and for the end of the connection now and then.
type Client struct {
	socket  *socket
	config  Config
	welcome *attachpb.Welcome
	watch   int

	// reader is a token: who has taken it reads replies.
	reader chan struct{}
	quit   chan struct{} // closed by Close
	idle   sync.WaitGroup

	mu      sync.Mutex
	lastID  uint64
	waiting map[uint64]chan answer // by request id; nil once the connection ended
	ended   error                  // why waiting is nil
	waits   string                 // for whom the node waits before it serves
	closed  bool                   // Close was called
	// interrupt is an eventfd that ends the reader's sleep where the context of
	// its call ends; negative once it is closed.
	interrupt int

	attached bool // Dial succeeded: from now on Hangup is told
}

// idleTime is how often events are looked for while nobody waits for a reply.
const idleTime = 100 * time.Millisecond

type answer struct {
	reply *attachpb.Reply
	fds   []int
	err   error // the connection ended first, or a descriptor was lost
}

// ErrClosed is what requests on a closed Client return.
var ErrClosed = errors.New("mome: detached from the node")

// errNotLetIn is why Dial failed where the node gave no reason. Nothing is known of
// the cluster.
var errNotLetIn = errors.New("mome: the node hung up before it let the program in: it ends, or had no room for another connection; its log says so")

// Dial attaches to the node that listens on the path.
func Dial(ctx context.Context, path string, config Config) (*Client, error) {
	if err := checkSocket(path); err != nil {
		return nil, err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, path)
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return nil, fmt.Errorf("mome: nobody listens on %s: the node has ended; start it again", path)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return nil, fmt.Errorf("%w: %s: run the program as the node's user", ErrPermission, path)
	case errors.Is(err, unix.EPROTOTYPE):
		return nil, fmt.Errorf("mome: %s is not an attach socket: it is a socket of another type", path)
	case err != nil:
		return nil, attachError(path, err)
	}
	c := &Client{
		config:  config,
		watch:   -1,
		reader:  make(chan struct{}, 1),
		quit:    make(chan struct{}),
		waiting: make(map[uint64]chan answer),
	}
	c.reader <- struct{}{}
	c.socket, err = newSocket(conn.(*net.UnixConn))
	conn.Close()
	if err != nil {
		return nil, attachError(path, err)
	}
	if c.interrupt, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		c.socket.close()
		return nil, attachError(path, fmt.Errorf("eventfd: %w", err))
	}
	c.idle.Go(c.lookNowAndThen)
	if err := c.greet(ctx); err != nil {
		err = c.whyNoWelcome(ctx, err)
		c.Close()
		return nil, fmt.Errorf("attach to %s: %w", path, err)
	}
	c.mu.Lock()
	ended := c.ended
	c.attached = ended == nil
	c.mu.Unlock()
	if ended != nil {
		c.Close()
		return nil, fmt.Errorf("attach to %s: %w", path, ended)
	}
	return c, nil
}

// attachError is why the process could not even ask.
func attachError(path string, err error) error {
	if limits.Short(err) {
		return fmt.Errorf("%w: attach to %s: %w", ErrNoSpace, path, noRoomHere(err))
	}
	return fmt.Errorf("mome: attach to %s: %w", path, err)
}

// noRoomHere says that this process, and not the node, has met a limit.
func noRoomHere(err error) error { return fmt.Errorf("this program: %w", limits.Explain(err)) }

func checkSocket(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("mome: no socket at %s: is the node running? start it, or let MOME_SOCKET name the socket of one that is", path)
	case err != nil:
		return fmt.Errorf("mome: attach socket: %w", err)
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("mome: %s is not a socket; let MOME_SOCKET name the attach socket of a node", path)
	}
	return nil
}

func (c *Client) greet(ctx context.Context) error {
	hello := c.config.Hello
	if hello == nil {
		hello = &attachpb.Hello{}
	}
	hello.Version = Version
	reply, fds, err := c.Call(ctx, &attachpb.Request{Body: &attachpb.Request_Hello{Hello: hello}})
	if err != nil {
		return err
	}
	welcome := reply.GetWelcome()
	if welcome == nil {
		closeAll(fds)
		return fmt.Errorf("%w: %T in answer to Hello", ErrMalformed, reply.Body)
	}
	c.watch = fds[0]
	if welcome.Version != Version {
		return fmt.Errorf("%w: the program speaks %d, the node %d", ErrVersion, Version, welcome.Version)
	}
	if err := c.config.Guard(c.watch); err != nil {
		return fmt.Errorf("arm the watch on the node: %w", err)
	}
	c.welcome = welcome
	return nil
}

// Welcome is what the node said of itself and the cluster.
func (c *Client) Welcome() *attachpb.Welcome { return c.welcome }

// Call sends a request, whose id it chooses, with descriptors, which stay the
// caller's, and waits for the reply. The reply's descriptors are the caller's.
// A failure that the node reports is an *Error. When the context ends first the
// request stands, and its reply will be dropped: see CallCancel.
func (c *Client) Call(ctx context.Context, req *attachpb.Request, fds ...int) (*attachpb.Reply, []int, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	ch, err := c.send(req, fds)
	if err != nil {
		return nil, nil, err
	}
	a, err := c.await(ctx, ch)
	if err != nil {
		c.abandon(req.Id, ch)
		return nil, nil, err
	}
	return a.unpack()
}

// Pending is a request whose reply, which brings no descriptors, is awaited
// later, if ever.
type Pending struct {
	client *Client
	answer chan answer
}

// Begin sends a request, whose id it chooses, and does not wait for the reply.
func (c *Client) Begin(req *attachpb.Request) (*Pending, error) {
	ch, err := c.send(req, nil)
	if err != nil {
		return nil, err
	}
	return &Pending{c, ch}, nil
}

// Await waits for the reply. A failure that the node reports is an *Error. When
// the context ends first the request stands, and Await may be called again;
// done says that it may not.
func (p *Pending) Await(ctx context.Context) (done bool, err error) {
	a, err := p.client.await(ctx, p.answer)
	if err != nil {
		return false, err
	}
	_, fds, err := a.unpack()
	closeAll(fds)
	return true, err
}

// Post sends a request that has no reply. An error that the node reports is
// dropped.
func (c *Client) Post(req *attachpb.Request) error {
	ch, err := c.send(req, nil)
	if err == nil {
		c.abandon(req.Id, ch)
	}
	return err
}

// CallCancel is Call for a LockAcquire: when the context ends it sends
// LockCancel and waits on for the answer, so that the caller knows whether the
// lock is held. The error is the context's if it is not. Before the LockCancel it
// calls expired, while the request still waits.
func (c *Client) CallCancel(ctx context.Context, req *attachpb.Request, expired func()) (*attachpb.Reply, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ch, err := c.send(req, nil)
	if err != nil {
		return nil, err
	}
	a, err := c.await(ctx, ch)
	if err == nil {
		reply, _, err := a.unpack()
		return reply, err
	}
	expired()
	cancel := &attachpb.Request{Body: &attachpb.Request_LockCancel{LockCancel: &attachpb.LockCancel{Request: req.Id}}}
	if confirm, err := c.send(cancel, nil); err == nil {
		defer c.abandon(cancel.Id, confirm)
	}
	if a, err = c.await(context.Background(), ch); err != nil {
		return nil, err
	}
	reply, _, err := a.unpack()
	if errors.Is(err, ErrCanceled) {
		err = ctx.Err()
	}
	return reply, err
}

func (a answer) unpack() (*attachpb.Reply, []int, error) {
	if a.err != nil {
		return nil, nil, a.err
	}
	if e := a.reply.GetError(); e != nil {
		return nil, nil, &Error{Code: e.Code, Message: e.Message}
	}
	return a.reply, a.fds, nil
}

// send gives the request its id and sends it. The channel gets one answer.
func (c *Client) send(req *attachpb.Request, fds []int) (chan answer, error) {
	ch := make(chan answer, 1)
	c.mu.Lock()
	if c.waiting == nil {
		err := c.ended
		c.mu.Unlock()
		return nil, err
	}
	c.lastID++
	req.Id = c.lastID
	c.waiting[req.Id] = ch
	c.mu.Unlock()

	packet, err := EncodeRequest(req)
	if err == nil {
		err = c.socket.write(packet, fds, 0)
		if closedErr(err) || errors.Is(err, net.ErrClosed) {
			// The node hung up, or this end did meanwhile. Whoever reads finds
			// out why, and answers.
			return ch, nil
		}
	}
	if err != nil {
		c.abandon(req.Id, ch)
		if limits.Short(err) {
			err = fmt.Errorf("%w: %w", ErrNoSpace, noRoomHere(err))
		}
		return nil, err
	}
	return ch, nil
}

// abandon stops waiting for a reply, and closes what came with it.
func (c *Client) abandon(id uint64, ch chan answer) {
	c.mu.Lock()
	delete(c.waiting, id)
	c.mu.Unlock()
	select {
	case a := <-ch:
		closeAll(a.fds)
	default:
	}
}

// await returns the answer, or the context's error if that ends first. It reads
// unless somebody does.
func (c *Client) await(ctx context.Context, ch chan answer) (answer, error) {
	select {
	case a := <-ch:
		return a, nil
	case <-ctx.Done():
		return answer{}, ctx.Err()
	case <-c.reader:
	}
	defer func() { c.reader <- struct{}{} }()
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, c.stopReader)()
	}
	for {
		select {
		case a := <-ch:
			return a, nil
		default:
		}
		if ctx.Err() != nil {
			return answer{}, ctx.Err()
		}
		if ctx.Done() == nil {
			c.read(0)
		} else if c.readable() {
			c.read(unix.MSG_DONTWAIT)
		}
	}
}

// readable sleeps until there is something to read, or stopReader was called.
// Preconditions: the caller is the reader.
func (c *Client) readable() bool {
	if !c.socket.enter() {
		return true // read says so
	}
	defer c.socket.leave()
	fds := []unix.PollFd{{Fd: int32(c.socket.fd), Events: unix.POLLIN}, {Fd: int32(c.interrupt), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, -1); err != nil {
		return err != unix.EINTR
	}
	if fds[1].Revents != 0 {
		// Perhaps that was for a reader before this one: it looks again.
		var count [8]byte
		_, _ = unix.Read(c.interrupt, count[:])
	}
	return fds[0].Revents != 0
}

// stopReader wakes the reader, to look at its context.
func (c *Client) stopReader() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.interrupt >= 0 {
		one := [8]byte{1}
		_, _ = unix.Write(c.interrupt, one[:])
	}
}

// lookNowAndThen reads what nobody waits for.
func (c *Client) lookNowAndThen() {
	ticker := time.NewTicker(idleTime)
	defer ticker.Stop()
	for {
		select {
		case <-c.quit:
			return
		case <-ticker.C:
		}
		select {
		case <-c.reader:
		default:
			continue // somebody reads
		}
		for c.read(unix.MSG_DONTWAIT) {
		}
		c.reader <- struct{}{}
	}
}

// read takes one packet in, and says whether there was one. At the end of the
// connection it answers everybody.
// Preconditions: the caller is the reader.
func (c *Client) read(flags int) bool {
	packet, fds, lost, err := c.socket.read(flags)
	if err == unix.EAGAIN {
		return false
	}
	if err != nil {
		c.end(err)
		return false
	}
	count := len(fds)
	if lost != nil {
		count = 1
	}
	reply, err := DecodeReply(packet, count)
	if err != nil {
		closeAll(fds)
		c.end(err)
		return false
	}
	if reply.Id == 0 {
		if e := reply.GetError(); e != nil { // of the connection as a whole
			c.end(&Error{Code: e.Code, Message: e.Message})
			return false
		}
		closeAll(fds)
		if waiting := reply.GetWaiting(); waiting != nil {
			c.mu.Lock()
			c.waits = waiting.GetWaits()
			c.mu.Unlock()
		}
		if reply.Body != nil && c.config.Event != nil {
			c.config.Event(reply)
		}
		return true
	}
	a := answer{reply: reply, fds: fds}
	if lost != nil {
		a = answer{err: fmt.Errorf("%w: %w", ErrNoSpace, noRoomHere(lost))}
	}
	c.mu.Lock()
	ch := c.waiting[reply.Id]
	delete(c.waiting, reply.Id)
	if ch != nil {
		ch <- a // its one answer: never blocks
	}
	c.mu.Unlock()
	if ch == nil {
		closeAll(fds)
	}
	return true
}

// end answers everybody who waits, and tells Hangup unless Close came first.
func (c *Client) end(err error) {
	c.mu.Lock()
	if c.waiting == nil {
		c.mu.Unlock()
		return
	}
	closed, attached := c.closed, c.attached
	switch {
	case closed:
		err = ErrClosed
	case errors.Is(err, io.EOF) && !attached:
		err = errNotLetIn
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("%w: the node hung up", ErrClusterFailed)
	}
	waiting := c.waiting
	c.waiting, c.ended = nil, err
	c.mu.Unlock()
	if attached && !closed && c.config.Hangup != nil {
		c.config.Hangup(err)
	}
	for _, ch := range waiting {
		ch <- answer{err: err}
	}
	c.socket.close()
}

// giveUp closes the watch, for every process that has a copy of it (a child that
// was forked): the node takes one that is open for a process that still uses its
// pages, and ends it.
func giveUp(watch int) error {
	flags, err := unix.FcntlInt(uintptr(watch), unix.F_GETFL, 0)
	if err == nil {
		// Disarmed first: the shutdown is a hang-up, at this end too.
		_, err = unix.FcntlInt(uintptr(watch), unix.F_SETFL, flags&^unix.O_ASYNC)
	}
	if err == nil {
		err = unix.Shutdown(watch, unix.SHUT_RDWR)
	}
	return errors.Join(err, unix.Close(watch))
}

// Close detaches: it gives up the watch, then the connection; requests that
// wait fail with ErrClosed. The node frees what the connection held. Whatever
// was mapped must be unmapped already.
func (c *Client) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.mu.Unlock()
	var err error
	if c.watch >= 0 {
		err = giveUp(c.watch)
	}
	c.socket.close() // whoever reads wakes
	close(c.quit)
	c.idle.Wait()
	<-c.reader
	c.end(ErrClosed)
	c.mu.Lock()
	err = errors.Join(err, unix.Close(c.interrupt))
	c.interrupt = -1
	c.mu.Unlock()
	c.reader <- struct{}{}
	return err
}
