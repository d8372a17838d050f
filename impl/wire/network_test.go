package wire

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// The directions of a network.
const (
	toAcceptor = iota
	toDialer
)

// network is what lies between a node that dials and one that accepts, in memory
// and in the time of a bubble of testing/synctest. Its connections behave as those
// of TCP: what is sent while the network is down comes when the sender tries again,
// six times after 200 ms (see persist) and then after twice the time each; a SYN
// after 1 s, 2 s, 4 s. One segment comes then, two a round trip later, then four.
type network struct {
	queue  chan net.Conn // to be accepted
	closed chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	latency time.Duration // each way
	down    [2]bool
	resent  chan struct{} // closed when what was lost is tried again
	carries func() [2]int // how many bytes a new connection carries each way before it hangs; negative: all
	conns   []*wireConn   // both ends of each
	dials   int
	port    int
}

func newNetwork() *network {
	return &network{latency: time.Millisecond, queue: make(chan net.Conn, 1024), closed: make(chan struct{}), resent: make(chan struct{})}
}

func (w *network) delay() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.latency
}

func (w *network) setDelay(latency time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.latency = latency
}

// cut takes the network down, in one direction or both, or up.
func (w *network) cut(acceptor, dialer bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = [2]bool{acceptor, dialer}
}

// hang has the connections that there are carry nothing more in a direction.
// Nobody is told.
func (w *network) hang(direction int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		if c.out.direction == direction {
			c.out.hang()
		}
	}
}

// resend has what was lost be tried again at once.
func (w *network) resend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.resent)
	w.resent = make(chan struct{})
}

func (w *network) resending() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.resent
}

func (w *network) carry(f func() [2]int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.carries = f
}

func (w *network) isDown(direction int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.down[direction]
}

// dialed is how often it was dialed.
func (w *network) dialed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dials
}

