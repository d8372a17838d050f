package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/memory"
)

// foreign is a client that speaks the attach protocol by hand and need not keep
// its rules.
type foreign struct {
	conn  *net.UnixConn
	watch int // not armed
	id    uint64
}

func attachForeign(socket string) (*foreign, error) {
	c, err := net.Dial("unixpacket", socket)
	if err != nil {
		return nil, err
	}
	f := &foreign{conn: c.(*net.UnixConn), watch: -1}
	_, fds, err := f.call(&attachpb.Request{Body: &attachpb.Request_Hello{Hello: &attachpb.Hello{Version: client.Version, Program: "foreign"}}})
	if err == nil {
		f.watch = fds[0]
	}
	return f, err
}

func (f *foreign) close() {
	f.conn.Close()
	unix.Close(f.watch)
}

func (f *foreign) send(r *attachpb.Request, fds ...int) error {
	f.id++
	r.Id = f.id
	b, err := client.EncodeRequest(r)
	if err != nil {
		return err
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	_, _, err = f.conn.WriteMsgUnix(b, oob, nil)
	return err
}

// receive is the next reply and its descriptors.
func (f *foreign) receive() (*attachpb.Reply, []int, error) {
	buf, oob := make([]byte, client.MaxPacket), make([]byte, 128)
	if err := f.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, nil, err
	}
	n, oobn, _, _, err := f.conn.ReadMsgUnix(buf, oob)
	if err != nil {
		return nil, nil, err
	}
	var fds []int
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	for i := range messages {
		got, e := unix.ParseUnixRights(&messages[i])
		fds, err = append(fds, got...), errors.Join(err, e)
	}
	if err != nil {
		return nil, nil, err
	}
	reply, err := client.DecodeReply(buf[:n], len(fds))
	return reply, fds, err
}

// call is a request and its reply, with no other one under way.
func (f *foreign) call(r *attachpb.Request, fds ...int) (*attachpb.Reply, []int, error) {
	if err := f.send(r, fds...); err != nil {
		return nil, nil, err
	}
	reply, got, err := f.receive()
	if e := reply.GetError(); err == nil && e != nil {
		err = errors.New(e.Message)
	}
	return reply, got, err
}

// fill sends requests without reading the replies, until the node has so many
// packets for it that its socket took no more of them long ago.
func (f *foreign) fill() error {
	const packets = 2000 // a socket takes some hundred
	for range packets {
		if err := f.send(&attachpb.Request{Body: &attachpb.Request_Stats{Stats: &attachpb.Stats{}}}); err != nil {
			return err
		}
	}
	return nil
}

// mapSegment maps a segment and has the node serve its faults.
func (f *foreign) mapSegment(s *attachpb.Segment) error {
	_, fds, err := f.call(&attachpb.Request{Body: &attachpb.Request_Map{Map: &attachpb.Map{Segment: s.Ref}}})
	if err != nil {
		return err
	}
	defer unix.Close(fds[0])
	view, err := memory.Map(fds[0], addr.DefaultBase, addr.PageNum(s.FirstPage), int64(s.Pages))
	if err != nil {
		return err
	}
	_, _, err = f.call(&attachpb.Request{Body: &attachpb.Request_Registered{Registered: &attachpb.Registered{Segment: s.Ref}}}, view.Uffd())
	return err
}

func acquire(name string) *attachpb.Request {
	return &attachpb.Request{Body: &attachpb.Request_LockAcquire{LockAcquire: &attachpb.LockAcquire{Name: name}}}
}

func create(name string) *attachpb.Request {
	return &attachpb.Request{Body: &attachpb.Request_Create{Create: &attachpb.Create{Name: name, Size: addr.PageSize}}}
}

func foreignAt(t *testing.T, n *Node) *foreign {
	t.Helper()
	f, err := attachForeign(n.cfg.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	return f
}

func (f *foreign) must(t *testing.T, r *attachpb.Request) *attachpb.Reply {
	t.Helper()
	reply, _, err := f.call(r)
	if err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	return reply
}

// await waits until a condition that other goroutines bring about holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func awaitEnd(t *testing.T, n *Node) {
	t.Helper()
	select {
	case <-n.Ended():
	case <-time.After(patience):
		t.Fatalf("node %d has not ended", n.ID())
	}
}

