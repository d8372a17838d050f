//go:build linux

package memory

import (
	"fmt"
	"runtime"

	"github.com/mome-dsm/mome/impl/addr"
	"golang.org/x/sys/unix"
)

// Kind is why an access faulted.
type Kind uint8

const (
	// Missing: the page is a hole of the segment.
	Missing Kind = iota
	// Minor: the page is in the segment, but not in this mapping.
	Minor
	// WriteProtect: the mapping has the page and may not store to it.
	WriteProtect
)

func (k Kind) String() string {
	switch k {
	case Missing:
		return "missing"
	case Minor:
		return "minor"
	case WriteProtect:
		return "write-protect"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Fault is one thread's access that waits. The kind is how things stood when
// the access was made, and may be out of date when it is read. One access may
// fault many times over: a goroutine that is preempted while it waits asks
// again, so whoever answers faults keeps a table of what is under way.
type Fault struct {
	Page   addr.PageNum
	Thread int32 // the faulting thread's id
	Write  bool
	Kind   Kind
}

func (f Fault) String() string {
	access := "load"
	if f.Write {
		access = "store"
	}
	return fmt.Sprintf("%v: %s, %v, thread %d", f.Page, access, f.Kind, f.Thread)
}

// batchSize bounds how many faults one read takes up. A burst of more is taken
// up by the next read.
const batchSize = 64

// Serve hands the mapping's faults to handle, in batches of up to 64, until
// Detach or Close, and then returns nil. It keeps its goroutine on one OS
// thread from beginning to end; only one Serve runs on a mapping at a time.
//
// handle runs on that thread, and no further fault of the application is read
// before it returns: it must hold no lock that whoever answers faults holds
// while it waits for I/O. The slice is valid until it returns.
//
// An application's death raises no event here: its userfaultfd is held by
// Serve, and stays silent. Who watches the application's socket calls Detach.
//
// The thread waits in read, not in poll: that saves one of the two system
// calls that a fault needs besides the answer's. stopServing ends the wait.
func (m *Mapping) Serve(handle func([]Fault)) error {
	if !m.enter() {
		return nil
	}
	defer m.leave()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m.setServer(unix.Gettid())
	defer m.setServer(0)
	var (
		msgs   [batchSize]uffdMsg
		faults = make([]Fault, 0, batchSize)
	)
	for !m.stopping.Load() {
		n, errno := uffdRead(m.uffd, msgs[:])
		switch errno {
		case 0:
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			// Non-blocking is how stopServing and the application left it. If
			// stopServing is under way, stopping is set already.
			if err := unix.SetNonblock(m.uffd, false); err != nil {
				return fmt.Errorf("mome: memory: serve %s: %w", m.name, err)
			}
			continue
		default:
			return fmt.Errorf("mome: memory: serve %s: read: %w", m.name, errno)
		}
		faults = m.decode(faults[:0], msgs[:n])
		if len(faults) > 0 {
			handle(faults)
		}
	}
	return nil
}

func (m *Mapping) setServer(tid int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if tid != 0 && m.server != 0 {
		panic(fmt.Sprintf("mome: memory: %s is served by thread %d already", m.name, m.server))
	}
	m.server = tid
}

// stopServing ends a read of the userfaultfd, which nothing but a signal can
// do: not even closing the descriptor. The read is made non-blocking before
// the signal. So a read that starts later returns at once; one that waits is
// interrupted, and it does not matter whether the kernel starts it again; and
// the signal cannot come too early. SIGURG is the signal by which Go preempts
// goroutines: it has a handler in every Go program, and means nothing when it
// comes unasked.
func (m *Mapping) stopServing() {
	m.stopping.Store(true)
	if !m.enter() {
		return
	}
	defer m.leave()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.server == 0 {
		return
	}
	unix.SetNonblock(m.uffd, true)
	unix.Tgkill(unix.Getpid(), m.server, unix.SIGURG)
}

// decode appends the faults among messages. What lies outside the segment is
// nothing that anybody could answer.
func (m *Mapping) decode(faults []Fault, msgs []uffdMsg) []Fault {
	for i := range msgs {
		msg := &msgs[i]
		if msg.event != eventPagefault {
			if msg.event == eventFork {
				// Attach refuses a descriptor that sends these; the read has
				// made a new descriptor, and it would leak.
				unix.Close(int(uint32(msg.flags)))
			}
			continue
		}
		page, ok := m.segment.space.PageOf(uintptr(msg.address))
		if !ok || page < m.segment.first || int64(page-m.segment.first) >= m.segment.pages {
			continue
		}
		kind := Missing
		switch {
		case msg.flags&faultWP != 0:
			kind = WriteProtect
		case msg.flags&faultMinor != 0:
			kind = Minor
		}
		faults = append(faults, Fault{Page: page, Thread: int32(msg.ptid), Write: msg.flags&faultWrite != 0, Kind: kind})
	}
	return faults
}
