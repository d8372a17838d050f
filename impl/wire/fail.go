package wire

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mome-dsm/mome/impl/addr"
)

// maxReason bounds the reason of a failure, in bytes.
const maxReason = 512

// Fail ends this node's part in its cluster: the peers are told that it failed,
// which node is the cause (itself, perhaps), and why, in words that oneLine makes
// fit to travel. Their Down reports a PeerFailure.
//
// When Fail returns nothing is sent any more but that, and the rest of what a
// connection had begun to take; what waited is lost. No call of the Handler
// begins any more, Down included; those under way go on. Links end when their
// peers have been told, a peer that cannot be reached for a moment on its next
// connection, but after a few seconds in any case. Close is still to be called,
// and does not wait for longer than without a failure.
//
// Fail does not block and may be called from any goroutine, a handler's too, with
// the locks held that Append is called with. Only the first call counts, and none
// after Close.
func (m *Mesh) Fail(cause addr.NodeID, reason string) {
	m.mu.Lock()
	if m.closed || !m.failure.CompareAndSwap(nil, &PeerFailure{cause, oneLine(reason)}) {
		m.mu.Unlock()
		return
	}
	links := make([]*Link, 0, len(m.links))
	for _, l := range m.links {
		links = append(links, l)
	}
	m.wg.Add(1)
	m.mu.Unlock()
	go func() {
		defer m.wg.Done()
		m.linger(links)
	}()
	for _, l := range links {
		l.mu.Lock()
		l.closing.Store(true)
		l.mu.Unlock()
		l.Flush()
	}
}

// failed says whether the mesh has failed.
func (m *Mesh) failed() bool { return m.failure.Load() != nil }

// linger waits until links are over, for a while, and ends those that are not.
func (m *Mesh) linger(links []*Link) {
	timeout := time.NewTimer(min(m.cfg.RepairTime, lingerTime))
	defer timeout.Stop()
wait:
	for _, l := range links {
		select {
		case <-l.done:
		case <-timeout.C:
			break wait
		case <-m.ctx.Done():
			break wait
		}
	}
	for _, l := range links {
		l.halt(nil)
	}
}

// isClean says whether a reason may travel: one line that does nothing to who
// reads it.
func isClean(s string) bool {
	return len(s) <= maxReason && utf8.ValidString(s) && strings.IndexFunc(s, isUnfit) < 0
}

func isUnfit(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// oneLine makes a reason that isClean of any text, and that is not empty.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if isUnfit(r) {
			return ' '
		}
		return r // utf8.RuneError for bytes that are no rune
	}, s)
	if s = strings.TrimSpace(s); s == "" {
		return "it does not say why"
	}
	const more = "…"
	if len(s) > maxReason {
		s = s[:maxReason-len(more)]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
		s += more
	}
	return s
}
