package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/memory"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(t *testing.T) *Listener {
	t.Helper()
	l, err := Listen(filepath.Join(t.TempDir(), "attach"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// attach is both ends of a greeted connection, and the node's end of the watch.
func attach(t *testing.T, config Config) (*Client, *Conn, int) {
	t.Helper()
	l := listen(t)
	type node struct {
		conn *Conn
		far  int
		err  error
	}
	nodes := make(chan node, 1)
	go func() {
		conn, far, err := welcome(l)
		nodes <- node{conn, far, err}
	}()
	if config.Guard == nil {
		config.Guard = func(int) error { return nil }
	}
	app, err := Dial(context.Background(), l.Path(), config)
	n := <-nodes
	if err != nil || n.err != nil {
		t.Fatal(err, n.err)
	}
	t.Cleanup(func() {
		app.Close()
		n.conn.Close()
		unix.Close(n.far)
	})
	return app, n.conn, n.far
}

func welcome(l *Listener) (*Conn, int, error) {
	conn, err := l.Accept()
	if err != nil {
		return nil, -1, err
	}
	req, _, err := conn.ReadRequest()
	if err != nil {
		return nil, -1, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, err
	}
	defer unix.Close(pair[1])
	return conn, pair[0], conn.WriteReply(&attachpb.Reply{Id: req.Id, Body: &attachpb.Reply_Welcome{Welcome: &attachpb.Welcome{
		Version: Version, Node: 3, Nodes: 5, Cluster: "test",
	}}}, pair[1])
}

func open(name string) *attachpb.Request {
	return &attachpb.Request{Body: &attachpb.Request_Open{Open: &attachpb.Open{Name: name}}}
}

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "attach")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("the socket's mode is %v (%v), want a socket of mode 0600", info.Mode(), err)
	}
	go func(l *Listener) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}(l)
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "already listens") {
		t.Errorf("a second Listen: %v, want that a node already listens", err)
	}
	l.inner.SetUnlinkOnClose(false)
	l.Close()
	if l, err = Listen(path); err != nil { // the file is stale now
		t.Fatalf("Listen on a stale socket: %v", err)
	}
	l.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Close left the socket: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("Listen on a file: %v, want that it is not a socket", err)
	}
}

func TestDialSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := Listen(stale)
	if err != nil {
		t.Fatal(err)
	}
	l.inner.SetUnlinkOnClose(false)
	l.Close()
	stream, err := net.Listen("unix", filepath.Join(dir, "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for path, want := range map[string]string{
		filepath.Join(dir, "none"):   "is the node running?",
		dir:                          "is not a socket",
		stale:                        "the node has ended",
		filepath.Join(dir, "stream"): "not an attach socket",
	} {
		if _, err := Dial(context.Background(), path, Config{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Dial(%s): %v, want %q", path, err, want)
		}
	}
}

func TestPeer(t *testing.T) {
	_, conn, _ := attach(t, Config{})
	if want := (Peer{os.Getpid(), os.Getuid(), os.Getgid()}); conn.Peer() != want {
		t.Errorf("the peer is %v, want %v", conn.Peer(), want)
	}
}

// raw is a connection that says what it likes.
func raw(t *testing.T) (*socket, *Conn) {
	t.Helper()
	l := listen(t)
	c, err := net.Dial(network, l.Path())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	s, err := newSocket(c.(*net.UnixConn))
	c.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s, conn
}

// withoutDescriptors is f in a process that can have no descriptor more.
func withoutDescriptors(t *testing.T, f func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) }()
	least, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(least)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(least), Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	f()
}

