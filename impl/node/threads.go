package node

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mome-dsm/mome/internal/limits"
)

// MaxServed is how many programs and mappings a node serves at a time: each has a
// thread of the node's that sleeps in the kernel for it.
const MaxServed = 16_000

// MaxThreads is how many threads a node's process may need: the rest of them is
// for its links and for the Go runtime, which ends a process beyond its own limit
// (debug.SetMaxThreads).
const MaxThreads = MaxServed + 4_000

var errServants = errors.New("too many are attached")

const (
	// ownThreads is what a node leaves of the room that the machine has for
	// threads: the Go runtime, which starts one whenever all others are in system
	// calls, ends a process that is refused one.
	ownThreads = 32
	// stackSpace is the address space of a thread's stack, by default.
	stackSpace = 8 << 20
	// roomTime is how long a look at the room is believed: others use it too.
	roomTime = time.Second
)

// servants counts the threads that serve programs and mappings. A thread ends
// with what it serves.
type servants struct {
	mu     sync.Mutex // guards what follows
	most   int
	taken  int
	room   int64     // how many may be taken without another look, until looked at
	looked time.Time // is roomTime ago
}

// take has one thread more, or is an error that says why there is none.
func (s *servants) take() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken >= s.most {
		return &limits.Shortage{What: "thread", Limit: fmt.Sprintf("this node serves %d programs and mappings, as many as a node can", s.taken),
			Remedy: "end programs or close segments", Err: errServants}
	}
	if now := time.Now(); s.room == 0 || now.Sub(s.looked) > roomTime {
		room := limits.Threads()
		left := room.Threads - ownThreads
		if left <= 0 {
			return room.NoRoom()
		}
		if err := limits.Space(stackSpace, limits.ForThread); err != nil {
			return err
		}
		// Half: another node on this machine looks too.
		s.room, s.looked = min((left+1)/2, ownThreads/2), now
	}
	s.room--
	s.taken++
	return nil
}

// give has one thread less.
func (s *servants) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
}

// check says whether take would have a thread.
func (s *servants) check() error {
	err := s.take()
	if err == nil {
		s.give()
	}
	return err
}
