package node

import (
	"testing"

	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/wire"
)

// A message about a segment that came and went between two views waits for the
// view that tells of it, and no longer.
func TestEarlyMessageOfSegmentMissed(t *testing.T) {
	nodes := startNodes(t, 2, func(*Config) {})
	n, peer := nodes[0], nodes[1]
	missed := protocol.Message{Kind: protocol.Req, Op: protocol.OpRead, Page: 5, Generation: 3, From: peer.leaf(), To: n.root(),
		FromIncarnation: peer.incarnation, ToIncarnation: n.incarnation, Epoch: n.config.View().Epoch, Term: 1}
	links{n}.Deliver(peer.id, &wire.Frame{Messages: []protocol.Message{missed}, Pages: [][]byte{nil}})
	if got := n.tables()["early messages"]; got != 1 {
		t.Fatalf("%d messages wait for the segment of generation 3, want 1", got)
	}
	v := *n.config.View()
	v.Rev++
	v.Generation = 3
	if err := n.apply(&v); err != nil {
		t.Fatal(err)
	}
	if got := n.tables()["early messages"]; got != 0 {
		t.Errorf("%d messages wait for a segment that is gone", got)
	}
	n.applying.Lock()
	defer n.applying.Unlock()
	if n.conf.Generation != 3 {
		t.Errorf("generation %d is in force, want 3", n.conf.Generation)
	}
}
