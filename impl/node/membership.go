package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/coord"
)

const (
	// storeGrace is how much longer than a peer the configuration store may be
	// away while a node waits for the others.
	storeGrace = 3 * time.Second
	// endTime bounds the marking of a cluster as ended, endTimeStore where the
	// next run needs the mark.
	endTime      = 2 * time.Second
	endTimeStore = 5 * time.Second
)

// membership is this node's place in its cluster, as the configuration store has
// it. The members are fixed: the cluster ends with it.
type membership struct {
	*coord.Config
	node   *Node
	formed bool // the others learn by their links that this node is gone
	silent bool // the store has not answered for long
}

// openStore opens the configuration store, and founds a cluster in it if that is
// up to this node. The embedded one is nil where there is none.
func (n *Node) openStore(ctx context.Context) (*coord.Embedded, error) {
	cluster := coord.Cluster{Nodes: n.cfg.Nodes, Fanout: n.cfg.Fanout, Slots: n.cfg.Slots,
		Transport: n.cfg.Transport, Base: n.cfg.Base, Residence: n.cfg.Residence, Repair: n.cfg.Repair, Created: n.cfg.Version}
	prefix := coord.PrefixOf(n.cfg.Cluster)
	if n.cfg.Join != "" {
		return nil, n.reachFounder(ctx)
	}
	if len(n.cfg.Store) > 0 {
		if err := n.reachStore(ctx); err != nil {
			return nil, err
		}
		if err := coord.Found(ctx, n.store, cluster); err != nil && !errors.Is(err, coord.ErrFounded) {
			return nil, err
		}
		return nil, nil
	}
	embedded, err := coord.OpenEmbedded(ctx, coord.EmbeddedConfig{Dir: n.cfg.Directory, Prefix: prefix, Log: n.log})
	if err != nil {
		return nil, err
	}
	n.store = embedded
	// The store was in no process until now, so no node of what it holds runs.
	return embedded, coord.FoundAnew(ctx, embedded, cluster)
}

// join makes this node a member of the cluster in the store.
func (n *Node) join(ctx context.Context, address string) (coord.Member, error) {
	config, err := coord.Open(ctx, n.store)
	if errors.Is(err, coord.ErrNoCluster) && n.cfg.Join != "" {
		return coord.Member{}, fmt.Errorf("mome: there is no cluster %q at %s: give the --cluster that its founder was given", n.cfg.Cluster, n.cfg.Join)
	}
	if err != nil {
		return coord.Member{}, err
	}
	n.config = &membership{Config: config, node: n}
	there := n.config.View().Cluster
	if err := n.checkFounding(there); err != nil {
		return coord.Member{}, err
	}
	n.cfg.Residence, n.cfg.Repair = there.Residence, there.Repair
	var me coord.Member
	if n.cfg.NodeID == nil {
		me, err = n.config.Join(ctx, address)
	} else if me, err = n.config.JoinAs(ctx, *n.cfg.NodeID, address); err != nil {
		err = n.explainNumber(err)
	}
	if errors.Is(err, coord.ErrExists) || errors.Is(err, coord.ErrComplete) {
		err = fmt.Errorf("%w%s", err, n.ifDead())
	}
	return me, err
}

// explainNumber says what is wrong with the number that this node was given, if
// that is why it cannot join.
func (n *Node) explainNumber(err error) error {
	id, v := *n.cfg.NodeID, n.config.View()
	switch {
	case errors.Is(err, coord.ErrNotFound):
		return fmt.Errorf("mome: --node-id %d: the cluster has %d nodes, 0 to %d", id, v.Cluster.Nodes, v.Cluster.Nodes-1)
	case errors.Is(err, coord.ErrExists) && v.Member(id).Address != "":
		return fmt.Errorf("mome: --node-id %d is taken, by the node at %s: give each node a number of its own%s", id, v.Member(id).Address, n.ifDead())
	}
	return err
}

