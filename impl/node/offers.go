package node

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/node/controlpb"
	"github.com/mome-dsm/mome/impl/protocol"
)

// Pages that only this node has are offered to the others. Who takes one asks
// for the right to write it, as for a store of its own: the protocol moves the
// page and its ownership, from this node's frame or from its master copy, and
// nothing of it is decided here.
//
// A node takes what is offered in good time only while it has room and to
// spare, so that pages do not go to and fro. What is offered because accesses
// wait it takes as long as it has any room at all, its own copies of other
// pages counted as room. One at which accesses wait themselves takes nothing.

const (
	// offerAtOnce is how many pages one call offers.
	offerAtOnce = 256
	// callTime bounds a call to another node about room.
	callTime = 2 * time.Second
	// offerTime bounds an offer: the keeper serves nobody meanwhile.
	offerTime = 500 * time.Millisecond
	// fullPause is how long a node that took nothing is not asked again, silentPause
	// one that did not answer.
	fullPause   = 20 * time.Millisecond
	silentPause = 2 * time.Second
)

// room is the service of a peer, over a connection that is made when it is
// needed first.
func (n *Node) roomOf(peer addr.NodeID) (controlpb.RoomClient, error) {
	n.callsMu.Lock()
	defer n.callsMu.Unlock()
	if n.calls == nil {
		n.calls = make(map[addr.NodeID]*grpc.ClientConn)
	}
	conn := n.calls[peer]
	if conn == nil {
		var err error
		conn, err = grpc.NewClient(n.config.View().Members[peer].Address,
			grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(credentials{n.cfg.Token}))
		if err != nil {
			return nil, err
		}
		n.calls[peer] = conn
	}
	return controlpb.NewRoomClient(conn), nil
}

// endCalls closes the connections.
func (n *Node) endCalls() {
	n.callsMu.Lock()
	defer n.callsMu.Unlock()
	for _, conn := range n.calls {
		_ = conn.Close()
	}
	n.calls = nil
}

// giver is what the keeper knows of a peer.
type giver struct{ ask time.Time } // not before

// offer gives up to so many pages to other nodes, and says how many were taken.
func (k *keeper) offer(most int64, urgent bool) int64 {
	taken := int64(0)
	var pages []*controlpb.TakeRequest_Page
	first := rand.IntN(len(k.givers))
	for i := range k.givers {
		peer := addr.NodeID((first + i) % len(k.givers))
		to := &k.givers[peer]
		if peer == k.id || time.Now().Before(to.ask) {
			continue
		}
		for taken < most && k.ctx.Err() == nil {
			if len(pages) == 0 {
				if pages = k.offers(min(most-taken, offerAtOnce)); len(pages) == 0 {
					return taken
				}
			}
			looked, got, err := k.give(peer, pages, urgent)
			if err != nil {
				k.log.Debug("pages cannot be offered", "peer", peer, "error", err)
				to.ask = time.Now().Add(silentPause)
				break
			}
			taken += got
			pages = pages[looked:]
			if len(pages) > 0 || got == 0 { // it has no room for the next one, or they are on their way already
				to.ask = time.Now().Add(fullPause)
				break
			}
		}
	}
	return taken
}

// give offers pages to one peer. It says at how many it has looked, and how many
// of them it takes.
func (k *keeper) give(peer addr.NodeID, pages []*controlpb.TakeRequest_Page, urgent bool) (looked int, taken int64, err error) {
	ctx, cancel := context.WithTimeout(k.ctx, offerTime)
	defer cancel()
	service, err := k.roomOf(peer)
	if err != nil {
		return 0, 0, err
	}
	answer, err := service.Take(ctx, &controlpb.TakeRequest{Pages: pages, Urgent: urgent})
	if err != nil {
		return 0, 0, err
	}
	return min(int(answer.Looked), len(pages)), int64(answer.Taken), nil
}

// offers are up to so many pages that only this node has: first those that no
// other node has a copy of, then those with copies elsewhere, which are lost
// with the right to write. Master copies are among them.
func (k *keeper) offers(most int64) (pages []*controlpb.TakeRequest_Page) {
	first := rand.IntN(shardCount)
	for _, right := range []protocol.Right{protocol.Write, protocol.None, protocol.Owned} {
		for i := range k.shards {
			s := &k.shards[(first+i)%shardCount]
			s.mu.Lock()
			var some []addr.PageNum
			if right == protocol.None {
				some = s.masterPages(most - int64(len(pages)))
			} else {
				some = s.victims(most-int64(len(pages)), func(r protocol.Right) bool { return r == right })
			}
			for _, p := range some {
				pages = append(pages, &controlpb.TakeRequest_Page{Page: uint32(p), Generation: k.segment(p).core.Generation})
			}
			s.unlock()
			if int64(len(pages)) >= most {
				return pages
			}
		}
	}
	return pages
}

// masterPages are up to so many pages of which the shard has master copies.
// Preconditions: s.mu is held.
func (s *shard) masterPages(most int64) (pages []addr.PageNum) {
	for seg := range s.node.segments.Load().all() {
		if seg.removed.Load() {
			continue
		}
		for p := range seg.masters[s.index].All {
			if int64(len(pages)) >= most {
				return pages
			}
			pages = append(pages, p)
		}
	}
	return pages
}

// rooms implements the room service.
type rooms struct {
	controlpb.UnimplementedRoomServer
	node *Node
}

// Take implements the room service.
func (o rooms) Take(_ context.Context, req *controlpb.TakeRequest) (*controlpb.TakeReply, error) {
	n := o.node
	select {
	case <-n.connected:
	default:
		return &controlpb.TakeReply{}, nil // it is not formed yet
	}
	if n.room != nil && req.Urgent && n.room.waiting.Load() == 0 {
		if lacks := int64(len(req.Pages)) - n.room.free(); lacks > 0 {
			n.dropCopies(lacks)
		}
	}
	answer := &controlpb.TakeReply{}
	var out outbox
	defer out.flush()
	for _, page := range req.Pages {
		asked, ok := n.take(addr.PageNum(page.Page), page.Generation, req.Urgent, &out)
		if !ok {
			break
		}
		answer.Looked++
		if asked {
			answer.Taken++
		}
	}
	return answer, nil
}

// take asks for a page that another node has no room for. It is not ok if there
// is no room here either; asked says that the page is coming.
func (n *Node) take(p addr.PageNum, generation uint64, urgent bool, out *outbox) (asked, ok bool) {
	s := n.shardOf(p)
	s.mu.Lock()
	defer s.unlockInto(out)
	seg := n.segment(p)
	switch {
	case seg == nil || seg.core.Generation != generation || seg.removed.Load():
		return false, true // the nodes hear of segments at different times
	case s.core.Asking(p) || s.core.RightTo(p) == protocol.Write:
		return false, true // it is coming already
	case seg.file.Open() != nil: // no process of this node has used it, and there is no descriptor
		return false, true
	case !n.fetching.try(1):
		return false, false
	}
	if r := n.room; r != nil && s.brings(p) {
		if !urgent && r.free() <= 2*r.slack || !r.ask(1) {
			n.fetched()
			return false, false
		}
		seg.charged.Add(1)
	}
	s.wait(p, waiter{write: true, fetched: n.fetched})
	s.give(protocol.Input{Kind: protocol.InWriteFault, Page: p})
	return true, true
}
