package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/internal/limits"
)

// framedMagic opens a connection of framed TCP; HTTP/2 opens with http2Magic.
const (
	framedMagic = "MOME"
	http2Magic  = "PRI "
)

// dial opens every connection between nodes: TLS goes in here and in Listen.
func dial(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{Control: persist}
	return d.DialContext(ctx, "tcp", address)
}

// persist has a connection on which little is under way tried again every 200 ms,
// six times, when nothing arrives: not after twice the time each, as one that may
// congest a network. So it is used as soon as the network is back. Accepted
// connections have it from their listener.
func persist(_, _ string, raw syscall.RawConn) error {
	var err error
	if e := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_THIN_LINEAR_TIMEOUTS, 1)
	}); e != nil {
		return e
	}
	return os.NewSyscallError("setsockopt", err)
}

// Listen opens the one port of a node, for framed links, gRPC links and every
// other gRPC service. TLS goes in here and in dial.
func Listen(address string) (*Listener, error) {
	config := net.ListenConfig{Control: persist}
	l, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("mome: listen for other nodes: %w", err)
	}
	return NewListener(l), nil
}

// Listener shares one port: it looks at the first four bytes of each connection
// and sorts it to Framed or to HTTP2. A connection that opens with anything
// else is closed, and so is one that Trust is not called for in time, or before
// more has come than a handshake or the headers of a call.
type Listener struct {
	strangers     strangers
	root          net.Listener
	framed, http2 *branch
	quit          chan struct{}
	once          sync.Once
	wg            sync.WaitGroup

	trouble atomic.Pointer[func(error)]
}

// Trouble has told called with why no connection is accepted, once, and with nil
// when they are again. It is called by the goroutine that accepts.
func (l *Listener) Trouble(told func(error)) { l.trouble.Store(&told) }

// NewListener makes a Listener of an open listener, and owns it.
func NewListener(root net.Listener) *Listener {
	l := &Listener{strangers: strangers{most: maxStrangers, patience: strangerTime}, root: root, quit: make(chan struct{})}
	l.framed = &branch{l: l, conns: make(chan net.Conn)}
	l.http2 = &branch{l: l, conns: make(chan net.Conn)}
	l.wg.Add(1)
	go l.accept()
	return l
}

// Addr is where the port is.
func (l *Listener) Addr() net.Addr { return l.root.Addr() }

// Framed gives the connections of framed links, their magic consumed: for
// Mesh.Serve. They are plain *net.TCPConn.
func (l *Listener) Framed() net.Listener { return l.framed }

// HTTP2 gives the connections of gRPC, with no byte lost: for grpc.Server.Serve.
func (l *Listener) HTTP2() net.Listener { return l.http2 }

// Trust says that who is at the other end of a connection of Framed or HTTP2 has
// shown that he knows the token, or that the connection is closed. A Mesh with
// this Port does so by itself.
func (l *Listener) Trust(local, remote net.Addr) { l.strangers.remove(local, remote) }

// Close closes the port and waits for the connections that were being sorted.
func (l *Listener) Close() error {
	var err error
	l.once.Do(func() {
		close(l.quit)
		err = l.root.Close()
	})
	l.wg.Wait()
	l.strangers.clear()
	return err
}

func (l *Listener) accept() {
	defer l.wg.Done()
	waiting := false
	tell := func(err error) {
		if told := l.trouble.Load(); told != nil && waiting != (err != nil) {
			waiting = err != nil
			(*told)(err)
		}
	}
	for {
		c, err := l.root.Accept()
		if err != nil {
			select {
			case <-l.quit:
				return
			default:
			}
			if errors.Is(err, net.ErrClosed) {
				l.once.Do(func() { close(l.quit) })
				return
			}
			// Out of descriptors, most likely: wait for some to come back.
			tell(err)
			select {
			case <-l.quit:
				return
			case <-time.After(20 * time.Millisecond):
			}
			continue
		}
		tell(nil)
		x := l.strangers.add(c)
		l.wg.Add(1)
		go l.sort(c, x)
	}
}

// sort reads the first bytes of a stranger's connection and hands it over. It
// waits for whoever accepts, which may be long before a node serves, no longer
// than the stranger stays.
func (l *Listener) sort(c net.Conn, x *stranger) {
	defer l.wg.Done()
	known := make(chan struct{})
	defer close(known)
	l.wg.Add(1)
	go func() {
		defer l.wg.Done()
		select {
		case <-known:
		case <-l.quit:
			_ = c.SetReadDeadline(time.Unix(1, 0))
		}
	}()
	var magic [4]byte
	if _, err := io.ReadFull(c, magic[:]); err != nil {
		l.close(c)
		return
	}
	var to *branch
	switch string(magic[:]) {
	case framedMagic:
		to = l.framed
	case http2Magic:
		to = l.http2
		c = &prefixed{Conn: limits.Conn{Conn: c}, l: l, prefix: magic[:], stranger: x, left: strangerBytes}
	default:
		l.close(c)
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	select {
	case to.conns <- c:
	case <-x.gone:
	case <-l.quit:
		l.close(c)
	}
}

func (l *Listener) close(c net.Conn) {
	c.Close()
	l.Trust(c.LocalAddr(), c.RemoteAddr())
}

// branch is one kind of connection of a Listener.
type branch struct {
	l     *Listener
	conns chan net.Conn
}

func (b *branch) Accept() (net.Conn, error) {
	select {
	case c := <-b.conns:
		return c, nil
	case <-b.l.quit:
		return nil, net.ErrClosed
	}
}

func (b *branch) Close() error   { return b.l.Close() }
func (b *branch) Addr() net.Addr { return b.l.root.Addr() }

// prefixed is a connection whose first bytes were read already. It ends when a
// stranger sends too much on it.
type prefixed struct {
	net.Conn
	l        *Listener
	prefix   []byte
	stranger *stranger // nil: he is known
	left     int       // bytes that he may send
}

func (p *prefixed) Close() error {
	err := p.Conn.Close()
	p.l.Trust(p.LocalAddr(), p.RemoteAddr())
	return err
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.prefix) > 0 {
		n := copy(b, p.prefix)
		p.prefix = p.prefix[n:]
		return n, nil
	}
	if p.stranger == nil {
		return p.Conn.Read(b)
	}
	if p.stranger.known.Load() {
		p.stranger = nil
		return p.Conn.Read(b)
	}
	if p.left == 0 {
		return 0, errStranger
	}
	n, err := p.Conn.Read(b[:min(len(b), p.left)])
	p.left -= n
	return n, err
}

// onThisMachine says whether an address is loopback or no IP address at all (a
// pipe, a UNIX socket).
func onThisMachine(address string) bool {
	ap, err := netip.ParseAddrPort(address)
	return err != nil || ap.Addr().Unmap().IsLoopback()
}
