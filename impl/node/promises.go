package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/node/controlpb"
	"github.com/mome-dsm/mome/impl/protocol"
)

// A page that is written back needs room at its home, which the home must not be
// found to lack when the page is there already. So whoever writes back asks the
// home for the room first, for some pages at a time. A home without a limit says
// so once, and is not asked again.
//
// A promise is asked for when a page waits for it, so that none is held while
// something else is waited for: two that write back to each other's homes would
// else have each other wait.

const (
	// promiseAtOnce is how many pages one call asks a home for room for at most.
	promiseAtOnce = 64
	// askPause is between two calls to a home that cannot be reached.
	askPause = 20 * time.Millisecond
)

// promises is the room that one home has promised to this node.
type promises struct {
	asking chan struct{} // holds a value while somebody asks the home

	mu        sync.Mutex // guards what follows; below a shard's lock
	unlimited bool
	left      int64  // pages that are not being written back
	wanted    int64  // pages that wait for a promise
	granted   uint64 // pages, ever
	returned  uint64 // of them, ever
	calls     uint64 // there were
	unheard   bool   // the last one was not answered, or not yet

	refusedCall uint64 // the last one that was refused
	refused     error  // and why
}

// take uses the promise for one page. counted says that the page is to be given
// back if it does not leave.
func (h *promises) take() (counted, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.unlimited || h.left == 0 {
		return false, h.unlimited
	}
	h.left--
	return true, true
}

// have says whether take would succeed.
func (h *promises) have() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.unlimited || h.left > 0
}

// homeOf is the home of a page.
func (n *Node) homeOf(seg *segment, p addr.PageNum) *peer {
	return n.peer(n.slots[seg.core.Slot(p, len(n.slots))].Home)
}

// askHome returns when the home has promised room. Its error is client.ErrNoSpace
// where no node has had any for Config.RoomWait.
//
// That is for the home to say, which knows whether pages move and who was asked.
// Here no time is measured: a home that is slow is waited for, and one that is lost
// ends the run.
func (n *Node) askHome(ctx context.Context, home *peer) error {
	n.beginCleaning() // the request may end before this does
	defer n.endCleaning()
	h := &home.promises
	h.mu.Lock()
	h.wanted++
	begun := h.calls
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		h.wanted--
		h.mu.Unlock()
	}()
	for {
		select {
		case h.asking <- struct{}{}:
		case <-ctx.Done():
			return n.notAsked(ctx)
		}
		err := n.askPromise(ctx, home, begun)
		<-h.asking
		switch noRoom := errNoRoom(""); {
		case h.have():
			return nil
		case ctx.Err() != nil:
			return n.notAsked(ctx)
		case errors.As(err, &noRoom):
			return fmt.Errorf("%w: node %d, the home of pages that were to be written back: %w; remove a segment, or start the nodes with more --memory",
				client.ErrNoSpace, home.id, noRoom)
		case err == nil: // somebody else has used the promise
		case !passes(err):
			return fmt.Errorf("%w: node %d cannot be asked to keep pages: %w", client.ErrInternal, home.id, err)
		default:
			n.log.Debug("a home cannot be asked for room", "home", home.id, "error", err)
			select {
			case <-time.After(askPause):
			case <-ctx.Done():
			}
		}
	}
}

// notAsked is why nobody waits for a home any more.
func (n *Node) notAsked(ctx context.Context) error {
	if n.ctx.Err() != nil {
		return fmt.Errorf("%w: the node stops", client.ErrCanceled)
	}
	return fmt.Errorf("%w: %w", client.ErrCanceled, context.Cause(ctx))
}

// passes says whether a call that failed may succeed when it is made again: the
// connection broke.
func passes(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.ResourceExhausted:
		return true
	}
	return false
}

