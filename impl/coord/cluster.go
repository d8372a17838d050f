package coord

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
)

// DefaultName is the name of a cluster that is given none.
const DefaultName = "mome"

// prefixAll is that of all clusters: the keys of each are below its name.
const prefixAll = "/mome/"

var clusterName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}$`)

// CheckName says whether clusters may have a name; ErrBadName if they may not.
func CheckName(name string) error {
	if !clusterName.MatchString(name) {
		return fmt.Errorf("%w: a cluster's name is not %s: give up to 64 letters, digits and . _ @ -, beginning with a letter, a digit or _",
			ErrBadName, quote(name))
	}
	return nil
}

// quote is a name for a message: of one that is no name for its length, the beginning.
func quote(name string) string {
	const shown, most = 40, 128
	if len(name) <= most {
		return strconv.Quote(name)
	}
	return fmt.Sprintf("%q… (%d bytes)", strings.ToValidUTF8(name[:shown], ""), len(name))
}

// PrefixOf is the prefix of the keys of the cluster with a name, in a store that
// clusters share.
func PrefixOf(name string) string { return prefixAll + name + "/" }

// The keys of one cluster, below the store's prefix.
const (
	keyCluster     = "cluster"
	keyHead        = "head"
	prefixMember   = "member/"
	prefixSegments = "segment/"
	// prefixChanges, and a Config's instance: the change that it made last.
	prefixChanges = "change/"
)

// format is the version of the records; a build reads only its own.
const format = 3

// MaxNodes is the most nodes of a cluster: what a NodeID can number.
const MaxNodes = 1 << 16

// MaxSlots is the most shares that the pages have: some for each of MaxNodes.
const MaxSlots = 1 << 20

var (
	// ErrFounded: the store holds another cluster already.
	ErrFounded = errors.New("mome: cluster exists already")
	// ErrEnded: the cluster has ended; nothing of it changes any more.
	ErrEnded = errors.New("mome: cluster has ended")
	// ErrReplaced: the store holds another cluster than it did.
	ErrReplaced = errors.New("mome: cluster was replaced by another")
	// ErrNoCluster: the store holds no cluster yet.
	ErrNoCluster = errors.New("mome: no cluster in the configuration store")
	// ErrBadConfig: a record that this build cannot use.
	ErrBadConfig = errors.New("mome: unusable cluster configuration")
	// ErrRolledBack: the store's content is older than what was read from it
	// before.
	ErrRolledBack = errors.New("mome: configuration store went back in time")
)

// Cluster is what the founding node decides. It never changes.
type Cluster struct {
	// ID tells clusters apart. Empty: Found makes one.
	ID string `json:"id"`
	// Nodes is how many nodes the cluster has when it is complete, 1 to
	// MaxNodes.
	Nodes int `json:"nodes"`
	// Fanout is the most children of one manager, at least 2.
	Fanout int `json:"fanout"`
	// Slots is how many slots the pages map to, 1 to MaxSlots.
	Slots int `json:"slots"`
	// Transport names what the links between nodes run on.
	Transport string `json:"transport"`
	// Base is where programs have page 0. Zero: addr.DefaultBase.
	Base addr.Base `json:"base"`
	// Residence is how long a page stays at least with who was granted it; zero:
	// not at all.
	Residence time.Duration `json:"residence_ns"`
	// Repair is how long nothing may be heard of a node before it is lost.
	Repair time.Duration `json:"repair_ns"`
	// PageSize is in bytes. Zero: addr.PageSize, the only one there is.
	PageSize int `json:"page_size"`
	// Created is the version of momenode that founded the cluster.
	Created string `json:"created"`
	// Format is the version of the records in the store; Found sets it.
	Format int `json:"format"`
}

// complete fills in what has a default.
func (c *Cluster) complete() {
	if c.PageSize == 0 {
		c.PageSize = addr.PageSize
	}
	if c.Base == 0 {
		c.Base = addr.DefaultBase
	}
	c.Format = format
}

func (c Cluster) check() error {
	var what string
	switch {
	case c.Format != format:
		what = fmt.Sprintf("its records have format %d, this build reads format %d: use the version that founded it", c.Format, format)
	case c.PageSize != addr.PageSize:
		what = fmt.Sprintf("its pages have %d bytes, this build's %d", c.PageSize, addr.PageSize)
	case c.Nodes < 1 || c.Nodes > MaxNodes:
		what = fmt.Sprintf("%d nodes: give 1 to %d", c.Nodes, MaxNodes)
	case c.Fanout < 2:
		what = fmt.Sprintf("fanout %d: give at least 2", c.Fanout)
	case c.Slots < 1 || c.Slots > MaxSlots:
		what = fmt.Sprintf("%d slots: give 1 to %d", c.Slots, MaxSlots)
	case c.Base.Check() != nil:
		what = c.Base.Check().Error()
	case c.Residence < 0:
		what = fmt.Sprintf("a residence of %v: give 0 or more", c.Residence)
	case c.Repair <= 0:
		what = fmt.Sprintf("a repair time of %v: give more than 0", c.Repair)
	default:
		return nil
	}
	return fmt.Errorf("%w: cluster %s: %s", ErrBadConfig, c.ID, what)
}

// head is the record that every transaction of the configuration is
// conditional on and writes.
type head struct {
	// Epoch counts the changes of membership, from 1.
	Epoch uint64 `json:"epoch"`
	// Generation is that of the segment created last; zero before the first.
	Generation uint64 `json:"generation"`
	// Ended says why the cluster has ended. Empty: it has not.
	Ended string `json:"ended,omitempty"`
}

// Found creates the cluster in a store that holds none, or one that has ended:
// exactly once, whoever else tries at the same time. All that the store held of
// the one before goes in the same transaction. Founding again with the same ID
// does nothing; another cluster in the store is ErrFounded.
func Found(ctx context.Context, store Store, c Cluster) error {
	return putCluster(ctx, store, c, false)
}

// FoundAnew is Found, over whatever the store holds: for who knows that no node
// of it can be alive.
func FoundAnew(ctx context.Context, store Store, c Cluster) error {
	return putCluster(ctx, store, c, true)
}

func putCluster(ctx context.Context, store Store, c Cluster, anew bool) error {
	if c.ID == "" {
		c.ID = rand.Text()
	}
	c.complete()
	if err := c.check(); err != nil {
		return err
	}
	for {
		old, err := store.Get(ctx, keyCluster)
		if err != nil {
			return fmt.Errorf("found cluster %s: %w", c.ID, err)
		}
		oldHead, err := store.Get(ctx, keyHead)
		if err != nil {
			return fmt.Errorf("found cluster %s: %w", c.ID, err)
		}
		if !anew && old.ModRev != 0 {
			there, err := inTheWay(old, oldHead)
			if err != nil {
				return err
			}
			if there != nil && there.ID == c.ID {
				return nil
			}
			if there != nil {
				return fmt.Errorf("%w: %s, of %d nodes, founded by %s: join it, or found one of another name",
					ErrFounded, there.ID, there.Nodes, there.Created)
			}
		}
		// What this build does not know goes too: it is about the old cluster.
		ok, _, err := store.Txn(ctx, []Cond{{keyCluster, old.ModRev}, {keyHead, oldHead.ModRev}}, []Op{
			Put(keyCluster, encode(c)), Put(keyHead, encode(head{Epoch: 1})),
			DeleteRange("", keyCluster), DeleteRange(keyCluster+"\x00", keyHead), DeleteRange(keyHead+"\x00", EndOfKeys),
		})
		if err != nil {
			return fmt.Errorf("found cluster %s: %w", c.ID, err)
		}
		if ok {
			return nil
		}
	}
}

// inTheWay is the cluster of two records, nil if it has ended.
func inTheWay(cluster, headEntry Entry) (*Cluster, error) {
	var there Cluster
	if err := decode(cluster.Key, cluster.Value, &there); err != nil {
		return nil, err
	}
	var h head
	if headEntry.ModRev != 0 {
		if err := decode(headEntry.Key, headEntry.Value, &h); err != nil {
			return nil, err
		}
	}
	if h.Ended != "" {
		return nil, nil
	}
	return &there, nil
}

// End marks the cluster as ended: nothing of it changes from then on, and Found
// founds over it. The first reason stays. In a cluster of fixed members the end
// of one is that of all, so whichever ends says so; a Config that has not joined
// ends nothing.
func (c *Config) End(ctx context.Context, reason string) error {
	return c.change(ctx, "end the cluster", func(v *View, h *head) ([]Op, error) {
		if v.Ended != "" || !slices.ContainsFunc(v.Joined(), func(m Member) bool { return m.Instance == c.instance }) {
			return nil, nil
		}
		h.Ended = cmp.Or(reason, "no reason was given")
		return []Op{}, nil
	})
}

// encode cannot fail on this package's records.
func encode(record any) []byte {
	b, err := json.Marshal(record)
	if err != nil {
		panic(fmt.Sprintf("coord: encoding %#v: %v", record, err))
	}
	return b
}

func decode(key string, value []byte, record any) error {
	if err := json.Unmarshal(value, record); err != nil {
		return fmt.Errorf("%w: record %q: %w", ErrBadConfig, key, err)
	}
	return nil
}
