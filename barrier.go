package mome

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
)

// Barrier is one party's place in a barrier of the cluster, known by its name. A
// party is one thread of control: its calls come one after the other.
type Barrier struct {
	node           *Node
	name           string
	party, parties int
	closed         atomic.Bool

	mu      sync.Mutex      // held through a Wait
	round   uint64          // rounds that are over
	arrival *client.Pending // in the round after, until it is over
}

// Barrier joins the barrier of that name as one of its parties, 0 <= party <
// parties, without waiting for the others. The error wraps ErrMismatch if the
// party is taken, and says by which process, or if others joined with another
// number of parties.
//
// A name may be used again and again, by the same program or by another. Who
// has left, or comes to a barrier at which a party is missing, joins the next
// barrier of that name, though others have not left the one before. So parties
// that each join, wait and leave, over and over, are together each time.
func (n *Node) Barrier(ctx context.Context, name string, party, parties int) (*Barrier, error) {
	b := &Barrier{node: n, name: name, party: party, parties: parties}
	err := n.takeSeat(b)
	if err == nil {
		if err = n.joinBarrier(ctx, name, party, parties); err != nil {
			n.giveSeat(b)
		}
	}
	if err != nil {
		return nil, wrap(err, "mome: join barrier %s as party %d of %d", client.Quote(name), party, parties)
	}
	return b, nil
}

// seat is a party's place at a barrier.
type seat struct {
	name  string
	party int
}

// takeSeat sees to it that no two Barriers of this process are one party: the
// node takes a second join for the first one again.
func (n *Node) takeSeat(b *Barrier) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := seat{b.name, b.party}
	if n.seats[s] != nil {
		return fmt.Errorf("%w: this process has joined as that party already", ErrMismatch)
	}
	n.seats[s] = b
	return nil
}

// giveSeat is the end of what takeSeat began.
func (n *Node) giveSeat(b *Barrier) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := (seat{b.name, b.party}); n.seats[s] == b {
		delete(n.seats, s)
	}
}

// maxParties bounds a barrier.
const maxParties = 1 << 20

func (n *Node) joinBarrier(ctx context.Context, name string, party, parties int) error {
	if err := client.ValidName(name); err != nil {
		return err
	}
	if parties < 1 || parties > maxParties || party < 0 || party >= parties {
		return fmt.Errorf("%w: parties go from 0 to their number - 1, which is at most %d", ErrInvalid, maxParties-1)
	}
	_, err := n.call(ctx, &attachpb.Request{Body: &attachpb.Request_BarrierJoin{
		BarrierJoin: &attachpb.BarrierJoin{Name: name, Party: uint32(party), Parties: uint32(parties)},
	}})
	if errors.Is(err, ErrMismatch) {
		return because(err, n.why(ctx, seatOf(name, party, parties)))
	}
	return n.explain(ctx, err, seatOf(name, party, parties))
}

// Wait returns nil when all parties have arrived as often as this one. What each
// of them stored before it arrived, all of them see after. A party arrives by
// calling Wait, unless it did so by Arrive.
//
// When the context ends first, this party has arrived all the same, unless the
// context was over before Wait could ask; the next Wait goes on waiting for the
// same round. Of a deadline that has passed the error says which parties have not
// come, and which have not joined: to find that out may take half a second more. The
// error wraps ErrPartyDied if a party died or left that the round needs: this barrier
// is of no use then. Leave it; who joins it again, as all parties may, is in the next
// one of the name.
func (b *Barrier) Wait(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.arrival == nil {
		if b.closed.Load() {
			return b.wrap(errBarrierClosed)
		}
		if err := ctx.Err(); err != nil {
			return b.wrap(err)
		}
		if err := b.arrive(nil); err != nil {
			return b.wrap(err)
		}
	}
	over, err := b.arrival.Await(ctx)
	if over {
		b.arrival = nil
	}
	if err != nil && b.node.isClosed() {
		err = ErrClosed // Close has left the barrier, and that is why
	}
	if err != nil {
		return b.wrap(b.node.explain(ctx, err, seatOf(b.name, b.party, b.parties)))
	}
	b.round++
	return nil
}

