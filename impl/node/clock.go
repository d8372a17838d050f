package node

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/clock"
	"github.com/mome-dsm/mome/impl/node/controlpb"
)

// clockRounds is how often the reference is asked. The quickest answer counts.
const clockRounds = 32

// Clock implements the control service.
func (c control) Clock(context.Context, *controlpb.ClockRequest) (*controlpb.ClockReading, error) {
	own := clock.Local()
	return &controlpb.ClockReading{Clock: own.Name, NowNs: clock.Now(), BoundNs: own.Bound}, nil
}

// compareClock compares this node's clock with that of node 0, which all
// histories of the cluster refer to. Nodes on one machine have one clock, and
// nothing is measured.
func (n *Node) compareClock() (*attachpb.ClockReading, error) {
	own := clock.Local()
	if n.id == 0 {
		return &attachpb.ClockReading{Clock: own.Name, Reference: own.Name}, nil
	}
	conn, err := grpc.NewClient(n.config.View().Member(0).Address, withToken(n.cfg.Token)...)
	if err != nil {
		return nil, fmt.Errorf("compare clocks with node 0: %w", err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(n.ctx, statusTime)
	defer cancel()
	var reference *controlpb.ClockReading
	offset, bound, err := clock.Compare(clockRounds, func() (int64, error) {
		reference, err = controlpb.NewControlClient(conn).Clock(ctx, &controlpb.ClockRequest{})
		return reference.GetNowNs(), err
	})
	if err != nil {
		return nil, fmt.Errorf("compare clocks with node 0: %w", err)
	}
	if reference.Clock == own.Name {
		return &attachpb.ClockReading{Clock: own.Name, Reference: own.Name}, nil
	}
	return &attachpb.ClockReading{Clock: own.Name, Reference: reference.Clock, OffsetNs: offset,
		BoundNs: bound + own.Bound + reference.BoundNs}, nil
}