// A descriptor that an application has no room for fails the call that it was to
// answer, one that the node has no room for is a request that the node can refuse;
// both go on.
func TestNoRoomForADescriptor(t *testing.T) {
	app, node, far := attach(t, Config{})
	serve := make(chan error, 1)
	go func() {
		serve <- func() error {
			for range 2 {
				req, _, err := node.ReadRequest()
				if err != nil {
					return err
				}
				if err := node.WriteReply(&attachpb.Reply{Id: req.Id, Body: &attachpb.Reply_Mapped{Mapped: &attachpb.Mapped{}}}, far); err != nil {
					return err
				}
			}
			req, fds, err := node.ReadRequest()
			if !errors.Is(err, ErrNoSpace) || !errors.Is(err, unix.EMFILE) || req.GetRegistered() == nil || len(fds) != 0 {
				return fmt.Errorf("%v with %d descriptors, %w", req, len(fds), err)
			}
			if err := node.WriteError(req.Id, err); err != nil {
				return err
			}
			if req, fds, err = node.ReadRequest(); err != nil {
				return err
			}
			closeAll(fds)
			return node.WriteDone(req.Id)
		}()
	}()
	ask := func() (int, error) {
		_, fds, err := app.Call(context.Background(), &attachpb.Request{Body: &attachpb.Request_Map{Map: &attachpb.Map{Segment: &attachpb.SegmentRef{Name: "s"}}}})
		closeAll(fds)
		return len(fds), err
	}
	tell := func() error {
		_, _, err := app.Call(context.Background(), &attachpb.Request{Body: &attachpb.Request_Registered{
			Registered: &attachpb.Registered{Segment: &attachpb.SegmentRef{Name: "s"}}}}, far)
		return err
	}
	withoutDescriptors(t, func() {
		if n, err := ask(); n != 0 || !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "this program: no file descriptor is left: RLIMIT_NOFILE is ") {
			t.Errorf("Map: %d descriptors, %v", n, err)
		}
	})
	if n, err := ask(); n != 1 || err != nil {
		t.Errorf("Map, when there is room again: %d descriptors, %v", n, err)
	}
	withoutDescriptors(t, func() {
		if err := tell(); !errors.Is(err, ErrNoSpace) || strings.Contains(err.Error(), "this program") {
			t.Errorf("Registered: %v", err)
		}
	})
	if err := tell(); err != nil {
		t.Errorf("Registered, when there is room again: %v", err)
	}
	if err := <-serve; err != nil {
		t.Error(err)
	}
}

// A node that cannot keep a descriptor for an application which does not read
// says so, and the application may be told.
func TestNoRoomToKeepADescriptor(t *testing.T) {
	_, node, far := attach(t, Config{})
	reply := &attachpb.Reply{Id: 1 << 40, Body: &attachpb.Reply_Mapped{Mapped: &attachpb.Mapped{}}}
	filled := func() bool {
		node.replies.mu.Lock()
		defer node.replies.mu.Unlock()
		return len(node.replies.waiting) > 0
	}
	for refused := false; !refused; { // again where the application has read meanwhile
		for !filled() {
			if err := node.WriteReply(reply, far); err != nil {
				t.Fatal(err)
			}
		}
		withoutDescriptors(t, func() {
			for filled() && !refused {
				err := node.WriteReply(reply, far)
				if refused = errors.Is(err, ErrNoSpace); err != nil && !refused {
					t.Fatal(err)
				}
			}
		})
	}
	if err := node.WriteDone(1 << 41); err != nil {
		t.Errorf("the connection is over: %v", err)
	}
}

func TestReadRequestRefusesAndHangsUp(t *testing.T) {
	hello := func(version uint32) []byte {
		b, _ := EncodeRequest(&attachpb.Request{Id: 1, Body: &attachpb.Request_Hello{Hello: &attachpb.Hello{Version: version}}})
		return b
	}
	stats, _ := EncodeRequest(&attachpb.Request{Id: 2, Body: &attachpb.Request_Stats{Stats: &attachpb.Stats{}}})
	for _, c := range []struct {
		name    string
		packets [][]byte
		fds     []int // with the last packet
		id      uint64
		want    error
	}{
		{"noise", [][]byte{[]byte("GET / HTTP/1.1\r\n")}, nil, 0, ErrMalformed},
		{"no hello", [][]byte{stats}, nil, 2, ErrMalformed},
		{"another version", [][]byte{hello(Version + 1)}, nil, 1, ErrVersion},
		{"two hellos", [][]byte{hello(Version), hello(Version)}, nil, 1, ErrMalformed},
		{"later before hello", [][]byte{later(9)}, nil, 9, ErrUnsupported},
		{"a descriptor too many", [][]byte{hello(Version), stats}, []int{0}, 0, ErrMalformed},
		{"many descriptors", [][]byte{hello(Version), stats}, []int{0, 0, 0, 0, 0, 0, 0, 0}, 0, ErrMalformed},
		{"too long", [][]byte{make([]byte, MaxPacket+1)}, nil, 0, ErrMalformed},
		{"noise after hello", [][]byte{hello(Version), {0xff}, stats, stats}, nil, 0, ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			app, conn := raw(t)
			before := countFds(t)
			for i, p := range c.packets {
				var fds []int
				if i == len(c.packets)-1 {
					fds = c.fds
				}
				if err := app.write(p, fds, 0); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			for err == nil {
				_, _, err = conn.ReadRequest()
			}
			if !errors.Is(err, c.want) {
				t.Errorf("ReadRequest: %v, want %v", err, c.want)
			}
			packet, _, _, err := app.read(0)
			if err != nil {
				t.Fatalf("no reply: %v", err)
			}
			reply, err := DecodeReply(packet, 0)
			if err != nil || reply.Id != c.id || reply.GetError().GetCode() != CodeOf(c.want) {
				t.Errorf("reply %v (%v), want an error of id %d, %v", reply, err, c.id, CodeOf(c.want))
			}
			if _, _, _, err := app.read(0); err != io.EOF {
				t.Errorf("after the error: %v, want a hang-up", err)
			}
			if after := countFds(t); after != before-1 { // conn was closed
				t.Errorf("%d descriptors, were %d before and one was closed", after, before)
			}
		})
	}
}

