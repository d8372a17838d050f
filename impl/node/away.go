package node

import (
	"fmt"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
)

// away is how long nothing was heard of a node; zero if it is not away.
func (n *Node) away(peer addr.NodeID) time.Duration {
	select {
	case <-n.connected:
	default:
		return 0 // the node is not formed yet
	}
	if l := n.wireLink(peer); l != nil {
		return l.Away()
	}
	return 0
}

// checkAway is an error for a node that is away: whoever asks it waits in vain.
func (n *Node) checkAway(peer addr.NodeID) error {
	if silent := n.away(peer); silent > 0 {
		return fmt.Errorf("it is away: %s", n.silence(silent, n.cfg.Repair-silent))
	}
	return nil
}

func (n *Node) silence(silent, left time.Duration) string {
	return fmt.Sprintf("nothing heard for %s; the run ends if it is not back in %s", seconds(silent), seconds(max(left, 0)))
}

// seconds is a time as people read it.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// wentAway and cameBack are told of a peer that was silent for long, and of its
// first word then.
func (n *Node) wentAway(peer addr.NodeID, silent, left time.Duration) {
	n.log.Warn(fmt.Sprintf("node %d is away: %s", peer, n.silence(silent, left)))
}

func (n *Node) cameBack(peer addr.NodeID, silent time.Duration) {
	n.log.Info(fmt.Sprintf("node %d is back: nothing was heard for %s", peer, seconds(silent)))
}
