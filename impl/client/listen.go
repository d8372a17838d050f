package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/internal/limits"
	"golang.org/x/sys/unix"
)

// network is Go's name for a UNIX SOCK_SEQPACKET socket.
const network = "unixpacket"

// Peer is who is at the other end of a Conn, as the kernel says.
type Peer struct {
	PID, UID, GID int
}

// helloTime bounds how long an application may take to say Hello.
const helloTime = 10 * time.Second

// Listener accepts applications on the node's attach socket.
type Listener struct {
	// Refused, if not nil, is told whose process may not attach, and why, unless Accept
	// says so. It is set before Accept.
	Refused func(who Peer, err error)

	inner     *net.UnixListener
	path      string
	helloTime time.Duration // tests have another
}

// Listen makes the attach socket, of mode 0600 from its first moment on. A
// socket file that nobody listens on any more is replaced; one that somebody
// does is an error.
func Listen(path string) (*Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	config := net.ListenConfig{
		// The mode of a socket's inode becomes that of the file it is bound to.
		Control: func(_, _ string, raw syscall.RawConn) error {
			var err error
			if e := raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); e != nil {
				return e
			}
			return err
		},
	}
	l, err := config.Listen(context.Background(), network, path)
	if err != nil {
		return nil, fmt.Errorf("attach socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("attach socket: %w", err)
	}
	return &Listener{inner: l.(*net.UnixListener), path: path, helloTime: helloTime}, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("attach socket: %w", err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("attach socket: %s exists and is not a socket; remove it or name another path", path)
	}
	probe, err := net.Dial(network, path)
	if err == nil {
		probe.Close()
		return fmt.Errorf("attach socket: a node already listens on %s", path)
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("attach socket: %s is in use: %w", path, err)
	}
	return os.Remove(path)
}

// Path is where the socket is.
func (l *Listener) Path() string { return l.path }

// Accept returns the next application whose user may attach: root, or the
// node's own. Others get CODE_PERMISSION and a hang-up. The error is a
// *RefusedError where the node has no descriptors for an application.
func (l *Listener) Accept() (*Conn, error) {
	for {
		inner, err := l.inner.AcceptUnix()
		if err != nil {
			return nil, err
		}
		peer, err := peerOf(inner)
		var c *Conn
		if err == nil {
			c, err = newConn(inner, peer, l.helloTime)
		}
		if limits.Short(err) {
			return nil, &RefusedError{peer, err, inner}
		}
		inner.Close()
		if err != nil {
			continue // the peer is gone already
		}
		if peer.UID == 0 || peer.UID == os.Geteuid() {
			return c, nil
		}
		err = fmt.Errorf("%w: user %d may not attach to a node of user %d", ErrPermission, peer.UID, os.Geteuid())
		if l.Refused != nil {
			l.Refused(peer, err)
		}
		c.refuse(0, err)
	}
}

// RefusedError is an application that the node cannot serve. Whoever gets it calls
// Tell.
type RefusedError struct {
	Who  Peer
	Err  error
	conn *net.UnixConn
}

func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap is why.
func (e *RefusedError) Unwrap() error { return e.Err }

// Tell tells the application why and hangs up.
func (e *RefusedError) Tell(why error) {
	defer e.conn.Close()
	if packet, err := EncodeReply(errorReply(0, why)); err == nil {
		_, _ = e.conn.Write(packet) // the peer may be gone
	}
}

// Close ends Accept and removes the socket file. Connections go on.
func (l *Listener) Close() error { return l.inner.Close() }

// Conn is the node's end of one application's connection. The node owns it and
// closes it.
type Conn struct {
	socket  *socket
	replies replies
	peer    Peer
	hello   bool        // the first request has been read; of ReadRequest
	unread  atomic.Bool // the node has hung up: the application does not read
}

// peerOf is who is at the other end, as far as is known where it fails.
func peerOf(inner *net.UnixConn) (Peer, error) {
	raw, err := inner.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var cred *unix.Ucred
	if e := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); e != nil {
		return Peer{}, e
	}
	if err != nil {
		return Peer{}, err
	}
	return Peer{PID: int(cred.Pid), UID: int(cred.Uid), GID: int(cred.Gid)}, nil
}

func newConn(inner *net.UnixConn, peer Peer, helloTime time.Duration) (*Conn, error) {
	s, err := newSocket(inner)
	if err != nil {
		return nil, err
	}
	if err := s.setReadTime(helloTime); err != nil {
		s.close()
		return nil, err
	}
	return &Conn{socket: s, replies: replies{socket: s}, peer: peer}, nil
}

