package wire

import (
	"time"
)

// times are what follows from the repair time: an outage that is shorter than
// that by a few ticks is survived. The peer may have been heard last four ticks
// before it began, and its end is noticed two ticks late.
type times struct {
	tick  time.Duration // how often the mesh looks after its links
	beat  time.Duration // an idle link says something so often
	doubt time.Duration // after so much silence the network is looked after
	quiet time.Duration // after so much another connection is made beside the one that there is
	away  time.Duration // after so much silence a peer is called away
	slept time.Duration // a tick that is so late was late because this process stood still
}

func timesOf(repair time.Duration) times {
	tick := min(max(repair/48, 4*time.Millisecond), 250*time.Millisecond)
	return times{
		tick:  tick,
		beat:  3 * tick,
		doubt: 5 * tick,
		quiet: min(repair/4, 12*tick),
		away:  min(repair*2/5, 5*time.Second),
		slept: min(repair/4, 12*tick),
	}
}

// tick looks after all links: heartbeats, acknowledgements, silence; and after
// what was refused.
func (m *Mesh) tick() {
	defer m.wg.Done()
	t := time.NewTicker(m.times.tick)
	defer t.Stop()
	before := time.Now()
	var links []*Link
	for {
		select {
		case <-t.C:
		case <-m.ctx.Done():
			return
		}
		now := time.Now()
		// A process that was stopped has heard nothing, but that is its own doing.
		slept := now.Sub(before) > m.times.slept
		before = now
		links = links[:0]
		m.mu.Lock()
		for _, l := range m.links {
			links = append(links, l)
		}
		m.mu.Unlock()
		for _, l := range links {
			l.tick(now, slept)
		}
		clear(links)
		m.tellCounted(now)
	}
}

// hear says that the peer was heard just now: bytes of it have come on a
// connection, or it has proved in a handshake that it is there.
func (l *Link) hear() { l.heard.Store(int64(time.Since(l.mesh.began))) }

// greet says that somebody was heard just now who says that he is the peer, and
// has not proved it yet: in a handshake that goes on.
func (l *Link) greet() { l.greeted.Store(int64(time.Since(l.mesh.began))) }

// inHandshake says whether a peer that was silent for too long is waited for, since
// it is in a handshake. Who says so may be a stranger: he puts the end off once, for
// no longer than a handshake may take.
func (l *Link) inHandshake(silence, patience time.Duration) bool {
	most, greeted := l.mesh.handshakeTime(), l.greeted.Load()
	return greeted > l.heard.Load() && time.Since(l.mesh.began)-time.Duration(greeted) < most && silence < patience+most
}

// silence is how long nothing was heard of the peer, on any connection.
func (l *Link) silence() time.Duration {
	return time.Since(l.mesh.began) - time.Duration(l.heard.Load())
}

// patience is how long the peer may be silent.
func (l *Link) patience() time.Duration {
	if l.isUp() {
		return l.mesh.cfg.RepairTime
	}
	return l.mesh.cfg.ConnectTime
}

// Away is how long nothing was heard of the peer; zero if it is not away.
func (l *Link) Away() time.Duration {
	if l.away.Load() == 0 {
		return 0
	}
	return l.silence()
}

func (l *Link) tick(now time.Time, slept bool) {
	l.mu.Lock()
	p, up := l.cur, l.up
	l.mu.Unlock()
	if slept {
		l.hear()
	}
	if p != nil {
		if in := p.bytesIn.Load(); in != p.seenIn.Load() || p.inHandler.Load() {
			p.seenIn.Store(in)
			l.hear()
		}
	}
	m := l.mesh
	silence, patience := l.silence(), l.patience()
	if up {
		l.tellAway(silence, patience)
	}
	if silence >= patience && !(up && l.inHandshake(silence, patience)) {
		select {
		case <-l.lost:
		default:
			close(l.lost)
		}
		return
	}
	if up && silence >= m.times.doubt {
		m.neighbours.renew(*l.remote.Load())
	}
	if p == nil {
		return
	}
	if silence >= m.times.quiet {
		if !m.dials(l.peer) {
			// The peer may hear this node, and not know that it has to dial.
			p.c.shut()
			return
		}
		select {
		case l.quiet <- struct{}{}:
		default:
		}
	}
	unacked := l.received.Load() != l.ackSent.Load()
	if out := p.bytesOut.Load(); out != p.seenOut {
		p.seenOut, p.sentAt = out, now
	}
	if now.Sub(p.sentAt) >= m.times.beat || unacked && p.ackPending {
		l.acknowledge()
	}
	p.ackPending = unacked
}

// tellAway tells who wants to know that the peer is away, and when it is back:
// once for each time.
func (l *Link) tellAway(silence, patience time.Duration) {
	m := l.mesh
	since := l.away.Load()
	switch {
	case since == 0 && silence >= m.times.away && silence < patience:
		l.away.Store(max(l.heard.Load(), 1))
		if m.cfg.Away != nil {
			m.tell(func() { m.cfg.Away(l.peer, silence, patience-silence) })
		}
	case since != 0 && silence < m.times.away:
		l.away.Store(0)
		if m.cfg.Back != nil {
			away := time.Duration(l.heard.Load() - since)
			m.tell(func() { m.cfg.Back(l.peer, away) })
		}
	}
}

// tell has something be told without waiting for whoever is told. What nobody
// takes is lost.
func (m *Mesh) tell(f func()) {
	select {
	case m.notices <- f:
	default:
	}
}

// tellNotices tells them, one after the other.
func (m *Mesh) tellNotices() {
	defer m.wg.Done()
	for {
		select {
		case f := <-m.notices:
			f()
		case <-m.ctx.Done():
			return
		}
	}
}
