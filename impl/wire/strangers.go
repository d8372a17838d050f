package wire

import (
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Anybody who reaches the port can open connections, and nobody is known before
// the handshake of a link, or the first call of another service, has shown that
// he knows the token. Until then a connection is a stranger. There are never
// more than maxStrangers, nor any for longer than strangerTime: so whoever opens
// connections and holds them takes little, and does not keep nodes out, whose
// handshakes take milliseconds: for a new stranger the oldest one goes. All nodes
// of a large cluster come at once when it is complete: they are not too many.
//
// Of what a stranger sends strangerBytes are read at most: gRPC would take as
// much as its windows hold, for every stream. Those who know the token show it
// in less than 2 KiB.
const (
	maxStrangers  = 1024
	strangerTime  = 10 * time.Second
	strangerBytes = 64 << 10
)

// errStranger ends a connection that has said too much.
var errStranger = errors.New("wire: a stranger sends more than a handshake")

// strangers is the connections of a port that have proved nothing yet.
type strangers struct {
	mu       sync.Mutex    // guards what follows
	most     int           // maxStrangers; tests have fewer
	patience time.Duration // strangerTime; tests have another
	list     []*stranger   // in the order of coming
}

type stranger struct {
	conn  net.Conn
	timer *time.Timer   // sends it away
	gone  chan struct{} // closed when it was sent away
	known atomic.Bool   // it is none any more
}

// add takes a new connection in, and sends the oldest one away if there are too
// many.
func (s *strangers) add(c net.Conn) *stranger {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) >= s.most {
		s.sendAway(0)
	}
	x := &stranger{conn: c, gone: make(chan struct{})}
	x.timer = time.AfterFunc(s.patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if i := slices.Index(s.list, x); i >= 0 {
			s.sendAway(i)
		}
	})
	s.list = append(s.list, x)
	return x
}

// sendAway closes the connection of a stranger and takes it off the list.
// Preconditions: s.mu is held.
func (s *strangers) sendAway(i int) {
	x := s.list[i]
	x.timer.Stop()
	x.conn.Close()
	close(x.gone)
	s.list = slices.Delete(s.list, i, i+1)
}

// remove takes the connection between two addresses off the list: it has proved
// itself, or is closed.
func (s *strangers) remove(local, remote net.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.DeleteFunc(s.list, func(x *stranger) bool {
		same := x.conn.LocalAddr().String() == local.String() && x.conn.RemoteAddr().String() == remote.String()
		if same {
			x.timer.Stop()
			x.known.Store(true)
		}
		return same
	})
}

// clear forgets all; their owners close them.
func (s *strangers) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.list {
		x.timer.Stop()
	}
	s.list = nil
}