func countFds(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestUnsupportedRequestGoesOn(t *testing.T) {
	app, conn, _ := attach(t, Config{})
	go func() {
		req, _, err := conn.ReadRequest() // answers the first by itself
		if err == nil {
			conn.WriteDone(req.Id)
		}
	}()
	ch := make(chan answer, 1)
	app.mu.Lock()
	app.waiting[77] = ch
	app.mu.Unlock()
	if err := app.socket.write(later(77), nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := (<-ch).unpack(); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a later request: %v, want ErrUnsupported", err)
	}
	if _, _, err := app.Call(context.Background(), open("x")); err != nil {
		t.Errorf("the next request: %v", err)
	}
}

func TestRepliesInAnyOrder(t *testing.T) {
	app, conn, _ := attach(t, Config{})
	const n = 20
	go func() {
		var requests []*attachpb.Request
		for range n {
			req, _, err := conn.ReadRequest()
			if err != nil {
				return
			}
			requests = append(requests, req)
		}
		for i := range requests { // the last first
			req := requests[n-1-i]
			conn.WriteError(req.Id, fmt.Errorf("%w: %q", ErrNotFound, req.GetOpen().GetName()))
		}
	}()
	errs := make(chan error)
	for i := range n {
		go func() {
			name := fmt.Sprint("segment", i)
			_, _, err := app.Call(context.Background(), open(name))
			if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
				errs <- fmt.Errorf("%s: %v", name, err)
				return
			}
			errs <- nil
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestDescriptorsTravel(t *testing.T) {
	app, conn, _ := attach(t, Config{})
	memfd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(memfd)
	if _, err := unix.Pwrite(memfd, []byte("hello"), 0); err != nil {
		t.Fatal(err)
	}
	go func() {
		req, _, _ := conn.ReadRequest()
		conn.WriteReply(&attachpb.Reply{Id: req.Id, Body: &attachpb.Reply_Mapped{Mapped: &attachpb.Mapped{}}}, memfd)
	}()
	_, fds, err := app.Call(context.Background(), &attachpb.Request{Body: &attachpb.Request_Map{Map: &attachpb.Map{Segment: someRef}}})
	if err != nil || len(fds) != 1 {
		t.Fatalf("%d descriptors, %v", len(fds), err)
	}
	defer unix.Close(fds[0])
	buf := make([]byte, 5)
	if _, err := unix.Pread(fds[0], buf, 0); err != nil || string(buf) != "hello" {
		t.Errorf("the memfd holds %q (%v)", buf, err)
	}
	if flags, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("the descriptor is not close-on-exec (%v)", err)
	}
}

func TestCallGivesUpWithItsContext(t *testing.T) {
	app, conn, _ := attach(t, Config{})
	ctx, cancel := context.WithCancel(context.Background())
	asked := make(chan *attachpb.Request)
	go func() {
		req, _, _ := conn.ReadRequest()
		asked <- req
	}()
	done := make(chan error)
	go func() {
		_, _, err := app.Call(ctx, &attachpb.Request{Body: &attachpb.Request_Map{Map: &attachpb.Map{Segment: someRef}}})
		done <- err
	}()
	req := <-asked
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("Call: %v, want Canceled", err)
	}
	// The late reply brings a descriptor, which nobody takes: it must not leak,
	// and the next call must not see it.
	before := countFds(t)
	memfd, err := unix.MemfdCreate("late", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.WriteReply(&attachpb.Reply{Id: req.Id, Body: &attachpb.Reply_Mapped{Mapped: &attachpb.Mapped{}}}, memfd); err != nil {
		t.Fatal(err)
	}
	unix.Close(memfd)
	go func() {
		req, _, _ := conn.ReadRequest()
		conn.WriteDone(req.Id)
	}()
	if _, _, err := app.Call(context.Background(), open("x")); err != nil {
		t.Fatal(err)
	}
	if after := countFds(t); after != before {
		t.Errorf("%d descriptors, were %d", after, before)
	}
	if _, _, err := app.Call(ctx, open("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Call with a dead context: %v", err)
	}
}

func acquire() *attachpb.Request {
	return &attachpb.Request{Body: &attachpb.Request_LockAcquire{LockAcquire: &attachpb.LockAcquire{Name: "l"}}}
}

func TestCallCancel(t *testing.T) {
	for _, c := range []struct {
		name    string
		granted bool
		want    error
	}{
		{"canceled", false, context.Canceled},
		{"granted meanwhile", true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			app, conn, _ := attach(t, Config{})
			ctx, cancel := context.WithCancel(context.Background())
			expired := false
			go func() {
				first, _, _ := conn.ReadRequest()
				cancel()
				second, _, err := conn.ReadRequest()
				if err != nil || second.GetLockCancel().GetRequest() != first.Id {
					t.Errorf("after the context ended came %v (%v), want a cancel of %d", second, err, first.Id)
				}
				if c.granted {
					conn.WriteReply(&attachpb.Reply{Id: first.Id, Body: &attachpb.Reply_Lock{Lock: &attachpb.Lock{Fence: 4}}})
				} else {
					conn.WriteError(first.Id, ErrCanceled)
				}
				conn.WriteDone(second.Id)
			}()
			reply, err := app.CallCancel(ctx, acquire(), func() { expired = true })
			if !errors.Is(err, c.want) || c.granted != (reply.GetLock().GetFence() == 4) || !expired {
				t.Errorf("got %v, %v; want %v; the end of the context was told: %v", reply, err, c.want, expired)
			}
		})
	}
}

func TestHangupAndClose(t *testing.T) {
	told := make(chan error, 2)
	app, conn, _ := attach(t, Config{Hangup: func(err error) { told <- err }})
	done := make(chan error)
	go func() {
		_, _, err := app.Call(context.Background(), open("x"))
		done <- err
	}()
	if _, _, err := conn.ReadRequest(); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := <-done; !errors.Is(err, ErrClusterFailed) {
		t.Errorf("a call that waits gets %v, want ErrClusterFailed", err)
	}
	if err := <-told; !errors.Is(err, ErrClusterFailed) {
		t.Errorf("Hangup is told %v, want ErrClusterFailed", err)
	}
	if _, _, err := app.Call(context.Background(), open("x")); !errors.Is(err, ErrClusterFailed) {
		t.Errorf("a later call gets %v, want ErrClusterFailed", err)
	}

	app, conn, far := attach(t, Config{Hangup: func(err error) { told <- err }})
	go func() {
		_, _, err := app.Call(context.Background(), open("x"))
		done <- err
	}()
	if _, _, err := conn.ReadRequest(); err != nil {
		t.Fatal(err)
	}
	app.Close()
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("a call that waits when Close comes gets %v, want ErrClosed", err)
	}
	if _, _, err := conn.ReadRequest(); err != io.EOF {
		t.Errorf("the node reads %v, want EOF", err)
	}
	if n, err := unix.Read(far, make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("the node reads %d bytes, %v from the watch; want a hang-up", n, err)
	}
	select {
	case err := <-told:
		t.Errorf("Close told Hangup: %v", err)
	case <-time.After(10 * time.Millisecond):
	}
}

