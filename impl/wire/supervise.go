package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// supervise keeps a link connected until it is over.
func (l *Link) supervise() {
	defer l.mesh.wg.Done()
	defer close(l.done)
	l.waitFormer()
	l.conclude(l.run())
}

// waitFormer waits until the link with a former incarnation is over.
func (l *Link) waitFormer() {
	if l.former != nil {
		<-l.former
	}
}

// run makes connections for the link as long as it lasts, and returns why it is
// over.
func (l *Link) run() error {
	l.hear() // patience begins
	d := newDialing(l)
	defer d.timer.Stop()
	d.want()
	last := errors.New("no connection")
	var p *pipe // the connection, or nil
	for {
		attached, quit := l.attached, chan struct{}(nil)
		if p != nil {
			attached, quit = nil, p.quit // one after the other
		}
		select {
		case p = <-attached:
			d.enough()
		case <-quit:
			if err, over := l.ended(p); over {
				return err
			}
			last, p = p.err, nil
			d.want()
		case <-l.quiet:
			d.want()
		case <-d.timer.C:
			d.next()
		case a := <-d.ended:
			err, final := d.end(a)
			if final {
				return l.over(p, err)
			}
			if err != nil {
				last = err
			}
		case <-l.lost:
			return l.over(p, l.silent(last))
		case <-l.ctx.Done():
			if p != nil {
				p.c.shut()
				<-p.quit
			}
			return l.reason()
		}
	}
}

// ended says whether the end of a connection is that of the link, and why.
func (l *Link) ended(p *pipe) (err error, over bool) {
	m := l.mesh
	if p.err != nil && isFinal(p.err) && !l.closing.Load() {
		return fmt.Errorf("node %d at %s: %w", l.peer, p.c.remote(), p.err), true
	}
	if !l.closing.Load() || p.replaced.Load() {
		return nil, false
	}
	// Close is content with one try. Who has failed tries to be heard.
	l.mu.Lock()
	heard := p.byeSent && p.err == io.EOF && l.proving == nil
	l.mu.Unlock()
	return nil, heard || !m.failed() || m.isClosed()
}

// over ends the connection of a link that is over for a reason, which is nothing
// to what the peer itself has said last.
func (l *Link) over(p *pipe, err error) error {
	if p != nil {
		p.c.shut()
		<-p.quit
		if err, over := l.ended(p); over {
			return err
		}
	}
	if l.closing.Load() && !l.mesh.failed() {
		return nil
	}
	return err
}

// silent is the end of a link whose peer was away for too long. last is why there
// was no connection.
func (l *Link) silent(last error) error {
	if last == nil || last == io.EOF {
		last = errors.New("nothing heard")
	}
	return fmt.Errorf("%w: node %d, within %v: %v", ErrSilent, l.peer, l.patience(), last)
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

// dialFramed makes one attempt over framed TCP.
func (l *Link) dialFramed(a *attempt) error {
	m := l.mesh
	nc, err := m.dial(a.ctx, l.address)
	if err != nil {
		return err
	}
	// The attempt's end interrupts the handshake.
	unhook := context.AfterFunc(a.ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	h := &handshake{m: m, s: messages{nc}, remote: nc.RemoteAddr().String()}
	received, err := func() (uint64, error) {
		if err := m.checkToken(h.remote); err != nil {
			return 0, err
		}
		if _, err := nc.Write([]byte(framedMagic)); err != nil {
			return 0, err
		}
		return h.dialer(l, a)
	}()
	if !unhook() && err == nil {
		err = context.Cause(a.ctx)
	}
	if err != nil {
		if t, ok := nc.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // what is under way of it is not to arrive any more
		}
		nc.Close()
		return err
	}
	c, err := newFramed(nc, &m.cfg)
	if err != nil {
		return err
	}
	if err := l.takeOver(a, c, received); err != nil {
		c.close()
		return err
	}
	return nil
}

// conclude ends the link for good and tells the handler, unless err is nil.
func (l *Link) conclude(err error) {
	m := l.mesh
	l.halt(err)
	l.attempts.Wait()
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
