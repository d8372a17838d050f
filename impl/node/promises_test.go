package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/node/controlpb"
	"github.com/mome-dsm/mome/impl/protocol"
)

// intercept has all calls of a node to a peer's room service go through f.
func intercept(t *testing.T, n, peer *Node, f grpc.UnaryClientInterceptor) {
	t.Helper()
	conn, err := grpc.NewClient(peer.Address(), append(withToken(n.cfg.Token), grpc.WithUnaryInterceptor(f))...)
	if err != nil {
		t.Fatal(err)
	}
	p := n.peer(peer.id)
	p.callsMu.Lock()
	defer p.callsMu.Unlock()
	if p.calls != nil {
		_ = p.calls.Close()
	}
	p.calls = conn
}

// TestAnswersLost has a node write back while calls to a home are lost on their way
// and answers on theirs. Everything is written back, and nothing that was promised
// stays charged.
func TestAnswersLost(t *testing.T) {
	const pages = 600
	nodes := startNodes(t, 2, atMost(4*mib, 4*mib))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex
	pick := func() int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(3)
	}
	var answers atomic.Int32
	intercept(t, nodes[0], nodes[1], func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if strings.HasSuffix(method, "/Take") {
			return call(ctx, method, req, reply, conn, opts...)
		}
		lost := status.Error(codes.Unavailable, "lost by the test")
		switch pick() {
		case 0:
			return lost
		case 1:
			if err := call(ctx, method, req, reply, conn, opts...); err != nil {
				return err
			}
			answers.Add(1)
			return lost
		}
		return call(ctx, method, req, reply, conn, opts...)
	})
	p := startProgram(t, nodes[0])
	for answers.Load() < 4 {
		p.do(fmt.Sprint("fill a ", pages, " 0 ", pages))
		if got := p.do(fmt.Sprint("clean a ", pages, " 0 ", pages)); got != "" {
			t.Fatalf("to write back what there is room for: %s", got)
		}
		exactAtRest(t, nodes)
	}
	p.do(fmt.Sprint("verify a ", pages, " 0 ", pages))
}

// TestLateAnswer has the one node that has room answer an offer after the keeper has
// gone on, and has heard from all others that they are full. Nobody is refused.
func TestLateAnswer(t *testing.T) {
	const pages = 600
	limits := atMost(1*mib, 1*mib, 16*mib)
	nodes := startNodes(t, 3, func(c *Config) {
		limits(c)
		c.RoomWait = time.Nanosecond
	})
	var programs []*program
	for _, n := range nodes[:2] {
		programs = append(programs, startProgram(t, n))
	}
	for i, p := range programs {
		p.do(fmt.Sprint("fill a ", pages, " ", i*pages/2, " ", pages/2))
	}
	// Node 2 answers no urgent offer before two were made to node 1 meanwhile.
	var mu sync.Mutex
	late, others := false, make(chan struct{}, 2)
	intercept(t, nodes[0], nodes[1], func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		err := call(ctx, method, req, reply, conn, opts...)
		mu.Lock()
		defer mu.Unlock()
		if take, ok := req.(*controlpb.TakeRequest); ok && take.Urgent && late {
			select {
			case others <- struct{}{}:
			default:
			}
		}
		return err
	})
	held := make(chan struct{})
	intercept(t, nodes[0], nodes[2], func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if take, ok := req.(*controlpb.TakeRequest); ok && take.Urgent {
			mu.Lock()
			first := !late
			late = true
			mu.Unlock()
			if first {
				for range cap(others) {
					select {
					case <-others:
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				close(held)
			}
		}
		return call(ctx, method, req, reply, conn, opts...)
	})
	if got := programs[0].do(fmt.Sprint("prefault a ", pages, " 0 ", pages)); got != "" {
		t.Errorf("to prefault, while node 2 has room: %s", got)
	}
	select {
	case <-held:
	default:
		t.Error("node 2 was not asked for room, and nothing was tested")
	}
	for _, p := range programs {
		p.do(fmt.Sprint("verify a ", pages, " 0 ", pages))
	}
	exactAtRest(t, nodes)
}

// home is a node's promises, without the rest of it.
func home(pages int64) *keeper {
	n := newNode(Config{})
	n.room = newRoom(pages * addr.PageSize)
	return &keeper{Node: n}
}