// Peer is who attached.
func (c *Conn) Peer() Peer { return c.peer }

// ReadRequest returns the next request and its descriptors, which the caller
// owns. The first request is a Hello of a version that this package speaks, and
// no later one is. Of the rest DecodeRequest says what has been checked.
//
// Where a descriptor came with a request that the node has no room for, the error
// wraps ErrNoSpace, and the request is returned too, for its id: the caller
// answers it, and the connection goes on.
//
// A request of a later version is answered here. Any other violation is
// answered with an error, the connection is closed, and the error wraps
// ErrMalformed or ErrVersion; so is a Hello that does not come in 10 s. A
// hang-up is io.EOF.
//
// ReadRequest has one caller at a time.
func (c *Conn) ReadRequest() (*attachpb.Request, []int, error) {
	for {
		packet, fds, lost, err := c.socket.read(0)
		if err != nil {
			if c.unread.Load() {
				return nil, nil, errUnread
			}
			if err == unix.EAGAIN {
				err = fmt.Errorf("%w: no Hello in time", ErrMalformed)
			}
			if errors.Is(err, ErrMalformed) {
				c.refuse(0, err)
			}
			return nil, nil, err
		}
		count := len(fds)
		if lost != nil {
			count = 1
		}
		req, err := DecodeRequest(packet, count)
		if err == nil {
			err = c.greeted(req)
		}
		switch {
		case err == nil && lost != nil:
			return req, nil, fmt.Errorf("%w: %w", ErrNoSpace, lost)
		case err == nil:
			return req, fds, nil
		case errors.Is(err, ErrUnsupported) && c.hello:
			closeAll(fds)
			if err := c.WriteError(req.GetId(), err); err != nil {
				return nil, nil, err
			}
		default:
			closeAll(fds)
			c.refuse(req.GetId(), err)
			return nil, nil, err
		}
	}
}

// greeted checks that a Hello comes first, once, and in a known version.
func (c *Conn) greeted(req *attachpb.Request) error {
	hello := req.GetHello()
	switch {
	case hello == nil && !c.hello:
		return fmt.Errorf("%w: %T before Hello", ErrMalformed, req.Body)
	case hello != nil && c.hello:
		return fmt.Errorf("%w: a second Hello", ErrMalformed)
	case hello != nil && hello.Version != Version:
		return fmt.Errorf("%w: the program speaks %d, the node %d", ErrVersion, hello.Version, Version)
	}
	if hello != nil {
		c.hello = true
		return c.socket.setReadTime(0)
	}
	return nil
}

// Refuse tells an application that has not said Hello why it is not served, and
// hangs up.
func (c *Conn) Refuse(err error) { c.refuse(0, err) }

// refuse tells the application why and hangs up.
func (c *Conn) refuse(id uint64, err error) {
	_ = c.WriteError(id, err) // the peer may be gone
	c.Close()
}

// WriteReply sends a reply, or an event if its id is zero, with descriptors,
// which stay the caller's. Any goroutine may call it, and it never waits for the
// application: what its socket does not take is sent later, in order. It hangs
// up on an application that leaves some MiB unread. Where the node has no room for
// the descriptors, nothing is sent, and the error wraps ErrNoSpace.
func (c *Conn) WriteReply(rep *attachpb.Reply, fds ...int) error {
	packet, err := EncodeReply(rep)
	if err != nil {
		return err
	}
	return c.writeReply(packet, fds)
}

// WriteDone answers a request that returns nothing.
func (c *Conn) WriteDone(id uint64) error {
	return c.WriteReply(&attachpb.Reply{Id: id, Body: &attachpb.Reply_Done{Done: &attachpb.Done{}}})
}

// WriteError answers a request with an error, under the code of the first Err…
// value that it wraps.
func (c *Conn) WriteError(id uint64, err error) error {
	return c.WriteReply(errorReply(id, err))
}

func errorReply(id uint64, err error) *attachpb.Reply {
	e := &attachpb.Error{Code: CodeOf(err), Message: messageOf(err)}
	return &attachpb.Reply{Id: id, Body: &attachpb.Reply_Error{Error: e}}
}

// Process is a pidfd of the process that connected, which the caller owns. The
// error is ESRCH or EINVAL if it is gone.
func (c *Conn) Process() (int, error) {
	if !c.socket.enter() {
		return -1, net.ErrClosed
	}
	defer c.socket.leave()
	return unix.GetsockoptInt(c.socket.fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD) // Linux 6.5
}

// Close hangs up. It may be called more than once and from any goroutine; it
// ends ReadRequest.
func (c *Conn) Close() { c.socket.close() }
