//go:build linux

package memory

import "sync/atomic"

// lifetime counts who uses a file descriptor, so that it is closed when it was
// given up and its last use is over, and never while a concurrent system call
// could meet another file under the same number. The zero value is open.
type lifetime struct {
	// users is the number of uses, plus ended once the owner has given up.
	users  atomic.Int64
	closed atomic.Bool // the descriptor's one closer has been chosen
}

const ended = -1 << 62

// enter begins a use. It says false when the owner has given up. The second
// result is then true if the caller is the one to close the descriptor.
func (l *lifetime) enter() (ok, last bool) {
	if l.users.Add(1) > 0 {
		return true, false
	}
	return false, l.leave()
}

// leave ends a use, and says whether the caller must close the descriptor.
func (l *lifetime) leave() (last bool) {
	return l.users.Add(-1) == ended && l.closed.CompareAndSwap(false, true)
}

// end gives the descriptor up, once, and says whether the caller must close
// it at once; else the last use does.
func (l *lifetime) end() (last bool) {
	for {
		v := l.users.Load()
		if v < 0 {
			return false
		}
		if l.users.CompareAndSwap(v, v+ended) {
			return v == 0 && l.closed.CompareAndSwap(false, true)
		}
	}
}