func (w *network) Accept() (net.Conn, error) {
	select {
	case c := <-w.queue:
		return c, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

func (w *network) Close() error {
	close(w.closed)
	return nil
}

func (w *network) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (w *network) dial(ctx context.Context, _ string) (net.Conn, error) {
	w.mu.Lock()
	w.dials++
	w.mu.Unlock()
	for again := time.Second; w.isDown(toAcceptor) || w.isDown(toDialer); again *= 2 {
		if err := sleep(ctx, again); err != nil {
			return nil, err
		}
	}
	if err := sleep(ctx, 2*w.delay()); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	carries := [2]int{-1, -1}
	if w.carries != nil {
		carries = w.carries()
	}
	w.port++
	var ways [2]*way
	for d := range ways {
		ways[d] = &way{network: w, direction: d, left: carries[d]}
		ways[d].changed.L = &ways[d].mu
		go ways[d].send()
	}
	far := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: 1000 + w.port}
	dialer := &wireConn{in: ways[toDialer], out: ways[toAcceptor], local: far, remote: w.Addr()}
	acceptor := &wireConn{in: ways[toAcceptor], out: ways[toDialer], local: w.Addr(), remote: far}
	w.conns = append(w.conns, dialer, acceptor)
	w.queue <- acceptor
	return dialer, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// way is one direction of a connection.
type way struct {
	network   *network
	direction int

	mu      sync.Mutex
	changed sync.Cond // mu
	// Guarded by mu.
	left           int    // how many bytes it carries yet; negative: all
	sent           []byte // not delivered yet
	arrived        []byte // not read yet
	fin, eof       bool   // the sender has closed it, the receiver knows
	gone           bool   // the receiver has closed it
	reset          bool   // and the sender knows
	hung           bool
	readBy, sendBy deadline
}

// deadline is a deadline of an end.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// set sets a deadline and has who waits look again then. Preconditions: w.mu is held.
func (w *way) set(d *deadline, at time.Time) {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at = at
	if !at.IsZero() {
		d.timer = time.AfterFunc(time.Until(at), func() {
			w.mu.Lock()
			w.changed.Broadcast()
			w.mu.Unlock()
		})
	}
	w.changed.Broadcast()
}

func (w *way) hang() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hung = true
	w.changed.Broadcast()
}

// capacity bounds what is sent and not read.
const capacity = 256 << 10

// send delivers what is sent, for as long as the connection lives.
func (w *way) send() {
	const first, segment = 200 * time.Millisecond, 1448
	again, tries, window := first, 0, capacity
	for {
		w.mu.Lock()
		for !w.hung && len(w.sent) == 0 && !w.fin {
			w.changed.Wait()
		}
		hung := w.hung
		w.mu.Unlock()
		if hung {
			return
		}
		time.Sleep(w.network.delay())
		if w.network.isDown(w.direction) {
			window = segment
			select {
			case <-time.After(again):
			case <-w.network.resending():
			}
			if tries++; tries > 6 {
				again *= 2
			}
			if again > 2*time.Minute {
				return
			}
			continue
		}
		again, tries = first, 0
		w.mu.Lock()
		switch {
		case w.gone:
			w.reset = true
		case w.left < 0 && len(w.sent) > window:
			w.arrived = append(w.arrived, w.sent[:window]...)
			w.sent = w.sent[window:]
			window *= 2
			w.changed.Broadcast()
			w.mu.Unlock()
			time.Sleep(w.network.delay()) // until that is acknowledged
			continue
		case w.left >= 0 && len(w.sent) > w.left:
			w.arrived = append(w.arrived, w.sent[:w.left]...)
			w.hung = true
		default:
			if w.left >= 0 {
				w.left -= len(w.sent)
			}
			w.arrived = append(w.arrived, w.sent...)
			w.sent = w.sent[:0]
			w.eof, window = w.fin, capacity
		}
		over := w.reset || w.hung || w.eof
		w.changed.Broadcast()
		w.mu.Unlock()
		if over {
			return
		}
	}
}

// wireConn is one end of a connection.
type wireConn struct {
	in, out       *way
	local, remote net.Addr
	once          sync.Once
}

func (c *wireConn) Read(b []byte) (int, error) {
	w := c.in
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case w.gone:
			return 0, net.ErrClosed
		case w.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case len(w.arrived) > 0:
			n := copy(b, w.arrived)
			w.arrived = w.arrived[n:]
			w.changed.Broadcast()
			return n, nil
		case w.eof:
			return 0, io.EOF
		}
		w.changed.Wait()
	}
}

func (c *wireConn) Write(b []byte) (int, error) {
	w := c.out
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for {
		switch {
		case w.fin:
			return n, net.ErrClosed
		case w.reset:
			return n, syscall.ECONNRESET
		case w.sendBy.passed():
			return n, os.ErrDeadlineExceeded
		case n == len(b):
			return n, nil
		}
		if room := capacity - len(w.sent) - len(w.arrived); room > 0 {
			k := min(room, len(b)-n)
			w.sent = append(w.sent, b[n:n+k]...)
			n += k
			w.changed.Broadcast()
			continue
		}
		w.changed.Wait()
	}
}

func (c *wireConn) Close() error {
	c.once.Do(func() {
		c.in.mu.Lock()
		c.in.gone = true
		c.in.changed.Broadcast()
		c.in.mu.Unlock()
		c.out.mu.Lock()
		c.out.fin = true
		c.out.changed.Broadcast()
		c.out.mu.Unlock()
	})
	return nil
}

func (c *wireConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *wireConn) SetReadDeadline(t time.Time) error {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.set(&c.in.readBy, t)
	return nil
}

func (c *wireConn) SetWriteDeadline(t time.Time) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.set(&c.out.sendBy, t)
	return nil
}

func (c *wireConn) LocalAddr() net.Addr  { return c.local }
func (c *wireConn) RemoteAddr() net.Addr { return c.remote }
