package node

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/coord"
)

// A temporary segment ends with the attachment that has created it: its node takes
// it out of the store when the connection ends, which it does however the program
// does. With the node the cluster ends, and all segments with it. Nobody else
// decides that an owner is gone.

const ownerFormat = "node %d, attachment %d"

// owner names the attachment in the records of its temporary segments.
func (a *application) owner() string { return fmt.Sprintf(ownerFormat, a.node.id, a.party) }

// stale says whether a segment is temporary and its owner, at this node, has ended:
// it is about to be removed, and does not stand in anybody's way.
func (n *Node) stale(s coord.Segment) bool {
	var node, party uint64
	if c, err := fmt.Sscanf(s.Owner, ownerFormat, &node, &party); c != 2 || err != nil || node != uint64(n.id) {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for a := range n.apps {
		if a.party == party {
			return a.processEnded()
		}
	}
	return true
}

// processEnded says whether the process has ended.
// Preconditions: Node.mu is held, and Node.apps has the application: its descriptor
// is open.
func (a *application) processEnded() bool {
	if a.process < 0 {
		return true // it was gone when it was accepted
	}
	fds := []unix.PollFd{{Fd: int32(a.process), Events: unix.POLLIN}}
	n, _ := unix.Poll(fds, 0)
	return n > 0
}

// disownPause is between attempts to remove temporary segments while the store does
// not answer.
const disownPause = time.Second

// endTemporary removes what is there of an owner's temporary segments, and goes on
// until that is done: the store may be away.
func (n *Node) endTemporary(owner string, names map[string]bool) {
	if len(names) == 0 {
		return
	}
	n.tasks.Add(1)
	go func() {
		defer n.tasks.Done()
		told := false
		for name := range names {
			for !n.disowned(name, owner, &told) {
				select {
				case <-time.After(disownPause):
				case <-n.ctx.Done():
					return
				}
			}
		}
	}()
}

// disowned says whether a segment of the owner is gone, and tells once why not.
func (n *Node) disowned(name, owner string, told *bool) bool {
	err := n.config.Disown(n.ctx, name, owner)
	for _, over := range []error{coord.ErrEnded, coord.ErrReplaced, coord.ErrClosed} {
		if errors.Is(err, over) {
			return true
		}
	}
	if err != nil && n.ctx.Err() == nil && !*told {
		n.log.Warn("temporary segments of a program that has ended cannot be removed yet", "segment", name, "error", err)
		*told = true
	}
	return err == nil
}
