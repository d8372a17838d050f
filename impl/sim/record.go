package sim

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// Record makes every node write a log of what it does from here on into the
// directory, as a real node does with --trace. EndRecord completes the logs.
//
// Preconditions: nothing has happened yet.
func (w *World) Record(dir string) error {
	conf := w.views[0].conf
	slots, err := trace.SlotsOf(conf)
	if err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	for _, n := range w.nodes {
		rec, err := trace.NewRecorder(dir, trace.Header{Spec: "strong", Node: n.id, Incarnation: conf.Member(n.id),
			Nodes: w.cfg.Nodes, PageSize: addr.PageSize, Slots: slots, Simulated: true, Seed: w.cfg.Seed, Build: "sim"}, 1)
		if err != nil {
			return fmt.Errorf("sim: %w", err)
		}
		w.recorders = append(w.recorders, rec)
		n.log = rec.Shard(0)
		w.recordConfiguration(n)
	}
	return nil
}

// Recorded runs a world for so many steps of the scheduler and until it is
// quiet, and leaves its logs in the directory.
func Recorded(dir string, cfg Config, steps int) error {
	w := New(cfg)
	if err := w.Record(dir); err != nil {
		return err
	}
	for range steps {
		w.Random()
	}
	w.Settle()
	return w.EndRecord()
}

// EndRecord completes the logs, with the accounts of cores and links.
func (w *World) EndRecord() error {
	var first error
	for i, rec := range w.recorders {
		n := w.nodes[i]
		n.log = nil
		a := trace.Account{Shards: []trace.CoreAccount{{Work: n.shard.Counters().Work, Held: n.shard.Held()}}, Failed: w.failed}
		for _, peer := range w.nodes {
			if peer != n {
				kept, moot := n.early.Untaken(peer.id)
				a.Links = append(a.Links, trace.LinkAccount{Peer: peer.id, Sent: w.link(n.id, peer.id).sent,
					Received: w.link(peer.id, n.id).taken + uint64(kept+moot), Early: kept, Moot: moot})
			}
		}
		if err := rec.Close(&a); err != nil && first == nil {
			first = fmt.Errorf("sim: %w", err)
		}
	}
	w.recorders = nil
	return first
}

// recordConfiguration records the configuration that the node is about to have.
func (w *World) recordConfiguration(n *node) {
	if n.log == nil {
		return
	}
	change := trace.Change{Epoch: n.conf.Epoch, Generation: n.conf.Generation}
	for _, s := range n.conf.Segments() {
		if int(s.First) < w.cfg.Pages { // and not what is elsewhere
			change.Segments = append(change.Segments, s)
		}
	}
	line, err := json.Marshal(change)
	if err != nil {
		panic(fmt.Sprintf("sim: a configuration as JSON: %v", err))
	}
	n.log.Configure(line)
}

// recordContent records what a frame or a home has after an effect that brings
// content, or before one that ends the right to change it.
func (w *World) recordContent(n *node, e *protocol.Effect) {
	if n.log == nil {
		return
	}
	leaf, root := addr.Place{Node: n.id, Tag: addr.Leaf}, addr.Place{Node: n.id, Tag: addr.Root}
	switch e.Kind {
	case protocol.FrameProtect:
		n.log.Content(trace.Give, e.Page, leaf, page(n.frame[e.Page]))
	case protocol.FrameFill, protocol.HomeToFrame:
		n.log.Content(trace.Take, e.Page, leaf, page(n.frame[e.Page]))
	case protocol.HomeFill, protocol.FrameToHome:
		n.log.Content(trace.Take, e.Page, root, page(n.home[e.Page]))
	}
}

// page is the whole page that a word of content stands for: a virgin one is all
// zeros, as the digests of a real node have it.
func page(word uint64) []byte {
	return binary.LittleEndian.AppendUint64(make([]byte, 0, addr.PageSize), word)[:addr.PageSize]
}
