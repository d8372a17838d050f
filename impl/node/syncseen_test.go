package node

import (
	"fmt"
	"testing"

	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/protocol"
)

// TestSeenIsBounded: names and times go with the locks that they belong to, and
// not before.
func TestSeenIsBounded(t *testing.T) {
	n := &Node{conf: &protocol.Configuration{Epoch: 1, Members: protocol.Founders(1), Fanout: 2,
		Slots: protocol.DealSlots(1, protocol.Founders(1))}, incarnation: 1}
	n.startSyncs()
	a := attached(t, n, 1)
	a.acquire(1, "kept", 0)
	for i := range uint64(10 * seenLeast) {
		name := fmt.Sprint("lock", i)
		a.acquire(2*i+2, name, 0)
		fence := n.syncs.core.Lock(Object("lock", name)).Fence
		a.syncRequest(&attachpb.Request{Id: 2*i + 3, Body: &attachpb.Request_LockRelease{
			LockRelease: &attachpb.LockRelease{Name: name, Fence: fence}}})
	}
	s := &n.syncs.seen
	if all := len(s.names) + len(s.claims); all > seenLeast+2 {
		t.Errorf("%d names and times are remembered of one lock", all)
	}
	if s.names[Object("lock", "kept")] != "kept" || s.claims[request{1, 1}].granted.IsZero() {
		t.Error("the name of a lock that is held is forgotten, or since when it is")
	}
}