// askPromise has the home promise as many pages as are waited for, or passes on
// what it has said to a call that was begun after the caller began to wait: else
// many of them would be refused one after the other.
// Preconditions: home.promises.asking is held.
func (n *Node) askPromise(ctx context.Context, home *peer, begun uint64) error {
	h := &home.promises
	h.mu.Lock()
	switch {
	case h.unlimited, h.left > 0:
		h.mu.Unlock()
		return nil
	case h.refusedCall > begun:
		defer h.mu.Unlock()
		return h.refused
	}
	h.calls++
	h.unheard = true
	req := &controlpb.PromiseRequest{Node: uint32(n.id), Pages: uint32(min(h.wanted, promiseAtOnce)),
		Call: h.calls, Granted: h.granted, Wait: int64(n.cfg.RoomWait)}
	h.mu.Unlock()
	var answer *controlpb.PromiseReply
	var err error
	if home.id == n.id {
		answer, err = rooms{node: n}.Promise(ctx, req)
	} else {
		var service controlpb.RoomClient
		if service, err = home.rooms(n.cfg.Token); err == nil {
			answer, err = service.Promise(ctx, req, grpc.WaitForReady(true))
		}
	}
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unheard = false
	h.unlimited = answer.Unlimited
	if !answer.Unlimited {
		h.left += int64(answer.Granted - h.granted)
		h.granted = answer.Granted
	}
	if answer.Refused == "" {
		return nil
	}
	h.refusedCall, h.refused = req.Call, errNoRoom(answer.Refused)
	return h.refused
}

// Promise implements the room service.
func (o rooms) Promise(ctx context.Context, req *controlpb.PromiseRequest) (*controlpb.PromiseReply, error) {
	n := o.node
	if n.cfg.Memory == 0 {
		return &controlpb.PromiseReply{Unlimited: true}, nil
	}
	to, err := o.caller(req.Node)
	if err != nil {
		return nil, err
	}
	granted, err := n.room.promise(ctx, &to.promised, req)
	if noRoom := errNoRoom(""); errors.As(err, &noRoom) {
		return &controlpb.PromiseReply{Granted: granted, Refused: noRoom.Error()}, nil
	}
	if err != nil {
		return nil, err
	}
	return &controlpb.PromiseReply{Granted: granted}, nil
}

// Return implements the room service.
func (o rooms) Return(_ context.Context, req *controlpb.ReturnRequest) (*controlpb.ReturnReply, error) {
	if o.node.cfg.Memory == 0 {
		return &controlpb.ReturnReply{}, nil
	}
	from, err := o.caller(req.Node)
	if err != nil {
		return nil, err
	}
	o.node.room.returned(&from.promised, req)
	return &controlpb.ReturnReply{}, nil
}

// promised is the room that this node, as a home, has promised to a peer. The room's
// lock guards it.
type promised struct {
	call     uint64 // the last of the node's
	granted  uint64 // pages, ever
	returned uint64 // of them, ever
	left     int64  // pages that have not come
}

// errOvertaken ends a call that its caller does not wait for.
var errOvertaken = status.Error(codes.Aborted, "the caller has made another call since")

// promise charges pages that a node is going to write back to this one, as many as
// it asks for at most, as soon as there is room for one of them. It says how many
// were promised to the node ever. Those of an answer that was lost are among them,
// and are all that it gets then.
func (r *room) promise(ctx context.Context, to *promised, req *controlpb.PromiseRequest) (granted uint64, err error) {
	r.mu.Lock()
	overtaken := req.Call <= to.call
	if !overtaken {
		to.call, granted = req.Call, to.granted
	}
	r.mu.Unlock()
	switch {
	case overtaken:
		return 0, errOvertaken
	case granted > req.Granted:
		return granted, nil
	}
	if err := r.wait(ctx, 1, time.Duration(req.Wait)); err != nil {
		return granted, err
	}
	pages := int64(1)
	for pages < min(int64(req.Pages), promiseAtOnce) && r.ask(1) {
		pages++
	}
	r.mu.Lock()
	if overtaken = to.call != req.Call; !overtaken {
		to.granted += uint64(pages)
		to.left += pages
		granted = to.granted
	}
	r.mu.Unlock()
	if overtaken {
		r.release(pages)
		return 0, errOvertaken
	}
	return granted, nil
}

// fulfil says that a page has come that was promised room.
func (r *room) fulfil(to *promised) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if to.left > 0 {
		to.left--
		return
	}
	r.charged.Add(1) // it was not; it is here all the same
}

// returned ends promises: those that the node gives back, and those that it has not
// heard of.
func (r *room) returned(from *promised, req *controlpb.ReturnRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.Call <= from.call {
		return
	}
	pages := int64(req.Returned - from.returned + from.granted - req.Granted)
	from.call, from.granted, from.returned = req.Call, req.Granted, req.Returned
	r.end(from, pages)
}

// takeBack ends the promise of pages that will not come.
func (r *room) takeBack(from *promised, pages int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(from, pages)
}