// checkFounding compares what this node was told to found with what is there.
func (n *Node) checkFounding(there coord.Cluster) error {
	for _, f := range []struct {
		flag         string
		given, there any
		unset        any
	}{
		{"nodes", n.cfg.given.Nodes, there.Nodes, 0},
		{"fanout", n.cfg.given.Fanout, there.Fanout, 0},
		{"slots", n.cfg.given.Slots, there.Slots, 0},
		{"transport", n.cfg.given.Transport, there.Transport, ""},
		{"base", n.cfg.given.Base, there.Base, addr.Base(0)},
		{"residence", n.cfg.given.Residence, there.Residence, time.Duration(-1)},
		{"repair", n.cfg.given.Repair, there.Repair, time.Duration(0)},
	} {
		if f.given != f.unset && f.given != f.there {
			return fmt.Errorf("mome: --%s %v, and cluster %q was founded with --%[1]s %[4]v: give the same, or leave --%[1]s out%[5]s",
				f.flag, f.given, n.cfg.Cluster, f.there, n.ifDead())
		}
	}
	return nil
}

// ifDead is what to do where an external store holds a cluster all of whose
// nodes were killed, so that none could mark it as ended: the end of an error.
// An embedded store never outlives its cluster.
func (n *Node) ifDead() string {
	if len(n.cfg.Store) == 0 {
		return ""
	}
	return fmt.Sprintf("; if no node of that cluster runs any more, remove it (etcdctl --endpoints=%s del --prefix %s), or give another --cluster",
		strings.Join(n.cfg.Store, ","), coord.PrefixOf(n.cfg.Cluster))
}

// await waits for what other nodes do before the cluster is complete. It fails
// when they, or the store, are gone.
func (m *membership) await(ctx context.Context, there func(*coord.View) bool) (*coord.View, error) {
	patience := m.node.cfg.Repair + storeGrace
	v, err := m.Await(ctx, patience, func(v *coord.View) bool { return v.Ended != "" || there(v) })
	if err == nil && v.Ended != "" {
		return nil, fmt.Errorf("mome: cluster %q ended before it was complete: %s; start all its nodes again", m.node.cfg.Cluster, v.Ended)
	}
	join := m.node.cfg.Join
	m.silent = errors.Is(err, coord.ErrUnavailable)
	switch {
	case errors.Is(err, coord.ErrUnavailable) && join != "":
		return nil, fmt.Errorf("the node at %s, which founded the cluster and keeps its configuration, has not answered for %v: start it again, then this one: %w", join, patience, err)
	case errors.Is(err, coord.ErrUnavailable):
		return nil, fmt.Errorf("the configuration store has not answered for %v: see that it runs, then start this node again: %w", patience, err)
	case errors.Is(err, coord.ErrRolledBack) && join != "", errors.Is(err, coord.ErrReplaced) && join != "":
		return nil, fmt.Errorf("the node at %s was started again, with another cluster: start this one again: %w", join, err)
	}
	return v, err
}

// Close ends the membership. The mark that the cluster has ended is for who waits
// for it to be complete, and for who founds the next one in an external store.
func (m *membership) Close() {
	n := m.node
	external, bound := len(n.cfg.Store) > 0, endTime
	if external {
		bound = endTimeStore
	}
	if !m.silent && (external || !m.formed) {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		err := m.End(ctx, m.reason())
		cancel()
		if err != nil && !errors.Is(err, coord.ErrReplaced) && external {
			n.log.Warn("the cluster could not be marked as ended in its store"+n.ifDead(), "error", err)
		}
	}
	m.Config.Close()
}

// reason is why this node ends.
func (m *membership) reason() string {
	n := m.node
	var failure *Failure
	switch err := n.Err(); {
	case errors.As(err, &failure):
		return fmt.Sprintf("node %d: %v", n.id, failure.Cause)
	case err != nil:
		return fmt.Sprintf("node %d: %v", n.id, err)
	case !m.formed:
		return fmt.Sprintf("node %d was stopped, or failed, before all were linked", n.id)
	}
	return fmt.Sprintf("node %d was stopped", n.id)
}
