package wire

import (
	"time"
)

// tick looks after all links: heartbeats, acknowledgements, silence; and after
// what was refused.
func (m *Mesh) tick() {
	defer m.wg.Done()
	every := min(max(m.cfg.RepairTime/12, 2*time.Millisecond), 250*time.Millisecond)
	t := time.NewTicker(every)
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
		slept := now.Sub(before) > m.cfg.RepairTime/4
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

func (l *Link) tick(now time.Time, slept bool) {
	l.mu.Lock()
	p := l.cur
	l.mu.Unlock()
	if p == nil {
		return
	}
	repair := l.mesh.cfg.RepairTime
	if in := p.bytesIn.Load(); in != p.seenIn || slept || p.inHandler.Load() {
		p.seenIn, p.heardAt = in, now
	} else if now.Sub(p.heardAt) >= repair/2 {
		heard := p.heardAt
		p.silent.CompareAndSwap(nil, &heard)
		p.c.shut()
		return
	}
	unacked := l.received.Load() != l.ackSent.Load()
	if out := p.bytesOut.Load(); out != p.seenOut {
		p.seenOut, p.sentAt = out, now
	}
	if now.Sub(p.sentAt) >= repair/6 || unacked && p.ackPending {
		l.acknowledge()
	}
	p.ackPending = unacked
}
