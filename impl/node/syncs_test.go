package node

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/protocol"
)

// attached is an application of the node whose process reads every answer and
// looks at none.
func attached(t *testing.T, n *Node, party uint64) *application {
	t.Helper()
	l, err := client.Listen(filepath.Join(t.TempDir(), "attach"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	process, err := net.Dial("unixpacket", l.Path())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { process.Close(); conn.Close() })
	go io.Copy(io.Discard, process)
	return &application{node: n, conn: conn, party: party}
}

// acquire asks for the lock.
func (a *application) acquire(id uint64, name string, timeout time.Duration) {
	a.syncRequest(&attachpb.Request{Id: id, Body: &attachpb.Request_LockAcquire{
		LockAcquire: &attachpb.LockAcquire{Name: name, TimeoutNs: uint64(timeout)}}})
}

// TestShortTimeouts: an acquire whose time is over at once is answered all the
// same. Were the timer set before the request begins, it might find nothing to
// take back, and the request would wait for a lock that nobody gives up. Here
// that is likely on two processors, since acquires and timers contend for one
// mutex.
func TestShortTimeouts(t *testing.T) {
	n := &Node{conf: &protocol.Configuration{Epoch: 1, Members: protocol.Founders(1), Fanout: 2,
		Slots: protocol.DealSlots(1, protocol.Founders(1))}, incarnation: 1}
	n.startSyncs()
	const rounds, locks = 100, 100
	name := func(i int) string { return fmt.Sprint("lock", i) }
	holder := attached(t, n, 1)
	for i := range locks {
		holder.acquire(uint64(1+i), name(i), 0)
	}
	waiters := []*application{attached(t, n, 2), attached(t, n, 3), attached(t, n, 4), attached(t, n, 5)}
	for round := range rounds {
		var asking sync.WaitGroup
		for _, a := range waiters {
			asking.Go(func() {
				for i := range locks {
					a.acquire(uint64(1+round*locks+i), name(i), time.Nanosecond)
				}
			})
		}
		asking.Wait()
		for timersLeft(n) {
			runtime.Gosched()
		}
		for _, a := range waiters {
			if a.outstanding != 0 {
				t.Fatalf("party %d, round %d: the time of every acquire is over, and %d of %d were not answered", a.party, round, a.outstanding, locks)
			}
		}
	}
}

// timersLeft: the time of some acquire is not over yet.
func timersLeft(n *Node) bool {
	n.syncs.mu.Lock()
	defer n.syncs.mu.Unlock()
	return len(n.syncs.timers) > 0
}
