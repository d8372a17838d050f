package node

import (
	"container/heap"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/addr"
)

// residences holds recalls back for the rest of a page's residence: a page
// stays at least Config.Residence with who was granted it, so that the access
// that asked for it completes. It has a thread of its own, because a Go timer
// of an idle process is exact to a millisecond only.
type residences struct {
	node *Node
	wake int // eventfd: something earlier than all was added, or the end; written under mu unless closed

	mu     sync.Mutex // guards queue and closed
	queue  dueQueue
	closed bool
}

// due is something to do at a moment: end the residence of a page, or try again
// to give a process access.
type due struct {
	at         time.Time
	page       addr.PageNum
	generation uint64 // of a residence: the page's
	n          int64
	mapping    *mapping // nil: a residence
}

type dueQueue []due

func (q dueQueue) Len() int           { return len(q) }
func (q dueQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q dueQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *dueQueue) Push(x any)        { *q = append(*q, x.(due)) }
func (q *dueQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

func newResidences(n *Node) (*residences, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return &residences{node: n, wake: fd}, nil
}

// add ends the residence of the page after the time left.
func (r *residences) add(p addr.PageNum, generation uint64, left time.Duration) {
	r.push(due{at: time.Now().Add(left), page: p, generation: generation})
}

// retry gives a mapping that was changing access to pages, a little later.
func (r *residences) retry(m *mapping, p addr.PageNum, n int64) {
	r.push(due{at: time.Now().Add(time.Millisecond), page: p, n: n, mapping: m})
}

func (r *residences) push(d due) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return // the descriptor may be another's by now
	}
	heap.Push(&r.queue, d)
	if r.queue[0] == d {
		r.signal()
	}
}

func (r *residences) signal() {
	one := [8]byte{1}
	_, _ = unix.Write(r.wake, one[:])
}

func (r *residences) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.signal()
}

func (r *residences) serve() {
	defer r.node.tasks.Done()
	defer unix.Close(r.wake)
	runtime.LockOSThread()
	// The kernel may else wake it 50 us late, or what its maker's slack is.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	for {
		left, open := r.catchUp()
		if !open {
			return
		}
		var timeout *unix.Timespec
		if left != idle {
			ts := unix.NsecToTimespec(int64(left))
			timeout = &ts
		}
		r.sleep(timeout)
	}
}

// idle is for how long there is nothing to do where nothing is queued.
const idle = time.Duration(-1)

// catchUp does all that is due, and says for how long there is nothing to do then;
// it is not open at the end.
func (r *residences) catchUp() (left time.Duration, open bool) {
	for {
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			return 0, false
		}
		left = idle
		if len(r.queue) > 0 {
			if left = max(time.Until(r.queue[0].at), 0); left == 0 {
				d := heap.Pop(&r.queue).(due)
				r.mu.Unlock()
				r.do(d)
				continue
			}
		}
		r.mu.Unlock()
		return left, true
	}
}

// sleep waits for so long, nil is for ever, or until it is woken, and says which.
func (r *residences) sleep(timeout *unix.Timespec) (woken bool) {
	fds := []unix.PollFd{{Fd: int32(r.wake), Events: unix.POLLIN}}
	k, _ := unix.Ppoll(fds, timeout, nil)
	if k > 0 {
		var buf [8]byte
		_, _ = unix.Read(r.wake, buf[:])
	}
	return k > 0
}

func (r *residences) do(d due) {
	if d.mapping == nil {
		r.node.shardOf(d.page).post(errand{kind: errandResidence, page: d.page, generation: d.generation})
		return
	}
	// The right may have gone meanwhile: the process asks again.
	for p := d.page; p < d.page+addr.PageNum(d.n); p++ {
		r.node.shardOf(p).post(errand{kind: errandWake, mapping: d.mapping, page: p})
	}
}
