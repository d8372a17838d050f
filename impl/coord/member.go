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

// State of a member.
type State string

const (
	Alive State = "alive"
	Dead  State = "dead" // for good: a death is never taken back
)

// Member is one node of the cluster. Its record stays after its death.
type Member struct {
	Node addr.NodeID `json:"node"`
	// Address is where the node listens for the others.
	Address     string           `json:"address"`
	Incarnation addr.Incarnation `json:"incarnation"`
	// Joined is the epoch that the join began.
	Joined uint64 `json:"joined"`
	State  State  `json:"state"`
	// Died is the epoch that the death began, Reason what was observed. Both
	// are zero while the member is alive.
	Died   uint64 `json:"died,omitempty"`
	Reason string `json:"reason,omitempty"`
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
// a living member has the address.
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
			case m.Address == address && m.State == Alive:
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
			State:       Alive,
			Instance:    c.instance,
		}
		return []Op{Put(joined.key(), encode(joined))}, nil
	})
	return joined, err
}

// MarkDead commits the death of one life of a node, with a new epoch. Doing so
// again does nothing; the first reason stays. A node that has no such
// incarnation is ErrNotFound.
func (c *Config) MarkDead(ctx context.Context, node addr.NodeID, life addr.Incarnation, reason string) error {
	op := fmt.Sprintf("mark node %d dead", node)
	return c.update(ctx, op, func(v *View, h *head) ([]Op, error) {
		m := v.Member(node)
		if m.missing() || m.Incarnation != life {
			return nil, fmt.Errorf("%w: node %d, incarnation %d, among the %d members",
				ErrNotFound, node, life, v.Nodes())
		}
		if m.State == Dead {
			return nil, nil
		}
		h.Epoch++
		m.State, m.Died, m.Reason = Dead, h.Epoch, reason
		return []Op{Put(m.key(), encode(m))}, nil
	})
}