// A child that was forked keeps copies of all descriptors. Close gives the watch
// up for both: the node sees the end of it, and nobody is killed.
func TestCloseWithCopiesOfTheWatch(t *testing.T) {
	armed, child := -1, -1
	app, _, far := attach(t, Config{Guard: func(watch int) (err error) {
		if child, err = unix.FcntlInt(uintptr(watch), unix.F_DUPFD_CLOEXEC, 0); err != nil {
			return err
		}
		armed = watch
		return memory.KillOnHangup(watch)
	}})
	defer unix.Close(child)
	if flags, err := unix.FcntlInt(uintptr(armed), unix.F_GETFL, 0); err != nil || flags&unix.O_ASYNC == 0 {
		t.Fatalf("the watch is not armed: %#x, %v", flags, err)
	}
	if err := app.Close(); err != nil { // of an armed watch the shutdown alone would kill
		t.Fatal(err)
	}
	if flags, err := unix.FcntlInt(uintptr(child), unix.F_GETFL, 0); err != nil || flags&unix.O_ASYNC != 0 {
		t.Errorf("the watch is still armed: %#x, %v", flags, err)
	}
	if n, _, err := unix.Recvfrom(far, make([]byte, 1), unix.MSG_DONTWAIT); n != 0 || err != nil {
		t.Errorf("the node reads %d bytes, %v from the watch; want a hang-up", n, err)
	}
}

