package node

import (
	"context"
	"math/rand/v2"
	"time"

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
	// offerTime is how long the keeper waits for the answer to an offer, and serves
	// nobody meanwhile. A later answer is heard when it comes.
	offerTime = 500 * time.Millisecond
	// fullPause is how long a node that took nothing is not asked again, silentPause
	// one that cannot be reached.
	fullPause   = 20 * time.Millisecond
	silentPause = 2 * time.Second
)

// taker is what the keeper knows of a peer.
type taker struct {
	ask  time.Time   // not before
	full bool        // its last answer; not known otherwise
	late chan answer // to an offer, which has not come in time; nil: none
}

// answer is what became of an offer.
type answer struct {
	looked int   // at so many of the pages, from the first on
	taken  int64 // of them
	full   bool
	err    error
}

// offer gives up to so many pages to other nodes, and says how many were taken.
// none says that there are no pages here that could be offered now.
func (k *keeper) offer(most int64, urgent bool) (taken int64, none bool) {
	var pages []*controlpb.TakeRequest_Page
	all := k.sortedPeers()
	first := rand.IntN(len(all))
	for i := range all {
		to := all[(first+i)%len(all)]
		if to.id == k.id || to.taker.late != nil || time.Now().Before(to.taker.ask) {
			continue
		}
		for taken < most && k.ctx.Err() == nil {
			if len(pages) == 0 {
				if pages = k.offers(min(most-taken, offerAtOnce)); len(pages) == 0 {
					return taken, true
				}
			}
			a, ok := k.offerTo(to, pages, urgent)
			if !ok { // it may take them still
				pages = nil
				break
			}
			taken += a.taken
			pages = pages[a.looked:]
			if len(pages) > 0 || a.taken == 0 { // it has no room for the next one, or they are on their way already
				break
			}
		}
	}
	return taken, false
}

// offerTo offers pages to one peer. It is not ok if the answer is not there in time.
func (k *keeper) offerTo(to *peer, pages []*controlpb.TakeRequest_Page, urgent bool) (a answer, ok bool) {
	answers := make(chan answer, 1)
	to.taker.full, to.taker.late = false, answers
	k.goroutine(func() {
		answers <- k.call(to, pages, urgent)
		k.room.poke()
	})
	late := time.NewTimer(offerTime)
	defer late.Stop()
	select {
	case a := <-answers:
		k.heard(to, a, len(pages))
		return a, true
	case <-late.C:
	case <-k.ctx.Done():
	}
	return answer{}, false
}

// call makes the call of an offer.
func (k *keeper) call(to *peer, pages []*controlpb.TakeRequest_Page, urgent bool) answer {
	service, err := to.rooms(k.cfg.Token)
	if err != nil {
		return answer{err: err}
	}
	reply, err := service.Take(k.ctx, &controlpb.TakeRequest{Pages: pages, Urgent: urgent})
	if err != nil {
		return answer{err: err}
	}
	return answer{looked: min(int(reply.Looked), len(pages)), taken: int64(reply.Taken), full: reply.Full && urgent}
}

// heard keeps what the answer to an offer says of a peer.
func (k *keeper) heard(from *peer, a answer, offered int) {
	t := &from.taker
	t.full, t.late = a.full, nil
	switch {
	case a.err != nil:
		k.log.Debug("pages cannot be offered", "peer", from.id, "error", a.err)
		t.ask = time.Now().Add(silentPause)
	case a.taken == 0 || a.looked < offered:
		t.ask = time.Now().Add(fullPause)
	}
}

// hearLate hears the answers that have not come in time, and says how many pages
// were taken.
func (k *keeper) hearLate() (taken int64) {
	for _, p := range *k.peers.Load() {
		select {
		case a := <-p.taker.late:
			k.heard(p, a, a.looked)
			taken += a.taken
		default:
		}
	}
	return taken
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
		return &controlpb.TakeReply{}, nil // it is not formed yet, which is not to be full
	}
	if n.room != nil && req.Urgent && n.room.waiting.Load() == 0 {
		if lacks := int64(len(req.Pages)) - n.room.free(); lacks > 0 {
			n.dropCopies(lacks)
		}
	}
	reply := &controlpb.TakeReply{Full: true}
	var out outbox
	defer out.flush()
	for _, page := range req.Pages {
		o := n.take(addr.PageNum(page.Page), page.Generation, req.Urgent, &out)
		if o != offerNoRoom && o != offerUnable {
			reply.Full = false
		}
		if o == offerNoRoom || o == offerBusy {
			break
		}
		reply.Looked++
		if o == offerTaken {
			reply.Taken++
		}
	}
	if r := n.room; r != nil && r.waiting.Load() > 0 && !r.stuck.Load() {
		reply.Full = false // it makes room, if for itself first
	}
	return reply, nil
}

// outcome is what becomes of a page that this node is offered.
type outcome uint8

const (
	offerTaken  outcome = iota // it is asked for
	offerComing                // it is on its way already, or one of the nodes is behind
	offerUnable                // this node cannot have this page
	offerBusy                  // this node asks for too many others
	offerNoRoom                // there is no room here either
)

// take asks for a page that another node has no room for.
func (n *Node) take(p addr.PageNum, generation uint64, urgent bool, out *outbox) outcome {
	s := n.shardOf(p)
	s.mu.Lock()
	defer s.unlockInto(out)
	seg := n.segment(p)
	switch {
	case seg == nil || seg.core.Generation != generation || seg.removed.Load():
		return offerComing // the nodes hear of segments at different times
	case s.core.Asking(p) || s.core.RightTo(p) == protocol.Write:
		return offerComing
	case seg.file.Open() != nil: // no process of this node has used it, and there is no descriptor
		return offerUnable
	case !n.fetching.try(1):
		return offerBusy
	}
	if r := n.room; r != nil && s.brings(p) {
		if !urgent && r.free() <= 2*r.slack || !r.ask(1) {
			n.fetched()
			return offerNoRoom
		}
		seg.charged.Add(1)
	}
	s.wait(p, waiter{write: true, fetched: n.fetched})
	s.handle(protocol.Input{Kind: protocol.InWriteFault, Page: p})
	return offerTaken
}
