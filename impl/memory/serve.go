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
func (m *Mapping) Serve(handle func([]Fault)) error {
	if !m.enter() {
		return nil
	}
	defer m.leave()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var (
		msgs   [batchSize]uffdMsg
		faults = make([]Fault, 0, batchSize)
		fds    = [2]unix.PollFd{{Fd: int32(m.uffd), Events: unix.POLLIN}, {Fd: int32(m.stop), Events: unix.POLLIN}}
	)
	for {
		if errno := ppoll(fds[:]); errno != 0 {
			if errno == unix.EINTR {
				continue
			}
			return fmt.Errorf("mome: memory: serve %s: ppoll: %w", m.name, errno)
		}
		if fds[1].Revents != 0 || fds[0].Revents&(unix.POLLHUP|unix.POLLNVAL) != 0 {
			return nil
		}
		if fds[0].Revents&unix.POLLERR != 0 {
			return fmt.Errorf("mome: memory: serve %s: the userfaultfd is in blocking mode or was never set up", m.name)
		}
		n, errno := uffdRead(m.uffd, msgs[:])
		switch errno {
		case 0:
		case unix.EAGAIN, unix.EINTR:
			// The access that was announced is over: it was woken, or the
			// thread was interrupted.
			continue
		default:
			return fmt.Errorf("mome: memory: serve %s: read: %w", m.name, errno)
		}
		faults = m.decode(faults[:0], msgs[:n])
		if len(faults) > 0 {
			handle(faults)
		}
	}
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
		page, ok := addr.PageOf(uintptr(msg.address))
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