// seatOf asks about a party of a barrier.
func seatOf(name string, party, parties int) *attachpb.Explain {
	return &attachpb.Explain{What: &attachpb.Explain_Barrier{
		Barrier: &attachpb.BarrierSeat{Name: name, Party: uint32(party), Parties: uint32(parties)}}}
}

// Arrive is the first half of Wait, which is still to be called: it tells the
// others that this party has arrived, and waits for nobody. What the party does
// between the two hides the time that the barrier takes. Others may be past the
// barrier meanwhile: what the party stores there they may see at once, and see
// for sure after the next round; and what they store there it must not rely on
// before Wait has returned. The error wraps ErrInvalid if Wait was not called
// since the last Arrive.
func (b *Barrier) Arrive() error { return b.ArrivePrefetch(nil) }

// ArrivePrefetch is Arrive, and asks for pages of s as PrefetchAll does: those
// that this party uses first after Wait. The node does so at the moment when all
// parties have arrived, together with its own messages about the barrier. It takes
// what fits into one message, which is some hundreds of hints: those behind it are
// dropped.
func (b *Barrier) ArrivePrefetch(s *Segment, hints ...Hint) error {
	all, err := s.prefetch(hints)
	if err != nil {
		return err
	}
	var ahead *attachpb.Prefetch
	if len(all) > 0 {
		ahead = all[0]
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if ahead != nil && s.node != b.node {
		return b.wrap(fmt.Errorf("%w: segment %q belongs to another attachment", ErrInvalid, s.Name()))
	}
	if b.closed.Load() {
		return b.wrap(errBarrierClosed)
	}
	if b.arrival != nil {
		return b.wrap(fmt.Errorf("%w: this party has arrived already: call Wait first", ErrInvalid))
	}
	return b.wrap(b.arrive(ahead))
}

// arrive asks for the end of the round.
// Preconditions: mu is held, and arrival is nil.
func (b *Barrier) arrive(ahead *attachpb.Prefetch) (err error) {
	b.arrival, err = b.node.client.Begin(&attachpb.Request{Body: &attachpb.Request_BarrierWait{BarrierWait: &attachpb.BarrierWait{
		Name: b.name, Party: uint32(b.party), Parties: uint32(b.parties), Round: b.round + 1, Prefetch: ahead,
	}}})
	return err
}

func (b *Barrier) wrap(err error) error {
	return wrap(err, "mome: barrier %s, party %d, round %d", client.Quote(b.name), b.party, b.round+1)
}

// leaveBarriers gives up every seat that this process has, and returns when the
// cluster knows: whoever comes to one of them afterwards, as the same program does
// that is started again, finds it free. A seat that cannot be given up is given up
// by the hang-up.
func (n *Node) leaveBarriers() {
	n.mu.Lock()
	var left []*Barrier
	for _, b := range n.seats {
		if !b.closed.Swap(true) {
			left = append(left, b)
		}
	}
	clear(n.seats)
	n.mu.Unlock()
	for some := range slices.Chunk(left, maxLeaves) {
		var pending []*client.Pending
		for _, b := range some {
			if p, err := n.client.Begin(b.leave()); err == nil {
				pending = append(pending, p)
			}
		}
		for _, p := range pending {
			_, _ = p.Await(context.Background())
		}
	}
}

// maxLeaves is how many seats are given up at once: a node takes a limited number of
// requests.
const maxLeaves = 256

func (b *Barrier) leave() *attachpb.Request {
	return &attachpb.Request{Body: &attachpb.Request_BarrierLeave{
		BarrierLeave: &attachpb.BarrierLeave{Name: b.name, Party: uint32(b.party)},
	}}
}

var errBarrierClosed = fmt.Errorf("%w: the party has left", ErrClosed)

// Close leaves the barrier. A round that this party has not come to is never over.
// When Close has returned, the party may be joined again, which is one of the next
// barrier of that name. It may be called again.
func (b *Barrier) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	defer b.node.giveSeat(b)
	_, err := b.node.call(context.Background(), b.leave())
	return wrap(err, "mome: leave barrier %s", client.Quote(b.name))
}
