package node

import (
	"time"

	"github.com/mome-dsm/mome/impl/protocol"
)

// seen is what the shell remembers of locks and barriers for people alone: their
// names, of which the core has the hash, and when a process asked for a lock and
// got it. n.syncs.mu guards it.
//
// What is over is not taken out one by one, on the path of every request, but all
// at once whenever there is twice as much as the last time.
type seen struct {
	names  map[uint64]string // of locks and barriers that processes of this node use
	claims map[request]claim
	limit  int // of entries: beyond it, what is over goes
}

// claim is a lock that a process has or waits for.
type claim struct {
	asked, granted time.Time // granted is zero while it waits
}

// seenLeast is below which nothing is ever taken out.
const seenLeast = 256

func newSeen() seen {
	return seen{names: make(map[uint64]string), claims: make(map[request]claim), limit: seenLeast}
}

// note remembers a request, which the core gets next.
func (s *seen) note(core *protocol.SyncNode, in *protocol.SyncInput, name string) {
	if len(s.names)+len(s.claims) >= s.limit {
		s.sweep(core)
	}
	s.names[in.Object] = name
	if in.Kind == protocol.InLockAcquire {
		s.claims[request{in.Party, in.Request}] = claim{asked: time.Now()}
	}
}

// granted remembers that a claim has got its lock.
func (s *seen) granted(r request) {
	if a, ok := s.claims[r]; ok {
		a.granted = time.Now()
		s.claims[r] = a
	}
}

// sweep takes out what is over.
func (s *seen) sweep(core *protocol.SyncNode) {
	names := make(map[uint64]string)
	for object := range core.Used() {
		if name, ok := s.names[object]; ok {
			names[object] = name
		}
	}
	claims := make(map[request]claim)
	for t := range core.Turns() {
		r := request{t.Party, t.Request}
		if a, ok := s.claims[r]; ok {
			claims[r] = a
		}
	}
	s.names, s.claims = names, claims
	s.limit = max(seenLeast, 2*(len(names)+len(claims)))
}

// since is for how long a process has had a lock, or has waited for it; zero if it
// has nothing to do with it any more.
func (s *seen) since(r request, now time.Time) time.Duration {
	a, ok := s.claims[r]
	switch {
	case !ok:
		return 0
	case a.granted.IsZero():
		return now.Sub(a.asked)
	}
	return now.Sub(a.granted)
}
