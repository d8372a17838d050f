package coord

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mome-dsm/mome/impl/addr"
)

// ErrComplete: as many nodes have joined as the cluster was founded for.
var ErrComplete = errors.New("mome: cluster is complete")

// Member is one node of the cluster. Its record stays for good.
type Member struct {
	Node addr.NodeID `json:"node"`
	// Address is where the node listens for the others.
	Address     string           `json:"address"`
	Incarnation addr.Incarnation `json:"incarnation"`
	// Joined is the epoch that the join began.
	Joined uint64 `json:"joined"`
	// Instance tells the Config that joined from any other, so that a join
	// whose outcome was unknown can be asked for again.
	Instance string `json:"instance"`
}

// missing says that the node has not joined yet.
func (m Member) missing() bool { return m.Incarnation == 0 }

func (m Member) key() string { return fmt.Sprintf("%s%05d", prefixMember, m.Node) }

// Join makes this node a member: the lowest NodeID that is free, incarnation 1, a
// new epoch.
// After an error whose outcome is unknown (ErrUnavailable) it may be called
// again with the same address: one Config joins at most once.
//
// It fails with ErrComplete when all nodes have joined, and with ErrExists when
// another member has the address.
func (c *Config) Join(ctx context.Context, address string) (Member, error) {
	return c.join(ctx, address, nil)
}

// JoinAs is Join with a number of the caller's choice. It fails with ErrExists also
// where another node has it, and with ErrNotFound where the cluster has no such
// number.
func (c *Config) JoinAs(ctx context.Context, node addr.NodeID, address string) (Member, error) {
	return c.join(ctx, address, &node)
}

func (c *Config) join(ctx context.Context, address string, wanted *addr.NodeID) (Member, error) {
	var joined Member
	err := c.update(ctx, "join "+address, func(v *View, h *head) ([]Op, error) {
		for _, m := range v.Joined() {
			switch {
			case m.Instance == c.instance && m.Address == address:
				joined = m
				return nil, nil
			case m.Address == address:
				return nil, fmt.Errorf("%w: address %s is that of node %d: give this node another",
					ErrExists, address, m.Node)
			}
		}
		if v.Complete() {
			return nil, fmt.Errorf("%w: cluster has all its %d nodes: %s is too many; found a cluster for more nodes",
				ErrComplete, v.Cluster.Nodes, address)
		}
		missing := v.Missing()
		node := missing[0]
		switch {
		case wanted == nil:
		case int(*wanted) >= v.Cluster.Nodes:
			return nil, fmt.Errorf("%w: node %d of a cluster of %d nodes: its nodes are 0 to %d",
				ErrNotFound, *wanted, v.Cluster.Nodes, v.Cluster.Nodes-1)
		case !slices.Contains(missing, *wanted):
			return nil, fmt.Errorf("%w: node %d is the one at %s: give this node another number",
				ErrExists, *wanted, v.Member(*wanted).Address)
		default:
			node = *wanted
		}
		h.Epoch++
		joined = Member{
			Node:        node,
			Address:     address,
			Incarnation: 1,
			Joined:      h.Epoch,
			Instance:    c.instance,
		}
		return []Op{Put(joined.key(), encode(joined))}, nil
	})
	return joined, err
}