// Requests that meet the end of the connection, at whatever point, say what it
// was.
func TestRequestsAtTheEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*Client, *Conn)
		want error
	}{
		{"close", func(app *Client, _ *Conn) { app.Close() }, ErrClosed},
		{"hang-up", func(_ *Client, conn *Conn) { conn.Close() }, ErrClusterFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			for round := range 200 {
				app, conn, _ := attach(t, Config{})
				served := make(chan struct{}) // closed with the round's request
				go func() {
					for i := 0; ; i++ {
						if i == round%5 {
							close(served)
						}
						req, _, err := conn.ReadRequest()
						if err != nil {
							return
						}
						conn.WriteDone(req.Id)
					}
				}()
				const callers = 3
				ended := make(chan error, callers)
				for range callers {
					go func() {
						for {
							if _, _, err := app.Call(context.Background(), open("x")); err != nil {
								ended <- err
								return
							}
						}
					}()
				}
				<-served
				c.end(app, conn)
				for range callers {
					if err := <-ended; !errors.Is(err, c.want) {
						t.Fatalf("round %d: a request gets %v, want %v", round, err, c.want)
					}
				}
				app.Close()
			}
		})
	}
}

func TestDialReportsARefusal(t *testing.T) {
	l := listen(t)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		conn.ReadRequest()
		conn.refuse(1, fmt.Errorf("%w: the node speaks 2", ErrVersion))
	}()
	_, err := Dial(context.Background(), l.Path(), Config{Hangup: func(err error) { t.Errorf("Hangup: %v", err) }})
	if !errors.Is(err, ErrVersion) {
		t.Errorf("Dial: %v, want ErrVersion", err)
	}
}

// A node that hangs up on a program without a word has not said that the cluster
// failed: it may have had no room for the connection.
func TestDialHungUp(t *testing.T) {
	for name, end := range map[string]func(*Conn){
		"at once": func(conn *Conn) { conn.Close() },
		"after Hello": func(conn *Conn) {
			conn.ReadRequest()
			conn.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := listen(t)
			go func() {
				if conn, err := l.Accept(); err == nil {
					end(conn)
				}
			}()
			_, err := Dial(context.Background(), l.Path(), Config{Hangup: func(err error) { t.Errorf("Hangup: %v", err) }})
			if err == nil || errors.Is(err, ErrClusterFailed) || !strings.Contains(err.Error(), l.Path()) || !strings.Contains(err.Error(), "hung up before it let the program in") {
				t.Errorf("Dial: %v", err)
			}
		})
	}
}

func TestEvents(t *testing.T) {
	events := make(chan *attachpb.Reply, 4)
	_, conn, _ := attach(t, Config{Event: func(e *attachpb.Reply) { events <- e }})
	if err := conn.socket.write(later(0), nil, 0); err != nil { // of a later version: ignored
		t.Fatal(err)
	}
	conn.WriteReply(&attachpb.Reply{Body: &attachpb.Reply_SegmentRemoved{SegmentRemoved: &attachpb.SegmentRemoved{Segment: someRef}}})
	if e := <-events; e.GetSegmentRemoved().GetSegment().GetName() != "grid" {
		t.Errorf("event %v, want SegmentRemoved of grid", e)
	}
}

// Whoever attaches and says nothing is told so and hung up on. After Hello an
// application may be silent for as long as it likes.
func TestHelloTime(t *testing.T) {
	l := listen(t)
	l.helloTime = time.Millisecond
	silent, err := net.Dial(network, l.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.ReadRequest(); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "no Hello") {
		t.Errorf("the node reads %v", err)
	}
	packet := make([]byte, MaxPacket)
	n, err := silent.Read(packet)
	if err != nil {
		t.Fatal(err)
	}
	if reply, err := DecodeReply(packet[:n], 0); err != nil || reply.GetError().GetCode() != CodeOf(ErrMalformed) {
		t.Errorf("the application is told %v, %v", reply, err)
	}
	if n, err := silent.Read(packet); n > 0 || err == nil {
		t.Errorf("%d bytes follow, %v", n, err)
	}

	_, greeted, _ := attach(t, Config{})
	left, err := unix.GetsockoptTimeval(greeted.socket.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO)
	if err != nil || left.Nano() != 0 {
		t.Errorf("after Hello a read may take %v, %v", left, err)
	}
}
