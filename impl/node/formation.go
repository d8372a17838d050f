package node

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/coord"
	"github.com/mome-dsm/mome/internal/ranges"
)

// formation is for whom a node waits before it serves: those who start it and
// programs that have attached already are told, whenever it changes.
type formation struct {
	log  *slog.Logger
	told func(waits string) // Config.Waiting

	mu      sync.Mutex // guards what follows
	waits   string     // for people; empty once the node serves
	changed chan struct{}
	members []coord.Member // that have joined, of the last view
	linked  map[addr.NodeID]bool
}

func newFormation(cfg *Config) *formation {
	return &formation{log: cfg.Log, told: cfg.Waiting, waits: "this node has not joined its cluster yet", changed: make(chan struct{})}
}

// now is for whom the node waits, and a channel that is closed when that changes.
func (f *formation) now() (waits string, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waits, f.changed
}

// wait says for whom the node waits from now on.
func (f *formation) wait(waits string, details ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set(waits, details...)
}

// set is wait.
// Preconditions: f.mu is held.
func (f *formation) set(waits string, details ...any) {
	if waits == f.waits {
		return
	}
	f.waits = waits
	close(f.changed)
	f.changed = make(chan struct{})
	if waits != "" {
		f.log.Info(waits, details...)
		f.told(waits)
	}
}

// serves is the end of the waiting.
func (f *formation) serves() { f.wait("") }

// joined looks at a view of a cluster that may not be complete.
func (f *formation) joined(self addr.NodeID, v *coord.View) {
	f.mu.Lock()
	defer f.mu.Unlock()
	missing := v.Missing()
	if len(missing) == 0 {
		return // the links are next
	}
	waits := fmt.Sprintf("node %d has joined, waits for %d of %d nodes: %s", self, len(missing), v.Cluster.Nodes, they(missing, "has not joined", "have not joined"))
	var details []any
	members := v.Joined()
	for _, m := range members {
		if m.Node != self && !slices.ContainsFunc(f.members, func(o coord.Member) bool { return o.Node == m.Node }) {
			details = append(details, "joined", fmt.Sprintf("node %d at %s", m.Node, m.Address))
		}
	}
	f.members = members
	f.set(waits, details...)
}

// linking is told that the links with these members are being made.
func (f *formation) linking(self addr.NodeID, members []coord.Member) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.linked = make(map[addr.NodeID]bool)
	for _, m := range members {
		f.linked[m.Node] = m.Node == self
	}
	f.lookAtLinks(self)
}

// up is told that the link with a peer is there.
func (f *formation) up(self, peer addr.NodeID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.linked[peer] = true
	if f.waits != "" {
		f.lookAtLinks(self)
	}
}

// lookAtLinks says which links are missing.
// Preconditions: f.mu is held.
func (f *formation) lookAtLinks(self addr.NodeID) {
	var missing []addr.NodeID
	for peer, linked := range f.linked {
		if !linked {
			missing = append(missing, peer)
		}
	}
	slices.Sort(missing)
	if len(missing) > 0 {
		f.set(fmt.Sprintf("node %d has joined, waits for %d of %d nodes: %s", self, len(missing), len(f.linked), they(missing, "is not linked", "are not linked")))
	}
}

// they is some nodes, by number, and what they have not done, in the singular or
// the plural.
func they(nodes []addr.NodeID, one, many string) string {
	if len(nodes) == 1 {
		return ranges.Text(nodes) + " " + one
	}
	return ranges.Text(nodes) + " " + many
}
