package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// supervise keeps a link connected until it is over.
func (l *Link) supervise() {
	defer l.mesh.wg.Done()
	defer close(l.done)
	if l.after != nil {
		<-l.after.done
		l.after = nil
	}
	l.conclude(l.keep())
}

// keep returns why the link is over.
func (l *Link) keep() error {
	m := l.mesh
	deadline := time.Now().Add(m.cfg.ConnectTime)
	patience := m.cfg.ConnectTime
	last := errors.New("no connection")
	for {
		var p *pipe
		if m.dials(l.peer) {
			if err := l.dialUntil(deadline, &last); err != nil {
				return err
			}
		}
		wait := time.NewTimer(time.Until(deadline))
		select {
		case p = <-l.attached:
			wait.Stop()
		case <-wait.C:
			return l.silent(patience, last)
		case <-l.ctx.Done():
			wait.Stop()
			return l.reason()
		}
		select {
		case <-p.quit:
		case <-l.ctx.Done():
			p.c.shut()
			<-p.quit
			return l.reason()
		}
		if l.closing.Load() {
			// Close is content with one try. Who has failed tries to be heard.
			if heard := p.byeSent && p.err == io.EOF; heard || !m.failed() || m.isClosed() {
				return nil
			}
		}
		if p.err != nil && isFinal(p.err) {
			return fmt.Errorf("node %d at %s: %w", l.peer, p.c.remote(), p.err)
		}
		last, patience = p.err, m.cfg.RepairTime
		deadline = time.Now().Add(patience)
		if heard := p.silent.Load(); heard != nil {
			last = errors.New("nothing heard")
			deadline = heard.Add(patience)
		}
	}
}

func (l *Link) silent(patience time.Duration, last error) error {
	return fmt.Errorf("%w: node %d, within %v: %v", ErrSilent, l.peer, patience, last)
}

// isFinal says whether a connection's end is the link's.
func isFinal(err error) bool {
	return errors.Is(err, ErrLeft) || errors.Is(err, ErrPeerFailed) || errors.Is(err, ErrMalformed)
}

// reason is why the link was halted.
func (l *Link) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.haltErr
}

// Back-off between two attempts to dial.
const (
	minBackoff = 5 * time.Millisecond
	maxBackoff = 500 * time.Millisecond
)

// dialUntil dials until the link has a connection. An error is final; it is nil
// at the deadline too, and when the link was halted.
func (l *Link) dialUntil(deadline time.Time, last *error) error {
	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		by := time.Now().Add(l.mesh.handshakeTime())
		if deadline.Before(by) {
			by = deadline
		}
		ctx, cancel := context.WithDeadline(l.ctx, by)
		err := l.dialOnce(ctx)
		cancel()
		if err == nil {
			return nil
		}
		var r *refusal
		switch {
		case l.ctx.Err() != nil:
			return nil
		case errors.As(err, &r) && !r.later:
			return err
		case errors.Is(err, ErrMalformed):
			return err
		}
		*last = err
		wait := time.NewTimer(min(backoff, time.Until(deadline)))
		select {
		case <-wait.C:
		case <-l.ctx.Done():
			wait.Stop()
			return nil
		}
		if !time.Now().Before(deadline) {
			return nil
		}
	}
}

// dialOnce makes one attempt.
func (l *Link) dialOnce(ctx context.Context) error {
	l.attaching.Lock()
	defer l.attaching.Unlock()
	if l.mesh.cfg.Transport == GRPC {
		return l.dialStream(ctx)
	}
	return l.dialFramed(ctx)
}

func (l *Link) dialFramed(ctx context.Context) error {
	m := l.mesh
	nc, err := dial(ctx, l.address)
	if err != nil {
		return err
	}
	// The context's end interrupts the handshake.
	unhook := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	h := &handshake{m: m, s: messages{nc}, remote: nc.RemoteAddr().String()}
	received, err := func() (uint64, error) {
		if err := m.checkToken(h.remote); err != nil {
			return 0, err
		}
		if _, err := nc.Write([]byte(framedMagic)); err != nil {
			return 0, err
		}
		return h.dialer(l)
	}()
	if !unhook() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		nc.Close()
		return err
	}
	c, err := newFramed(nc, &m.cfg)
	if err != nil {
		return err
	}
	if err := l.attach(c, received); err != nil {
		c.close()
		return err
	}
	return nil
}

// conclude ends the link for good and tells the handler, unless err is nil.
func (l *Link) conclude(err error) {
	m := l.mesh
	l.halt(err)
	l.attaching.Lock()
	l.mu.Lock()
	l.final = true
	up := l.up
	l.mu.Unlock()
	// Nothing attaches any more. A connection may have come at the last moment.
	l.detach()
	select {
	case <-l.attached:
	default:
	}
	l.attaching.Unlock()
	l.mu.Lock()
	l.open, l.queue, l.freeFrames, l.freePages, l.retained = nil, queue{}, nil, nil, 0
	l.mu.Unlock()
	m.mu.Lock()
	if m.links[l.peer] == l {
		delete(m.links, l.peer)
	}
	if up && m.gone[l.peer] < l.incarnation {
		m.gone[l.peer] = l.incarnation
	}
	m.mu.Unlock()
	if err != nil && !m.failed() {
		m.cfg.Handler.Down(l.peer, err)
	}
}
