package node

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/wire"
)

// receiver is what the node's links deliver to: a wire.Idler.
type receiver struct{ *Node }

// reader is what the reader of one link has queued since it flushed last. Only
// that reader touches it.
type reader struct {
	out    outbox
	frames int
	order  []int32 // scratch of deliverPages
}

// flushEvery bounds for how many frames in a row the answers wait.
const flushEvery = 8

// Up implements wire.Handler.
func (n receiver) Up(peer addr.NodeID) {
	n.log.Debug("link is up", "peer", peer)
	n.forming.up(n.id, peer)
	n.linksUp.Done()
}

// Deliver implements wire.Handler. Messages about different pages commute, so
// those of a frame are taken page by page, in the order of the pages: then a
// page and its grant are one batch, and neighbours share a lock and system
// calls. Syncs keep their place.
//
// The kernel copies the pages from the link's buffer into the segment and maps them
// by one call for many. That costs less than to fault holes of the daemon's mapping
// in, to receive into them and to map them (impl/README.md has the figures).
func (n receiver) Deliver(peer addr.NodeID, f *wire.Frame) {
	from := n.peer(peer)
	if from == nil {
		<-n.connected
		if from = n.peer(peer); from == nil {
			return // the links could not be made, and the node ends
		}
	}
	if n.halted.Load() {
		return
	}
	r, first := &from.reader, 0
	for j := range f.Syncs {
		n.deliverPages(peer, r, f, first, int(f.After[j]))
		first = int(f.After[j])
		n.deliverSync(peer, &f.Syncs[j], &r.out)
	}
	n.deliverPages(peer, r, f, first, len(f.Messages))
	if r.frames++; r.frames == flushEvery {
		n.Idle(peer)
	}
}

// deliverPages hands over the messages [first, end) of a frame.
func (n receiver) deliverPages(peer addr.NodeID, r *reader, f *wire.Frame, first, end int) {
	r.order = r.order[:0]
	sorted := true
	for i := first; i < end; i++ {
		sorted = sorted && (i == first || f.Messages[i-1].Page <= f.Messages[i].Page)
		r.order = append(r.order, int32(i))
	}
	if !sorted {
		slices.SortStableFunc(r.order, func(a, b int32) int {
			return cmp.Compare(f.Messages[a].Page, f.Messages[b].Page)
		})
	}
	var s *shard
	for _, i := range r.order {
		m, page := &f.Messages[i], f.Pages[i]
		if m.From.Node != peer {
			n.refuse(peer, fmt.Errorf("%w: it speaks for node %d", protocol.ErrForeign, m.From.Node))
			break
		}
		if next := n.shardOf(m.Page); next != s {
			if s != nil {
				s.carryOut()
				s.unlockInto(&r.out)
			}
			s = next
			s.mu.Lock()
		}
		if page != nil {
			if seg := n.segment(m.Page); seg != nil && seg.core.Generation == m.Generation {
				seg.stats.pagesIn.Add(1)
			}
		}
		err := s.input(protocol.Input{Kind: protocol.InMessage, Msg: m}, page)
		if errors.Is(err, protocol.ErrEarly) {
			err = s.early.Postpone(m, slices.Clone(page), maxEarly)
		}
		if err != nil {
			n.refuse(peer, err)
			break
		}
	}
	if s != nil {
		s.carryOut()
		s.unlockInto(&r.out)
	}
}

// Idle implements wire.Idler: the answers to frames that came together travel
// together.
func (n receiver) Idle(peer addr.NodeID) {
	if from := n.peer(peer); from != nil {
		from.reader.frames = 0
		from.reader.out.flush()
	}
}

// refuse ends the run: a peer does not follow the protocol, and the members of
// the cluster are fixed. Nothing of the peer's is taken from then on.
func (n receiver) refuse(peer addr.NodeID, err error) {
	n.fail(fmt.Errorf("node %d does not follow the protocol: %w", peer, err))
}

// Down implements wire.Handler: in a cluster of fixed members the loss of one
// is the end of the run.
func (n receiver) Down(peer addr.NodeID, err error) {
	var failed *wire.PeerFailure
	switch {
	case errors.Is(err, wire.ErrLeft):
		n.left(peer)
	case errors.As(err, &failed):
		n.failBecause(failed.Cause, errors.New(failed.Reason))
	default:
		n.failBecause(peer, fmt.Errorf("node %d is lost: %w%s", peer, err, n.absences.end(peer, n.id)))
	}
}

// maxEarly bounds the messages of one peer to one shard that are ahead of the
// configuration. About a segment that this node has not heard of a peer has nothing
// else to say than requests, one for each page and place: as many as it may have
// asked for ahead, and one for each thread that faults.
const maxEarly = 2 * maxFetching

// replayEarly gives the core the messages again that came ahead of the
// configuration.
// Preconditions: s.mu is held.
func (s *shard) replayEarly() {
	s.early.Replay(func(m *protocol.Message, page []byte) error {
		err := s.input(protocol.Input{Kind: protocol.InMessage, Msg: m}, page)
		if err != nil && !errors.Is(err, protocol.ErrEarly) {
			receiver{s.node}.refuse(m.From.Node, err)
		}
		s.carryOut()
		return err
	})
}