// end ends the promise of so many pages.
// Preconditions: r.mu is held.
func (r *room) end(p *promised, pages int64) {
	pages = max(min(pages, p.left), 0)
	p.left -= pages
	r.release(pages)
}

// caller is the peer that calls, by its number.
func (o rooms) caller(number uint32) (*peer, error) {
	select {
	case <-o.node.connected:
	default:
		return nil, status.Error(codes.Unavailable, "this node is not ready yet")
	}
	p := o.node.peer(addr.NodeID(number))
	if p == nil || uint32(p.id) != number {
		return nil, status.Errorf(codes.InvalidArgument, "there is no node %d", number)
	}
	return p, nil
}

// departed says that a page which was to be written back has left for its home.
// Preconditions: s.mu is held.
func (s *shard) departed(e *protocol.Effect) {
	if len(s.homeward) == 0 {
		return
	}
	if e.Kind == protocol.FrameToHome || e.Kind == protocol.Send && e.Msg.Kind == protocol.Data && e.Msg.To.Tag == addr.Root {
		delete(s.homeward, e.Page)
	}
}

// stayed ends the writing back of a page. If it has not left there was nothing to
// write back, and the home's promise holds for another one.
// Preconditions: s.mu is held.
func (s *shard) stayed(p addr.PageNum) {
	home, ok := s.homeward[p]
	if !ok {
		return
	}
	delete(s.homeward, p)
	n := s.node
	h := &home.promises
	h.mu.Lock()
	h.left++
	h.mu.Unlock()
	if n.cleaning.Load() == 0 { // who wrote it back has not waited for this
		n.goroutine(func() { n.giveBack(home) })
	}
}

// unkept ends the promise for a page that a message brings home and the core does
// not take: it is about a segment that this node has removed, and its sender had
// not yet.
// Preconditions: s.mu is held; effects are those of the step that had the message.
func (s *shard) unkept(m *protocol.Message, effects []protocol.Effect) {
	r := s.node.room
	if r == nil || m == nil || m.Kind != protocol.Data || m.To.Tag != addr.Root {
		return
	}
	for i := range effects {
		if effects[i].Kind == protocol.HomeFill {
			return // account has counted it
		}
	}
	r.takeBack(&s.node.peer(m.From.Node).promised, 1)
}

// beginCleaning and endCleaning are round about what writes back. After the last
// one homes get back what they have promised and nobody has used.
func (n *Node) beginCleaning() { n.cleaning.Add(1) }

func (n *Node) endCleaning() {
	if n.cleaning.Add(-1) > 0 {
		return
	}
	for _, home := range *n.peers.Load() {
		h := &home.promises
		h.mu.Lock()
		owes := h.owes()
		h.mu.Unlock()
		if owes {
			n.goroutine(func() { n.giveBack(home) })
		}
	}
}

// owes says whether the home may have promised room that nobody is going to use.
// Preconditions: h.mu is held.
func (h *promises) owes() bool { return h.left > 0 || h.unheard }

// giveBack gives a home back what it has promised, as often as the call fails.
func (n *Node) giveBack(home *peer) {
	h := &home.promises
	for pause := askPause; n.ctx.Err() == nil; pause = min(2*pause, silentPause) {
		select {
		case h.asking <- struct{}{}:
		case <-n.ctx.Done():
			return
		}
		err := n.returnPromises(home)
		<-h.asking
		if err == nil {
			return
		}
		n.log.Debug("a home does not get back the room that it has promised", "home", home.id, "error", err)
		select {
		case <-time.After(pause):
		case <-n.ctx.Done():
		}
	}
}

// Preconditions: home.promises.asking is held.
func (n *Node) returnPromises(home *peer) error {
	h := &home.promises
	h.mu.Lock()
	if n.cleaning.Load() > 0 || !h.owes() { // the end of that will see to it
		h.mu.Unlock()
		return nil
	}
	h.calls++
	h.returned += uint64(h.left)
	h.left, h.unheard = 0, true
	req := &controlpb.ReturnRequest{Node: uint32(n.id), Call: h.calls, Granted: h.granted, Returned: h.returned}
	h.mu.Unlock()
	var err error
	if home.id == n.id {
		_, err = rooms{node: n}.Return(n.ctx, req)
	} else {
		var service controlpb.RoomClient
		if service, err = home.rooms(n.cfg.Token); err == nil {
			_, err = service.Return(n.ctx, req, grpc.WaitForReady(true))
		}
	}
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.unheard = false
	h.mu.Unlock()
	return nil
}
