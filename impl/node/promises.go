package node

import (
	"context"
	"fmt"
	"sync"
	"time"

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

// promiseAtOnce is how many pages one call asks a home for room for.
const promiseAtOnce = 64

// promises is the room that one home has promised to this node.
type promises struct {
	asking chan struct{} // holds a value while somebody asks the home

	mu        sync.Mutex // guards what follows; below a shard's lock
	unlimited bool
	left      int64 // pages that are not being written back
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

// homeOf is the node that is the home of a page.
func (n *Node) homeOf(seg *segment, p addr.PageNum) addr.NodeID {
	return n.slots[seg.core.Slot(p, len(n.slots))].Home
}

// askHome returns when the home has promised room. Its error is client.ErrNoSpace
// where it does not do so in time.
func (n *Node) askHome(ctx context.Context, home addr.NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.RoomWait)
	defer cancel()
	h := &n.homes[home]
	var err error
	for ctx.Err() == nil {
		select {
		case h.asking <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		if !h.have() {
			err = n.askPromise(ctx, home, h)
		}
		<-h.asking
		if h.have() {
			return nil
		}
		select {
		case <-time.After(leastPause):
		case <-ctx.Done():
		}
	}
	if err == nil {
		err = ctx.Err()
	}
	if n.ctx.Err() != nil {
		return fmt.Errorf("%w: the node stops", client.ErrCanceled)
	}
	return fmt.Errorf("%w: node %d, the home of pages that were to be written back, has no memory left for them within %v (%v); remove a segment, or start the nodes with more --memory",
		client.ErrNoSpace, home, n.cfg.RoomWait, err)
}

func (n *Node) askPromise(ctx context.Context, home addr.NodeID, h *promises) error {
	answer := &controlpb.PromiseReply{Unlimited: n.room == nil}
	switch {
	case home != n.id:
		service, err := n.roomOf(home)
		if err != nil {
			return err
		}
		if answer, err = service.Promise(ctx, &controlpb.PromiseRequest{Node: uint32(n.id), Pages: promiseAtOnce}); err != nil {
			return err
		}
	case n.room != nil:
		pages, err := n.room.promise(ctx, n.id, promiseAtOnce)
		if err != nil {
			return err
		}
		answer.Pages = uint32(pages)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unlimited = answer.Unlimited
	h.left += int64(answer.Pages)
	return nil
}

// Promise implements the room service.
func (o rooms) Promise(ctx context.Context, req *controlpb.PromiseRequest) (*controlpb.PromiseReply, error) {
	n := o.node
	if n.cfg.Memory == 0 {
		return &controlpb.PromiseReply{Unlimited: true}, nil
	}
	if err := o.known(req.Node); err != nil {
		return nil, err
	}
	pages, err := n.room.promise(ctx, addr.NodeID(req.Node), int64(min(req.Pages, promiseAtOnce)))
	if err != nil {
		return nil, err
	}
	return &controlpb.PromiseReply{Pages: uint32(pages)}, nil
}

// Return implements the room service.
func (o rooms) Return(_ context.Context, req *controlpb.ReturnRequest) (*controlpb.ReturnReply, error) {
	if o.node.cfg.Memory == 0 {
		return &controlpb.ReturnReply{}, nil
	}
	if err := o.known(req.Node); err != nil {
		return nil, err
	}
	o.node.room.takeBack(addr.NodeID(req.Node), int64(req.Pages))
	return &controlpb.ReturnReply{}, nil
}

// known says what is wrong with the number of a caller.
func (o rooms) known(caller uint32) error {
	select {
	case <-o.node.connected:
	default:
		return status.Error(codes.Unavailable, "this node is not ready yet")
	}
	if int(caller) >= len(o.node.peers) {
		return status.Errorf(codes.InvalidArgument, "there is no node %d", caller)
	}
	return nil
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
	h := &s.node.homes[home]
	h.mu.Lock()
	h.left++
	h.mu.Unlock()
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
	r.takeBack(m.From.Node, 1)
}

// beginCleaning and endCleaning are round about what writes back. The last one
// gives back what homes have promised and nobody has used.
func (n *Node) beginCleaning() { n.cleaning.Add(1) }

func (n *Node) endCleaning() {
	if n.cleaning.Add(-1) > 0 {
		return
	}
	for i := range n.homes {
		home, h := addr.NodeID(i), &n.homes[i]
		h.mu.Lock()
		left := h.left
		h.left = 0
		h.mu.Unlock()
		if left == 0 {
			continue
		}
		if home == n.id {
			n.room.takeBack(home, left)
			continue
		}
		ctx, cancel := context.WithTimeout(n.ctx, callTime)
		service, err := n.roomOf(home)
		if err == nil {
			_, err = service.Return(ctx, &controlpb.ReturnRequest{Node: uint32(n.id), Pages: uint32(left)})
		}
		cancel()
		if err != nil { // next time
			h.mu.Lock()
			h.left += left
			h.mu.Unlock()
		}
	}
}