// TestUnreadReplies has a program that does not read what it is sent: it holds up
// nobody else, neither locks nor links nor the end of the node.
func TestUnreadReplies(t *testing.T) {
	nodes := startNodes(t, 2, func(*Config) {})
	deaf, good, third, far := foreignAt(t, nodes[0]), foreignAt(t, nodes[0]), foreignAt(t, nodes[0]), foreignAt(t, nodes[1])
	fence := good.must(t, acquire("a")).GetLock().Fence
	if err := deaf.send(acquire("a")); err != nil {
		t.Fatal(err)
	}
	if err := deaf.fill(); err != nil {
		t.Fatal(err)
	}
	good.must(t, &attachpb.Request{Body: &attachpb.Request_LockRelease{LockRelease: &attachpb.LockRelease{Name: "a", Fence: fence}}})
	third.must(t, acquire("b"))
	for i := range 8 { // of which some have their home at node 0
		far.must(t, acquire(fmt.Sprint("far ", i)))
	}
	// Whatever it was sent is there, in order, when it reads after all.
	for last := uint64(0); last < deaf.id; {
		reply, _, err := deaf.receive()
		if err != nil {
			t.Fatal(err)
		}
		if reply.GetLock() != nil {
			continue // its request came first, the answer when the lock was free
		}
		if last == 0 {
			last = 2 // Hello and the lock
		}
		if last++; reply.Id != last {
			t.Fatalf("reply %d, want %d", reply.Id, last)
		}
	}
	if err := deaf.fill(); err != nil {
		t.Fatal(err)
	}
	nodes[0].fail(errors.New("a test"))
	awaitEnd(t, nodes[0])
}

// TestUnreadRemoval has such a program map a segment that is removed.
func TestUnreadRemoval(t *testing.T) {
	nodes := startNodes(t, 1, func(*Config) {})
	deaf, other := startProgram(t, nodes[0]), foreignAt(t, nodes[0])
	deaf.mayFail = true
	deaf.do("deaf")
	other.must(t, &attachpb.Request{Body: &attachpb.Request_Remove{Remove: &attachpb.Remove{Name: "deaf"}}})
	next := other.must(t, create("next")).GetSegment()
	other.must(t, &attachpb.Request{Body: &attachpb.Request_Map{Map: &attachpb.Map{Segment: next.Ref}}})
}

// mapDeaf maps a segment and reads no replies any more.
func mapDeaf(socket string) error {
	f, err := attachForeign(socket)
	if err != nil {
		return err
	}
	reply, _, err := f.call(create("deaf"))
	if err != nil {
		return err
	}
	return errors.Join(f.mapSegment(reply.GetSegment()), f.fill())
}

// TestTooManyUnread has a program that never reads: the node hangs up on it in the
// end, and keeps nothing of it.
func TestTooManyUnread(t *testing.T) {
	n := startNodes(t, 1, func(*Config) {})[0]
	f := foreignAt(t, n)
	for f.fill() == nil {
	}
	await(t, "the program is gone", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.apps) == 0
	})
	if err := n.Err(); err != nil {
		t.Error(err)
	}
}

// TestForeignGone has a client hang up that has neither armed its watch nor given
// it up, which is its right while it has mapped nothing.
func TestForeignGone(t *testing.T) {
	n := startNodes(t, 1, func(*Config) {})[0]
	f := foreignAt(t, n)
	if _, err := f.conn.Write([]byte("no request")); err != nil {
		t.Fatal(err)
	}
	await(t, "the client is gone", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.apps) == 0
	})
	if err := n.Err(); err != nil {
		t.Error(err)
	}
}

