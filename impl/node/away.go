package node

import (
	"fmt"
	"sync"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/internal/limits"
)

// away is how long nothing was heard of a node; zero if it is not away.
func (n *Node) away(peer addr.NodeID) time.Duration {
	if p := n.peer(peer); p != nil && p.wireLink() != nil {
		return p.wireLink().Away()
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
	n.absences.begin(peer)
	n.log.Warn(fmt.Sprintf("node %d is away: %s", peer, n.silence(silent, left)))
}

func (n *Node) cameBack(peer addr.NodeID, silent time.Duration) {
	n.log.Info(fmt.Sprintf("node %d is back: nothing was heard for %s%s", peer, seconds(silent), n.absences.end(peer, n.id)))
}

// absences are what this process had when peers were called away. Where it had no
// processor for long since then, the network is not all that was in the way.
type absences struct {
	read func() limits.Waits

	mu    sync.Mutex
	peers map[addr.NodeID]absence // guarded by mu
}

type absence struct {
	began time.Time
	waits limits.Waits
}

func newAbsences(read func() limits.Waits) *absences {
	return &absences{read: read, peers: make(map[addr.NodeID]absence)}
}

func (a *absences) begin(peer addr.NodeID) {
	waits := a.read()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.peers[peer] = absence{time.Now(), waits}
}

// end ends the absence of a peer, if there is one, and says that the machine of
// this node was short of processors meanwhile, if it was.
func (a *absences) end(peer, self addr.NodeID) string {
	a.mu.Lock()
	was, ok := a.peers[peer]
	delete(a.peers, peer)
	a.mu.Unlock()
	if !ok {
		return ""
	}
	passed, waited := time.Since(was.began), a.read().Since(was.waits)
	if waited < passed/4 {
		return ""
	}
	return fmt.Sprintf("; in the last %s threads of node %d waited %s in all for a processor: its machine is short of them",
		seconds(passed), self, seconds(waited))
}
