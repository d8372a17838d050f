package client

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/mome-dsm/mome/internal/limits"
	"golang.org/x/sys/unix"
)

// maxUnread is how much waits for an application that does not read its socket, in
// bytes of packets and of what the node needs to keep each. Beyond that the node
// hangs up. The answers to all requests that may be outstanding are less.
const (
	maxUnread  = 8 << 20
	packetCost = 256
)

// shortPause is how long a packet waits that the kernel had no memory for.
const shortPause = 10 * time.Millisecond

// MaxOutstanding is how many requests of one application may wait for their
// answer. Those beyond are answered with CODE_INVALID.
const MaxOutstanding = 4096

// errUnread says that the application does not read what it is sent.
var errUnread = fmt.Errorf("mome: the application leaves more than %d MiB unread", maxUnread>>20)

// replies writes packets to an application without ever waiting for it: what its
// socket does not take waits here, and goes out in order as room comes.
type replies struct {
	socket *socket

	mu      sync.Mutex // guards what follows
	waiting []packet   // while it is not empty a goroutine writes its first one
	cost    int        // of those
}

// packet is one that waits. It owns its descriptors.
type packet struct {
	bytes []byte
	fds   []int
}

func (p packet) cost() int { return len(p.bytes) + packetCost }

// write sends a packet, now or when there is room. The descriptors stay the
// caller's.
func (r *replies) write(b []byte, fds []int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		err := r.socket.write(b, fds, unix.MSG_DONTWAIT)
		switch {
		case limits.Short(err) && len(fds) > 0:
			return fmt.Errorf("%w: %w", ErrNoSpace, limits.Explain(err))
		case err != unix.EAGAIN && !limits.Short(err):
			return err
		}
	}
	p := packet{bytes: b}
	if r.cost+p.cost() > maxUnread {
		return errUnread
	}
	for _, fd := range fds {
		own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			closeAll(p.fds)
			return fmt.Errorf("%w: dup for an application: %w", ErrNoSpace, limits.Explain(err))
		}
		p.fds = append(p.fds, own)
	}
	runtime.KeepAlive(fds)
	r.cost += p.cost()
	r.waiting = append(r.waiting, p)
	if len(r.waiting) == 1 {
		go r.drain()
	}
	return nil
}

// drain writes what waits until nothing does, or the connection is over.
func (r *replies) drain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.waiting) > 0 {
		p := r.waiting[0]
		r.mu.Unlock()
		err := r.socket.write(p.bytes, p.fds, 0)
		for ; limits.Short(err); err = r.socket.write(p.bytes, p.fds, 0) {
			time.Sleep(shortPause)
		}
		r.mu.Lock()
		if err != nil {
			for _, p := range r.waiting {
				closeAll(p.fds)
			}
			r.waiting, r.cost = nil, 0
			return
		}
		closeAll(p.fds)
		r.cost -= p.cost()
		r.waiting[0] = packet{}
		r.waiting = r.waiting[1:]
	}
	r.waiting = nil
}

// writeReply is the end of Conn.WriteReply.
func (c *Conn) writeReply(b []byte, fds []int) error {
	err := c.replies.write(b, fds)
	switch {
	case err == nil:
		return nil
	case closedErr(err):
		return io.EOF
	case errors.Is(err, errUnread):
		c.unread.Store(true)
		c.Close()
	}
	return err
}