// TestManyRequests has more requests wait than a process may have: those beyond
// are refused one by one.
func TestManyRequests(t *testing.T) {
	n := startNodes(t, 1, func(*Config) {})[0]
	holder, f := foreignAt(t, n), foreignAt(t, n)
	const surplus = 3
	join := &attachpb.Request{Body: &attachpb.Request_BarrierJoin{BarrierJoin: &attachpb.BarrierJoin{Name: "b", Parties: client.MaxOutstanding + surplus + 1}}}
	holder.must(t, join)
	for i := range uint32(client.MaxOutstanding + surplus) {
		join.GetBarrierJoin().Party = i + 1
		f.must(t, join)
	}
	for i := range uint32(client.MaxOutstanding + surplus) {
		if err := f.send(&attachpb.Request{Body: &attachpb.Request_BarrierWait{BarrierWait: &attachpb.BarrierWait{
			Name: "b", Party: i + 1, Parties: client.MaxOutstanding + surplus + 1, Round: 1}}}); err != nil {
			t.Fatal(err)
		}
	}
	for range surplus {
		reply, _, err := f.receive()
		if err != nil || reply.GetError().GetCode() != attachpb.Code_CODE_INVALID {
			t.Fatalf("%v, %v", reply, err)
		}
	}
	// The connection lives, and so do those that wait.
	f.must(t, &attachpb.Request{Body: &attachpb.Request_Stats{Stats: &attachpb.Stats{}}})
}

// TestRegisteredRemoved has a segment go away between Map and Registered.
func TestRegisteredRemoved(t *testing.T) {
	n := startNodes(t, 1, func(*Config) {})[0]
	f, other := foreignAt(t, n), foreignAt(t, n)
	s := f.must(t, create("s")).GetSegment()
	_, fds, err := f.call(&attachpb.Request{Body: &attachpb.Request_Map{Map: &attachpb.Map{Segment: s.Ref}}})
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	view, err := memory.Map(fds[0], addr.DefaultBase, addr.PageNum(s.FirstPage), int64(s.Pages))
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	other.must(t, &attachpb.Request{Body: &attachpb.Request_Remove{Remove: &attachpb.Remove{Name: "s"}}})
	await(t, "the node has removed it", func() bool { return n.segments.Load().pages.Len() == 0 })
	reply, _, err := f.call(&attachpb.Request{Body: &attachpb.Request_Registered{Registered: &attachpb.Registered{Segment: s.Ref}}}, view.Uffd())
	if reply.GetError().GetCode() != attachpb.Code_CODE_REMOVED {
		t.Fatalf("%v, %v", reply, err)
	}
}

// TestMemoryFails has the memory of a node refuse content that its core takes for
// received: nobody is sent what is there instead.
func TestMemoryFails(t *testing.T) {
	nodes := startNodes(t, 2, func(*Config) {})
	a, b := startProgram(t, nodes[0]), startProgram(t, nodes[1])
	a.mayFail, b.mayFail = true, true
	a.do("store")
	b.do("open")
	// Writes to the memfd of node 1 fail from here on; loads of its mapping do not.
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	fd := nodes[1].segment(0).file.FD()
	if err := unix.Dup3(int(null.Fd()), fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	// The first page of what is read ahead is not mapped at once: its content is
	// written to the memfd.
	b.begin("sequence 4")
	await(t, "node 1 has failed", func() bool { return nodes[1].Err() != nil })
	a.begin("sum")
	awaitEnd(t, nodes[1])
	nodes[1].Close()
	awaitEnd(t, nodes[0])
	nodes[0].Close()
	if answer := a.rest(); answer != "" {
		t.Errorf("a program of the other node has read the pages: it says %q", answer)
	}
}

// TestStopTells stops a node under a program: it is told, and ends by itself.
func TestStopTells(t *testing.T) {
	n := startNodes(t, 1, func(*Config) {})[0]
	p := startProgram(t, n)
	p.mayFail = true
	p.do("store")
	n.Close()
	if p.rest() != "" {
		t.Error("it says something")
	}
	var exit *exec.ExitError
	if err := p.wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("the program ends with %v, want status 1", err)
	}
}

// TestFailureTravels has a node fail: a peer without programs ends with its
// reason, and not as if it had been stopped.
func TestFailureTravels(t *testing.T) {
	nodes := startNodes(t, 3, func(*Config) {})
	nodes[1].fail(errors.New("the disk is on fire"))
	for _, n := range nodes {
		awaitEnd(t, n)
		if err := n.Err(); err == nil || !strings.Contains(err.Error(), "the disk is on fire") {
			t.Errorf("node %d: %v", n.ID(), err)
		}
	}
}
