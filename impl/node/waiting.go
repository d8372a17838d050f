package node

import (
	"fmt"
	"time"

	"github.com/mome-dsm/mome/impl/client"
)

// lookForHangup is how often the node looks whether an application still waits for
// the cluster to be complete.
const lookForHangup = 100 * time.Millisecond

// awaitFormation returns true when the node serves. Until then the application is
// told for whom it waits. It is false if the application has given up, or the node
// has.
func (n *Node) awaitFormation(conn *client.Conn) bool {
	waits, changed := n.forming.now()
	if waits == "" {
		return true
	}
	look := time.NewTicker(lookForHangup)
	defer look.Stop()
	told := ""
	for waits != "" {
		if waits != told && conn.WriteWaiting(waits) != nil {
			return false
		}
		told = waits
		select {
		case <-changed:
			waits, changed = n.forming.now()
		case <-look.C:
			if conn.HungUp() {
				return false
			}
		case <-n.ctx.Done():
			// It may have hung up.
			_ = conn.WriteError(0, fmt.Errorf("%w: the node was stopped, or failed, before its cluster was complete", client.ErrClusterFailed))
			return false
		}
	}
	return true
}