// TestPromiseAgain has answers lost, calls given up and calls repeated: each page is
// promised once and returned once.
func TestPromiseAgain(t *testing.T) {
	r, to := home(256).room, new(promised)
	charged := func(when string, want int64) {
		t.Helper()
		if got := r.charged.Load(); got != want {
			t.Fatalf("%s: %d pages are charged, want %d", when, got, want)
		}
	}
	ask := func(call, known uint64, pages uint32) uint64 {
		t.Helper()
		granted, err := r.promise(t.Context(), to, &controlpb.PromiseRequest{Node: 1, Call: call, Granted: known, Pages: pages})
		if err != nil {
			t.Fatal(err)
		}
		return granted
	}
	if got := ask(1, 0, 10); got != 10 {
		t.Errorf("%d pages are promised, want 10", got)
	}
	charged("promised", 10)
	if got := ask(2, 0, 10); got != 10 {
		t.Errorf("after an answer that was lost %d pages are promised in all, want those 10", got)
	}
	charged("promised again", 10)
	if got := ask(3, 10, 5); got != 15 {
		t.Errorf("%d pages are promised in all, want 15", got)
	}
	for range 4 {
		r.fulfil(to)
	}
	back := &controlpb.ReturnRequest{Node: 1, Call: 4, Granted: 10, Returned: 3} // the last 5 were not heard of
	r.returned(to, back)
	charged("3 returned and 5 not heard of", 7)
	back.Call = 5
	r.returned(to, back)
	charged("returned again", 7)
	if _, err := r.promise(t.Context(), to, &controlpb.PromiseRequest{Node: 1, Call: 4, Granted: 10, Pages: 1}); status.Code(err) != codes.Aborted {
		t.Errorf("an old call ends with %v", err)
	}
	charged("an old call", 7)
	if got := ask(6, 10, 1); got != 11 {
		t.Errorf("%d pages are promised in all, want 11", got)
	}
}

// TestPromiseGivenUp has a call that waits for room outlive its caller's interest in
// it: what it gets then is nobody's promise.
func TestPromiseGivenUp(t *testing.T) {
	k := home(64)
	k.room.take(64)
	var to promised
	ended := make(chan error)
	go func() {
		_, err := k.room.promise(context.Background(), &to, &controlpb.PromiseRequest{Node: 1, Call: 1, Pages: 8, Wait: int64(time.Hour)})
		ended <- err
	}()
	for k.room.waiting.Load() == 0 {
		runtime.Gosched()
	}
	k.room.returned(&to, &controlpb.ReturnRequest{Node: 1, Call: 2})
	k.room.release(64)
	k.serveDemands()
	if err := <-ended; status.Code(err) != codes.Aborted {
		t.Errorf("the call that was given up ends with %v", err)
	}
	if got := k.room.charged.Load(); got != 0 {
		t.Errorf("%d pages are charged for nobody", got)
	}
}

// TestPromiseWanted has a home be asked for room for as many pages as wait for it,
// and no more: what is promised is on its way.
func TestPromiseWanted(t *testing.T) {
	const pages, few = 64, 3
	nodes := startNodes(t, 2, atMost(4*mib, 4*mib))
	var most atomic.Uint32
	intercept(t, nodes[0], nodes[1], func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if ask, ok := req.(*controlpb.PromiseRequest); ok {
			most.Store(max(most.Load(), ask.Pages)) // there is one call at a time
		}
		return call(ctx, method, req, reply, conn, opts...)
	})
	p := startProgram(t, nodes[0])
	for i := range 8 {
		segment := fmt.Sprint("s", i, " ", pages)
		p.do("fill " + segment + fmt.Sprint(" 0 ", pages))
		for first := 0; first+few <= pages; first += few {
			p.do("clean " + segment + fmt.Sprint(" ", first, " ", few))
		}
	}
	if got := most.Load(); got == 0 || got > few {
		t.Errorf("a call asked for room for %d pages, want 1 to %d", got, few)
	}
	exactAtRest(t, nodes)
}

