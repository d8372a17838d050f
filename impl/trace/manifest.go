package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/protocol"
)

// Account is what a node says of its run when that ends, by counts that others
// have kept than its logs: the cores and the links.
type Account struct {
	Shards []CoreAccount // of the core of each shard
	// Sync is of the core of locks and barriers. Nil: there is none.
	Sync *CoreAccount
	// Links are with every other node, in the order of the peers.
	Links []LinkAccount
	// Failed is why the node has stopped in the middle of its work: then its
	// effects need not have been carried out. Empty: it has not.
	Failed string
}

// CoreAccount is what a core has done.
type CoreAccount struct {
	protocol.Work
	Held int // recalls that wait for the end of a residence
}

// LinkAccount is what a link has carried: page messages, and those of locks and
// barriers.
type LinkAccount struct {
	Peer          addr.NodeID `json:"peer"`
	Sent          uint64      `json:"sent"`
	Received      uint64      `json:"received"`
	SyncsSent     uint64      `json:"syncs_sent"`
	SyncsReceived uint64      `json:"syncs_received"`
	// Early are messages among those received that no core has taken, since they
	// came ahead of its configuration.
	Early int `json:"early,omitempty"`
	// Moot are those that no core will take, since a later one came ahead of it
	// as well: its sender had left their segment.
	Moot int `json:"moot,omitempty"`
}

// Manifest is the account of a node, and which logs it has left.
type Manifest struct {
	Format      int              `json:"format"`
	Node        addr.NodeID      `json:"node"`
	Incarnation addr.Incarnation `json:"incarnation"`
	Logs        []ManifestLog    `json:"logs"`
	Links       []LinkAccount    `json:"links"`
	Failed      string           `json:"failed,omitempty"`
}

// ManifestLog is what a manifest says of one log.
type ManifestLog struct {
	Name string `json:"name"`
	// Records is how many the log has.
	Records uint64 `json:"records"`
	// Inputs and Actions are those of the core that the log is of.
	Inputs  uint64 `json:"inputs"`
	Actions uint64 `json:"actions"`
	Held    int    `json:"held,omitempty"`
}

func manifestName(node addr.NodeID, incarnation addr.Incarnation) string {
	return fmt.Sprintf("node%05d-i%d-manifest.json", node, incarnation)
}

// manifest is what the recorder writes down of a node's account.
func (r *Recorder) manifest(a *Account) *Manifest {
	m := &Manifest{Format: Format, Node: r.header.Node, Incarnation: r.header.Incarnation, Logs: []ManifestLog{},
		Links: append([]LinkAccount{}, a.Links...), Failed: a.Failed}
	entry := func(h Header, log *Log, c CoreAccount) {
		l := ManifestLog{Name: h.fileName(), Inputs: c.Inputs, Actions: c.Actions, Held: c.Held}
		if log != nil {
			l.Records = log.seq
		}
		m.Logs = append(m.Logs, l)
	}
	for i, c := range a.Shards {
		h := r.header
		h.Shard = i
		entry(h, r.logs[i], c)
	}
	if a.Sync != nil {
		h := r.header
		h.Spec = SyncSpec
		var log *Log
		if r.sync != nil {
			log = r.sync.log
		}
		entry(h, log, *a.Sync)
	}
	return m
}

// write puts the manifest into a new file: whoever finds it finds all of it.
func (m *Manifest) write(dir string) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("trace: manifest: %w", err)
	}
	path := filepath.Join(dir, manifestName(m.Node, m.Incarnation))
	if err := os.WriteFile(path+".part", append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	return nil
}

// readManifest reads that of a node; nil if there is none.
func readManifest(dir string, node addr.NodeID, incarnation addr.Incarnation) (*Manifest, error) {
	path := filepath.Join(dir, manifestName(node, incarnation))
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	m := new(Manifest)
	if err := ndjson.NewLines(path, bytes.NewReader(text)).Header(Format, m); err != nil {
		return nil, err
	}
	if m.Node != node || m.Incarnation != incarnation {
		return nil, fmt.Errorf("%w: %s: it is that of node %d, incarnation %d", ndjson.ErrMalformed, path, m.Node, m.Incarnation)
	}
	return m, nil
}
