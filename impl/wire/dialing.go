package wire

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Back-off after an attempt that failed at once, where no other is under way.
const (
	minBackoff = 5 * time.Millisecond
	maxBackoff = 500 * time.Millisecond
)

// maxAttempts bounds the attempts that are under way at a time.
const maxAttempts = 16

// dialing is the attempts of the node that dials to make a connection. An attempt
// may hang: its SYN was lost and the kernel sends the next one after a second, or
// its handshake stands still. So another one begins beside it soon, and the first
// that succeeds wins. The link's supervisor owns it.
type dialing struct {
	l       *Link
	timer   *time.Timer // fires when the next attempt is due
	wanted  bool
	backoff time.Duration
	under   []*attempt // way, the oldest first
	ended   chan *attempt
}

// attempt is one try to make a connection.
type attempt struct {
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended
	// Before done is closed. No error: its connection is the link's. One that was
	// cancelled says nothing about the peer.
	err       error
	cancelled bool

	// Guarded by mu of the link.
	number  uint64    // of its HELLO
	proved  time.Time // when it sent its PROOF; zero: not yet
	decided bool      // it was welcomed, and becomes the link's connection
}

func newDialing(l *Link) *dialing {
	d := &dialing{l: l, timer: time.NewTimer(0), ended: make(chan *attempt)}
	d.timer.Stop()
	return d
}

// want has attempts be made until one succeeds, or enough is called. The other
// end of the link waits to be dialed.
func (d *dialing) want() {
	if !d.wanted && d.l.mesh.dials(d.l.peer) {
		d.wanted, d.backoff = true, minBackoff
		d.timer.Reset(0)
	}
}

// enough ends the attempts. One that has sent its proof may have been welcomed:
// it goes on.
func (d *dialing) enough() {
	d.wanted = false
	d.timer.Stop()
	d.l.mu.Lock()
	defer d.l.mu.Unlock()
	for _, a := range d.under {
		if a.proved.IsZero() {
			a.cancel()
		}
	}
}

// next begins the attempt that is due. That the peer is heard again on the
// connection that there is ends nothing: the peer may have given that one up, and
// what comes was under way on it. A connection that was only slow is replaced.
func (d *dialing) next() {
	l := d.l
	if n := len(d.under) - maxAttempts; n >= 0 {
		d.under[n].cancel()
	}
	a := &attempt{done: make(chan struct{})}
	a.ctx, a.cancel = context.WithTimeout(l.ctx, l.mesh.handshakeTime())
	d.under = append(d.under, a)
	l.attempts.Go(func() {
		a.err = l.dialOnce(a)
		if a.err != nil {
			l.giveUp(a)
		}
		a.cancelled = a.ctx.Err() == context.Canceled
		a.cancel()
		close(a.done)
		select {
		case d.ended <- a:
		case <-l.ctx.Done():
		}
	})
	d.timer.Reset(d.stagger())
}

// stagger is the time between the beginnings of two attempts.
func (d *dialing) stagger() time.Duration {
	if !d.l.isUp() {
		return maxBackoff // nobody has been there yet
	}
	// Where a peer may be away for long it need not be looked for all the time.
	return min(max(d.l.silence()/64, d.l.mesh.times.tick), time.Second)
}

// end takes an attempt off the list. The error is what the link is told of it; it
// is final or says why there is no connection yet, or is nil if it says nothing.
func (d *dialing) end(a *attempt) (err error, final bool) {
	d.under = slices.DeleteFunc(d.under, func(b *attempt) bool { return a == b })
	if a.err == nil {
		return nil, false
	}
	if d.wanted && len(d.under) == 0 {
		d.timer.Reset(min(d.backoff, d.stagger()))
		d.backoff = min(2*d.backoff, maxBackoff)
	}
	var r *refusal
	switch {
	case errors.As(a.err, &r):
		return a.err, !r.later
	case errors.Is(a.err, ErrMalformed):
		return a.err, true
	case a.cancelled, errors.Is(a.err, errOvertaken):
		return nil, false
	}
	return a.err, false
}

// errOvertaken ends an attempt because another one is ahead of it.
var errOvertaken = errors.New("another attempt was ahead")

// dialOnce makes one attempt.
func (l *Link) dialOnce(a *attempt) error {
	if l.mesh.cfg.Transport == GRPC {
		return l.dialStream(a)
	}
	return l.dialFramed(a)
}

// takeTurn waits until an attempt may prove itself: one at a time does, for the
// acceptor closes the connection before when it welcomes one. One that is stuck,
// for longer than two of the round trips that this attempt has just seen, is
// overtaken: given up, and sent away by its number if its proof arrives late.
func (l *Link) takeTurn(a *attempt, roundTrip time.Duration) error {
	patience := max(2*roundTrip, 2*l.mesh.times.tick)
	for {
		l.mu.Lock()
		b := l.proving
		left := time.Duration(0)
		if b != nil {
			left = time.Until(b.proved.Add(patience))
		}
		if a.number < l.overtaken {
			l.mu.Unlock()
			return errOvertaken
		}
		if b == nil || left <= 0 && !b.decided {
			a.proved = time.Now()
			l.proving, l.overtaken = a, a.number
			l.mu.Unlock()
			if b != nil {
				b.cancel()
			}
			return nil
		}
		l.mu.Unlock()
		timer := time.NewTimer(max(left, time.Millisecond))
		select {
		case <-b.done:
		case <-timer.C:
		case <-a.ctx.Done():
		}
		timer.Stop()
		if err := a.ctx.Err(); err != nil {
			return err
		}
	}
}

// giveUp ends the turn of an attempt that failed.
func (l *Link) giveUp(a *attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.proving == a {
		l.proving = nil
	}
}

// takeOver makes the connection of an attempt that was welcomed the link's, in the
// place of one that may still be there. The peer has received the frames up to
// received. On an error the connection is the caller's still.
func (l *Link) takeOver(a *attempt, c conn, received uint64) error {
	l.attaching.Lock()
	defer l.attaching.Unlock()
	l.mu.Lock()
	if l.proving != a {
		l.mu.Unlock()
		return errOvertaken
	}
	a.decided = true
	l.mu.Unlock()
	l.hear()
	l.detach()
	l.mu.Lock()
	forgotten := received < l.acked
	l.mu.Unlock()
	if forgotten {
		return malformed("the peer forgot frames behind %d", received)
	}
	err := l.attach(c, received)
	l.mu.Lock()
	l.proving = nil
	if err == nil {
		l.overtaken = l.mesh.attempts.Load() + 1 // all that have begun
	}
	l.mu.Unlock()
	return err
}
