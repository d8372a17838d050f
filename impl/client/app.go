package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"github.com/mome-dsm/mome/impl/client/attachpb"
	"golang.org/x/sys/unix"
)

// Config is what Dial needs beside the socket.
type Config struct {
	// Hello introduces the program. Version is filled in.
	Hello *attachpb.Hello

	// Guard arms the watch that Welcome brings: from then on the kernel kills
	// the process when the watch hangs up. Required. Close closes the watch.
	Guard func(watch int) error

	// Event is called with each event, by the reading goroutine: it must not
	// wait for a reply. Nil drops events.
	Event func(*attachpb.Reply)

	// Hangup is called once, by the reading goroutine, if the connection ends
	// after Dial has returned it, and other than by Close: which it must not
	// call. Nil drops the news.
	Hangup func(error)
}

// Client is the application's end of a connection. It owns the connection and
// the watch.
type Client struct {
	socket  *socket
	config  Config
	welcome *attachpb.Welcome
	watch   int
	done    chan struct{} // closed when the reading goroutine has ended

	mu      sync.Mutex
	lastID  uint64
	waiting map[uint64]chan answer // by request id; nil once the connection ended
	ended   error                  // why waiting is nil
	closed  bool                   // Close was called

	attached bool // Dial succeeded: from now on Hangup is told
}

type answer struct {
	reply *attachpb.Reply
	fds   []int
	err   error // the connection ended first
}

// ErrClosed is what requests on a closed Client return.
var ErrClosed = errors.New("mome: detached from the node")

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
		return nil, fmt.Errorf("mome: attach to %s: %w", path, err)
	}
	c := &Client{
		socket:  newSocket(conn.(*net.UnixConn)),
		config:  config,
		watch:   -1,
		done:    make(chan struct{}),
		waiting: make(map[uint64]chan answer),
	}
	go c.read()
	if err := c.greet(ctx); err != nil {
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

func checkSocket(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("mome: no socket at %s: is the node running?", path)
	case err != nil:
		return fmt.Errorf("mome: attach socket: %w", err)
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("mome: %s is not a socket", path)
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
	select {
	case a := <-ch:
		return a.unpack()
	case <-ctx.Done():
		c.abandon(req.Id, ch)
		return nil, nil, ctx.Err()
	}
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
// lock is held. The error is the context's if it is not.
func (c *Client) CallCancel(ctx context.Context, req *attachpb.Request) (*attachpb.Reply, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ch, err := c.send(req, nil)
	if err != nil {
		return nil, err
	}
	select {
	case a := <-ch:
		reply, _, err := a.unpack()
		return reply, err
	case <-ctx.Done():
	}
	cancel := &attachpb.Request{Body: &attachpb.Request_LockCancel{LockCancel: &attachpb.LockCancel{Request: req.Id}}}
	if confirm, err := c.send(cancel, nil); err == nil {
		defer c.abandon(cancel.Id, confirm)
	}
	reply, _, err := (<-ch).unpack()
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
		err = c.socket.write(packet, fds)
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			// The node hung up. The reading goroutine finds out why, and answers.
			return ch, nil
		}
	}
	if err != nil {
		c.abandon(req.Id, ch)
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

// read is the reading goroutine.
func (c *Client) read() {
	defer close(c.done)
	for {
		packet, fds, err := c.socket.read()
		if err != nil {
			c.end(err)
			return
		}
		reply, err := DecodeReply(packet, len(fds))
		if err != nil {
			closeAll(fds)
			c.end(err)
			return
		}
		if reply.Id == 0 {
			if e := reply.GetError(); e != nil { // of the connection as a whole
				c.end(&Error{Code: e.Code, Message: e.Message})
				return
			}
			closeAll(fds)
			if reply.Body != nil && c.config.Event != nil {
				c.config.Event(reply)
			}
			continue
		}
		c.mu.Lock()
		ch := c.waiting[reply.Id]
		delete(c.waiting, reply.Id)
		if ch != nil {
			ch <- answer{reply: reply, fds: fds} // its one answer: never blocks
		}
		c.mu.Unlock()
		if ch == nil {
			closeAll(fds)
		}
	}
}

// end answers everybody who waits, and tells Hangup unless Close came first.
func (c *Client) end(err error) {
	c.mu.Lock()
	closed, attached := c.closed, c.attached
	switch {
	case closed:
		err = ErrClosed
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
	c.socket.conn.Close()
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
		err = unix.Close(c.watch)
	}
	err = errors.Join(err, c.socket.conn.Close())
	<-c.done
	return err
}
