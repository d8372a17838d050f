package node

import (
	"errors"
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/wire"
)

// links is what the node's links deliver to: a wire.Idler.
type links struct{ *Node }

// reader is what the reader of one link has queued since it flushed last. Only
// that reader touches it.
type reader struct {
	out    outbox
	frames int
}

// flushEvery bounds for how many frames in a row the answers wait.
const flushEvery = 8

// link is the link with a peer.
func (n *Node) link(peer addr.NodeID) *wire.Link {
	if int(peer) >= len(n.peers) {
		return nil
	}
	return n.peers[peer]
}

// Up implements wire.Handler.
func (n links) Up(peer addr.NodeID) {
	n.log.Debug("link is up", "peer", peer)
	n.linksUp.Done()
}

// Place implements wire.Handler: a page that this node waits for is received
// into the memfd itself.
func (n links) Place(_ addr.NodeID, m *protocol.Message) []byte {
	seg := n.segment(m.Page)
	if seg == nil {
		return nil
	}
	s := n.shardOf(m.Page)
	s.mu.Lock()
	frame, home := s.core.TakesInto(m)
	s.mu.Unlock()
	switch {
	case frame:
		return seg.frame.Page(m.Page)
	case home:
		return seg.home.Page(m.Page)
	}
	return nil
}

// Deliver implements wire.Handler. Neighbouring messages of one shard share a
// lock and a batch, as long as each is about another page.
func (n links) Deliver(peer addr.NodeID, f *wire.Frame) {
	r := &n.readers[peer]
	var s *shard
	end := func() {
		if s != nil {
			s.carryOut()
			s.unlockInto(&r.out)
			s = nil
		}
	}
	var last addr.PageNum
	f.Each(func(m *protocol.Message, page []byte) {
		if next := n.shardOf(m.Page); next != s {
			end()
			s = next
			s.mu.Lock()
		} else if m.Page <= last {
			// Pages of a batch ascend: so none comes twice.
			s.carryOut()
		}
		last = m.Page
		if page != nil {
			if seg := n.segment(m.Page); seg != nil {
				seg.stats.pagesIn.Add(1)
			}
		}
		switch err := s.input(protocol.Input{Kind: protocol.InMessage, Msg: m}, page); {
		case err == nil:
		case errors.Is(err, protocol.ErrEarly):
			s.early = append(s.early, earlyMessage{peer, *m, append([]byte(nil), page...)})
		default:
			n.refuse(peer, err)
		}
	}, func(m *wire.Sync) {
		end()
		n.deliverSync(peer, m)
	})
	end()
	if r.frames++; r.frames == flushEvery {
		n.Idle(peer)
	}
}

// Idle implements wire.Idler: the answers to frames that came together travel
// together.
func (n links) Idle(peer addr.NodeID) {
	r := &n.readers[peer]
	r.frames = 0
	r.out.flush()
}

// refuse ends the link with a peer that does not follow the protocol. In a
// cluster of fixed members that is the end of the run.
func (n links) refuse(peer addr.NodeID, err error) {
	n.fail(fmt.Errorf("node %d does not follow the protocol: %w", peer, err))
}

// Down implements wire.Handler: in a cluster of fixed members the loss of one
// is the end of the run.
func (n links) Down(peer addr.NodeID, err error) {
	if errors.Is(err, wire.ErrLeft) {
		n.left(peer)
		return
	}
	n.fail(fmt.Errorf("node %d is lost: %w", peer, err))
}

// replayEarly gives the core the messages again that came ahead of the
// configuration.
// Preconditions: s.mu is held.
func (s *shard) replayEarly() {
	early := s.early
	s.early = nil
	for i := range early {
		e := &early[i]
		switch err := s.input(protocol.Input{Kind: protocol.InMessage, Msg: &e.msg}, e.page); {
		case err == nil:
		case errors.Is(err, protocol.ErrEarly):
			s.early = append(s.early, *e)
		default:
			links{s.node}.refuse(e.peer, err)
		}
		s.carryOut()
	}
}