// TestFull has the keeper judge whether there is room anywhere: only while all other
// nodes are full, no page has become free here and none is on its way here does it
// find that there is none, and refuse who waits.
func TestFull(t *testing.T) {
	k := home(64)
	other := &peer{id: 1}
	k.peers.Store(&peers{0: {}, 1: other})
	conf := &protocol.Configuration{Epoch: 1, Fanout: 8, Slots: protocol.DealSlots(64, protocol.Founders(2)), Members: protocol.Founders(2)}
	segment := protocol.Segment{Pages: 1024, Generation: 1}
	page := addr.PageNum(0)
	for conf.Slots[segment.Slot(page, len(conf.Slots))].Home != 1 {
		page++
	}
	s := k.shardOf(page)
	s.form(k.Node, s.index, conf)
	d := &demand{pages: 1, done: make(chan struct{}), since: time.Now(), patience: time.Nanosecond}
	k.room.enqueue(d)
	full := func(when string, want bool) {
		t.Helper()
		k.judge(false)
		if got := !k.full.IsZero(); got != want {
			t.Errorf("%s: no room anywhere: %v, want %v", when, got, want)
		}
	}
	full("the other node has not been asked", false)
	other.taker.full = true
	full("it is full", true)
	k.room.charged.Add(1)
	k.room.release(1)
	full("a page has become free", false)
	full("no other has", true)
	k.judge(true)
	if !k.full.IsZero() {
		t.Error("pages were given away, and there is said to be no room anywhere")
	}
	s.core.Configure(conf.WithSegments([]protocol.Segment{segment}), []protocol.Segment{segment})
	s.mu.Lock()
	s.wait(page, waiter{})
	if err := s.core.Step(protocol.Input{Kind: protocol.InWriteFault, Page: page}, new(protocol.Batch)); err != nil {
		t.Fatal(err)
	}
	s.unlock()
	full("a page is on its way here", false)
	s.mu.Lock()
	delete(s.waiters, page)
	s.unlock()
	full("it is not", true)
	if k.refuse(); d.refused == nil {
		t.Error("who waits is not refused")
	}
}

// TestFullItself has a node that makes room for accesses of its own be asked whether it
// is full: not before it has found that it has nothing to give up.
func TestFullItself(t *testing.T) {
	k := home(64)
	close(k.connected)
	full := func(when string, want bool) {
		t.Helper()
		reply, err := rooms{node: k.Node}.Take(t.Context(), &controlpb.TakeRequest{Urgent: true})
		if err != nil {
			t.Fatal(err)
		}
		if reply.Full != want {
			t.Errorf("%s: full is %v, want %v", when, reply.Full, want)
		}
	}
	k.room.enqueue(&demand{pages: 1, done: make(chan struct{})})
	full("an access waits", false)
	k.room.stuck.Store(true)
	full("it waits, and there is nothing to give up", true)
}

// TestCaller has a call name its node: one that does not fit a NodeID is nobody, and not
// the node whose number is left of it.
func TestCaller(t *testing.T) {
	n := newNode(Config{})
	n.peers.Store(&peers{1: {id: 1}})
	if _, err := (rooms{node: n}).caller(1); status.Code(err) != codes.Unavailable {
		t.Errorf("before the node is formed: %v", err)
	}
	close(n.connected)
	for number, want := range map[uint32]codes.Code{1: codes.OK, 2: codes.InvalidArgument, 1<<16 + 1: codes.InvalidArgument} {
		if _, err := (rooms{node: n}).caller(number); status.Code(err) != want {
			t.Errorf("node %d: %v, want %v", number, err, want)
		}
	}
}

// TestPromiseUnused has a home promise room to somebody who does not come to use it:
// the request has ended meanwhile, or the page need not be written back after all.
func TestPromiseUnused(t *testing.T) {
	nodes := startNodes(t, 2, atMost(4*mib, 4*mib))
	n := nodes[0]
	for _, home := range n.sortedPeers() {
		if err := n.askHome(t.Context(), home); err != nil {
			t.Fatal(err)
		}
		exactAtRest(t, nodes)

		n.beginCleaning()
		if err := n.askHome(t.Context(), home); err != nil {
			t.Fatal(err)
		}
		if _, ok := home.promises.take(); !ok {
			t.Fatal("what was promised is not there")
		}
		n.endCleaning()
		const page = addr.PageNum(0)
		s := n.shardOf(page)
		s.mu.Lock()
		s.homeward[page] = home
		s.stayed(page)
		s.unlock()
		exactAtRest(t, nodes)
	}
}
