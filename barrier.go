package mome

import (
	"context"
	"fmt"
	"sync"

	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
)

// Barrier is one party's place in a barrier of the cluster, known by its name.
type Barrier struct {
	node           *Node
	name           string
	party, parties int

	mu    sync.Mutex // held through a Wait
	round uint64     // rounds that are over
}

// Barrier joins the barrier of that name as one of its parties, 0 <= party <
// parties, without waiting for the others. The error wraps ErrMismatch if the
// party is taken, or if others joined with another number of parties.
func (n *Node) Barrier(ctx context.Context, name string, party, parties int) (*Barrier, error) {
	if err := n.joinBarrier(ctx, name, party, parties); err != nil {
		return nil, wrap(err, "mome: join barrier %q as party %d of %d", name, party, parties)
	}
	return &Barrier{node: n, name: name, party: party, parties: parties}, nil
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
	return err
}

// Wait returns nil when all parties have called it as often as this one. What
// each of them stored before, all of them see after.
//
// When the context ends first, this party has arrived all the same, unless the
// context was over before Wait could ask; the next Wait goes on waiting for the
// same round. The error wraps ErrPartyDied if a party died or left that the round
// needs: the barrier is of no use then, until all have left.
func (b *Barrier) Wait(ctx context.Context) error { return b.wait(ctx, nil) }

// WaitPrefetch is Wait, and asks for pages of s as PrefetchAll does: those that
// this party uses first after the barrier. The node does so at the moment when
// all parties have arrived, together with its own messages about the barrier.
func (b *Barrier) WaitPrefetch(ctx context.Context, s *Segment, hints ...Hint) error {
	ahead, err := s.prefetch(hints)
	if err != nil {
		return err
	}
	return b.wait(ctx, ahead)
}

func (b *Barrier) wait(ctx context.Context, ahead *attachpb.Prefetch) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := b.node.call(ctx, &attachpb.Request{Body: &attachpb.Request_BarrierWait{BarrierWait: &attachpb.BarrierWait{
		Name: b.name, Party: uint32(b.party), Parties: uint32(b.parties), Round: b.round + 1, Prefetch: ahead,
	}}})
	if err != nil {
		return wrap(err, "mome: barrier %q, party %d, round %d", b.name, b.party, b.round+1)
	}
	b.round++
	return nil
}

// Close leaves the barrier. The barrier is gone when all parties have left; then
// the name may be used again.
func (b *Barrier) Close() error {
	_, err := b.node.call(context.Background(), &attachpb.Request{Body: &attachpb.Request_BarrierLeave{
		BarrierLeave: &attachpb.BarrierLeave{Name: b.name, Party: uint32(b.party)},
	}})
	return wrap(err, "mome: leave barrier %q", b.name)
}
