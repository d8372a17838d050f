package wire

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/wire/wirepb"
)

// Serve accepts framed connections from Listener.Framed until it or the mesh is
// closed.
func (m *Mesh) Serve(framed net.Listener) error {
	for {
		c, err := framed.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("wire: accept: %w", err)
		}
		m.mu.Lock()
		if m.closed {
			m.mu.Unlock()
			c.Close()
			return nil
		}
		m.wg.Add(1)
		m.mu.Unlock()
		go func() {
			defer m.wg.Done()
			_ = m.Accept(c) // told to Refused
		}()
	}
}

// Accept makes a framed connection, whose magic was consumed, part of its link.
// It returns when the handshake is over, and owns the connection. Its error was
// told to Refused.
func (m *Mesh) Accept(c net.Conn) error {
	remote := c.RemoteAddr().String()
	err := m.accept(c, remote)
	if err != nil {
		m.refused(remote, err)
	}
	return err
}

func (m *Mesh) accept(c net.Conn, remote string) error {
	if !m.guard(c) {
		c.Close()
		return ErrClosed
	}
	kept := false
	local, far := c.LocalAddr(), c.RemoteAddr()
	trust := func() { m.trust(local, far) }
	defer func() {
		m.unguard(c)
		if !kept {
			c.Close()
		}
		trust()
	}()
	_ = c.SetDeadline(time.Now().Add(m.handshakeTime()))
	h := &handshake{m: m, s: messages{c}, remote: remote, trust: trust}
	return m.admit(h, TCP, func() (conn, error) {
		_ = c.SetDeadline(time.Time{})
		f, err := newFramed(c, &m.cfg)
		kept = err == nil
		return f, err
	})
}

// guard has Close close a connection that is in its handshake.
func (m *Mesh) guard(c net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.conns[c] = struct{}{}
	return true
}

func (m *Mesh) unguard(c net.Conn) {
	m.mu.Lock()
	delete(m.conns, c)
	m.mu.Unlock()
}

// trust tells the port about a connection that is a link's now, or closed.
func (m *Mesh) trust(local, remote net.Addr) {
	if m.cfg.Port != nil {
		m.cfg.Port.Trust(local, remote)
	}
}

// handshakeTime bounds one attempt: a stranger has no longer anyway.
func (m *Mesh) handshakeTime() time.Duration { return min(m.cfg.RepairTime/2, strangerTime) }

// checkToken enforces that links without a token stay on this machine.
func (m *Mesh) checkToken(remote string) error {
	if len(m.cfg.Token) == 0 && !onThisMachine(remote) {
		return refuse(wirepb.Refusal_TOKEN, "node %d has no cluster token, and %s is another machine", m.cfg.Self, remote)
	}
	return nil
}

// admit runs the acceptor's handshake and attaches the connection that take
// makes of it to the dialer's link.
func (m *Mesh) admit(h *handshake, transport string, take func() (conn, error)) error {
	hello, err := h.acceptor(transport)
	if err != nil {
		return err
	}
	peer, inc := addr.NodeID(hello.Node), addr.Incarnation(hello.Incarnation)
	if old := m.Link(peer); (old == nil || old.incarnation < inc) && m.cfg.Admit != nil {
		if err := m.cfg.Admit(peer, inc); err != nil {
			r := refuse(wirepb.Refusal_NOT_ADMITTED, "incarnation %d of node %d at %s: %v", inc, peer, h.remote, err)
			return h.sendRefusal(r)
		}
	}
	l, err := m.linkFor(hello, h.remote)
	if err != nil {
		return h.sendRefusal(err)
	}
	l.attaching.Lock()
	defer l.attaching.Unlock()
	if hello.Attempt <= l.attempt {
		// Its proof was on its way when the dialer gave it up and came again.
		// What its HELLO says was received is what was received then.
		return h.sendRefusal(refuse(wirepb.Refusal_STALE, "attempt %d of node %d at %s comes after attempt %d",
			hello.Attempt, peer, h.remote, l.attempt))
	}
	l.mu.Lock()
	switch {
	case l.final || l.halted:
		err = refuse(wirepb.Refusal_GONE, "incarnation %d of node %d at %s, whose link is over", inc, peer, h.remote)
	case l.session == hello.Session:
	case !l.up && !hello.Resume:
		l.session = hello.Session
	default:
		err = refuse(wirepb.Refusal_GONE, "incarnation %d of node %d at %s resumes another session", inc, peer, h.remote)
	}
	l.mu.Unlock()
	if err != nil {
		// One end has forgotten what the other remembers: messages are lost.
		l.halt(err)
		return h.sendRefusal(err)
	}
	l.attempt = hello.Attempt
	l.hear()
	l.detach()
	if err := h.welcome(l.received.Load()); err != nil {
		return err
	}
	c, err := take()
	if err != nil {
		return err
	}
	if err := l.attach(c, hello.LastReceived); err != nil {
		c.close()
		if errors.Is(err, ErrMalformed) {
			l.halt(err)
		}
		return err
	}
	return nil
}

// linkFor finds or makes the link that a dialer asks for.
func (m *Mesh) linkFor(hello *wirepb.Handshake, remote string) (*Link, error) {
	peer, inc := addr.NodeID(hello.Node), addr.Incarnation(hello.Incarnation)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, refuse(wirepb.Refusal_CLOSING, "node %d at %s comes while node %d closes", peer, remote, m.cfg.Self)
	}
	l := m.links[peer]
	if m.failed() && (l == nil || inc != l.incarnation) {
		return nil, refuse(wirepb.Refusal_CLOSING, "node %d at %s comes when node %d has failed", peer, remote, m.cfg.Self)
	}
	if inc <= m.gone[peer] {
		return nil, refuse(wirepb.Refusal_GONE, "incarnation %d of node %d at %s is over", inc, peer, remote)
	}
	switch {
	case l != nil && inc < l.incarnation:
		return nil, refuse(wirepb.Refusal_INCARNATION, "node %d at %s is incarnation %d, but %d is known", peer, remote, inc, l.incarnation)
	case l == nil || inc > l.incarnation:
		if hello.Resume {
			return nil, refuse(wirepb.Refusal_GONE, "incarnation %d of node %d at %s resumes a session that nobody knows", inc, peer, remote)
		}
		l = m.newLink(peer, "", inc, l)
	}
	return l, nil
}
