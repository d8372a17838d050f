package trace

import (
	"fmt"
	"iter"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/ndjson"
)

// readManifests finds the manifests of the run's nodes.
func (r *Run) readManifests() error {
	files := make(map[string]*File)
	for _, list := range [][]*File{r.Files, r.Sync} {
		for _, f := range list {
			files[f.Header.fileName()] = f
		}
	}
	for node, incarnation := range r.Conf.Members.All {
		m, err := readManifest(r.Dir, node, incarnation)
		if err != nil {
			return err
		}
		r.Manifests = append(r.Manifests, m)
		if m == nil {
			continue
		}
		for i := range m.Logs {
			if f := files[m.Logs[i].Name]; f != nil {
				f.said, f.failed = &m.Logs[i], m.Failed != ""
			}
		}
	}
	return nil
}

// Whole says whether the logs are all that happened, as far as the nodes and the
// logs' names know: each node has left a manifest, and the logs are those that the
// manifests name. What the manifests say of the records is checked as these are
// read, and of the links by whoever reads all logs.
func (r *Run) Whole() error {
	named := make(map[string]bool)
	for node, m := range r.Manifests {
		name := manifestName(addr.NodeID(node), r.Conf.Member(addr.NodeID(node)))
		if m == nil {
			return fmt.Errorf("%w: %s: node %d has left no %s: it was killed, or has not ended, so that the run is not all here",
				ErrMissing, r.Dir, node, name)
		}
		for i := range m.Logs {
			named[m.Logs[i].Name] = true
		}
		if len(m.Links) != len(r.Manifests)-1 {
			return fmt.Errorf("%w: %s: %d links of one of %d nodes", ndjson.ErrMalformed, filepath.Join(r.Dir, name), len(m.Links), len(r.Manifests))
		}
		for _, l := range m.Links {
			if int(l.Peer) == node || int(l.Peer) >= len(r.Manifests) {
				return fmt.Errorf("%w: %s: a link of node %d with node %d of %d", ndjson.ErrMalformed, filepath.Join(r.Dir, name), node, l.Peer, len(r.Manifests))
			}
		}
	}
	for _, list := range [][]*File{r.Files, r.Sync} {
		for _, f := range list {
			if !named[f.Header.fileName()] {
				return fmt.Errorf("%w: %s: no node's manifest knows it", ndjson.ErrMalformed, f.Path)
			}
			delete(named, f.Header.fileName())
		}
	}
	for _, m := range r.Manifests {
		for i := range m.Logs {
			if named[m.Logs[i].Name] {
				return r.missing(m.Logs[i].Name)
			}
		}
	}
	return nil
}

// UnderWay is what was under way when the run ended, for people; empty where it
// had come to rest. It had if no node has failed, what was sent over the links has
// arrived, and no recall was held back.
//
// Preconditions: the run is Whole.
func (r *Run) UnderWay() string {
	for node, m := range r.Manifests {
		if m.Failed != "" {
			return fmt.Sprintf("node %d has failed: %s", node, m.Failed)
		}
	}
	for node, m := range r.Manifests {
		for i := range m.Links {
			l := &m.Links[i]
			back := r.Manifests[l.Peer].link(addr.NodeID(node))
			if l.Sent != back.Received || l.SyncsSent != back.SyncsReceived {
				return fmt.Sprintf("of %d messages from node %d to node %d, %d had arrived", l.Sent+l.SyncsSent, node, l.Peer, back.Received+back.SyncsReceived)
			}
			if l.Early > 0 {
				return fmt.Sprintf("node %d had not taken %d messages of node %d", node, l.Early, l.Peer)
			}
		}
		for i := range m.Logs {
			if held := m.Logs[i].Held; held > 0 {
				return fmt.Sprintf("node %d held %d recalls back", node, held)
			}
		}
	}
	return ""
}

// link is what the manifest says of the link with a peer.
func (m *Manifest) link(peer addr.NodeID) LinkAccount {
	for _, l := range m.Links {
		if l.Peer == peer {
			return l
		}
	}
	return LinkAccount{Peer: peer}
}

// tally counts the records of one log.
type tally struct{ records, inputs, actions, outputs uint64 }

func (t *tally) add(rec *Record) {
	t.records++
	switch rec.Kind {
	case KindInput:
		t.inputs++
	case KindAction:
		t.actions++
	case KindOutput:
		t.outputs++
	}
}

// differs is what the manifest says otherwise than the log; empty if nothing.
func (f *File) differs(here *tally) string {
	switch s := f.said; {
	case s == nil:
	case here.inputs != s.Inputs:
		return fmt.Sprintf("the core has taken %d inputs, the log has %d", s.Inputs, here.inputs)
	case here.actions != s.Actions:
		return fmt.Sprintf("the core has taken %d actions, the log has %d", s.Actions, here.actions)
	case here.outputs != here.inputs && !f.failed:
		return fmt.Sprintf("the log has %d inputs, and what %d of them have put out", here.inputs, here.outputs)
	case here.records != s.Records:
		return fmt.Sprintf("the manifest says %d records, the log has %d", s.Records, here.records)
	}
	return ""
}

// traffic is the messages between two nodes, as logs tell of them: those that a
// core was to send, and those that a core has taken.
type traffic map[[2]addr.NodeID]*struct{ sent, taken uint64 }

func (t traffic) between(from, to addr.NodeID) *struct{ sent, taken uint64 } {
	c := t[[2]addr.NodeID{from, to}]
	if c == nil {
		c = new(struct{ sent, taken uint64 })
		t[[2]addr.NodeID{from, to}] = c
	}
	return c
}

// output adds what a step has put out, and the message that it has taken, if it
// has not refused it.
func (t traffic) output(node addr.NodeID, rec *Record, in *addr.NodeID) {
	for _, e := range rec.Out.Effects {
		if to, ok := sentTo(e); ok {
			t.between(node, to).sent++
		}
	}
	if in != nil && rec.Out.Refused == "" {
		t.between(*in, node).taken++
	}
}

// sentTo is the node that an effect sends a message to: "Send Kind leaf@2", or
// "Send Kind 2" of locks and barriers.
func sentTo(effect string) (addr.NodeID, bool) {
	if !strings.HasPrefix(effect, "Send ") {
		return 0, false
	}
	node, err := strconv.ParseUint(effect[strings.LastIndexAny(effect, " @")+1:], 10, 16)
	return addr.NodeID(node), err == nil
}

// withTraffic yields the records of logs as merge does, and compares the messages
// that they tell of with those that the links have carried.
func (r *Run) withTraffic(files []*File, said func(*LinkAccount) (sent, received uint64)) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		all := make(traffic)
		senders := make(map[*File]*addr.NodeID) // of the input that was last
		for ev, err := range merge(files) {
			if err == nil {
				switch ev.Kind {
				case KindInput:
					senders[ev.File] = ev.sender()
				case KindOutput:
					all.output(ev.File.Header.Node, &ev.Record, senders[ev.File])
					senders[ev.File] = nil
				}
			}
			if !yield(ev, err) || err != nil {
				return
			}
		}
		if text := r.carried(all, said); text != "" && len(files) > 0 {
			yield(nil, fmt.Errorf("%w: %s: %s", ndjson.ErrGap, r.Dir, text))
		}
	}
}

// sender is the node that an input is a message of; nil if it is none.
func (r *Record) sender() *addr.NodeID {
	switch {
	case r.Message != nil:
		return &r.Message.From.Node
	case r.Sync != nil:
		return &r.Sync.From.Node
	}
	return nil
}

// carried is what the links have carried otherwise than the logs say.
func (r *Run) carried(all traffic, said func(*LinkAccount) (sent, received uint64)) string {
	for node, m := range r.Manifests {
		if m == nil || m.Failed != "" {
			continue
		}
		for i := range m.Links {
			l := &m.Links[i]
			sent, received := said(l)
			if n := all.between(addr.NodeID(node), l.Peer).sent; n != sent {
				return fmt.Sprintf("node %d has sent %d messages to node %d, its logs have %d", node, sent, l.Peer, n)
			}
			if n := all.between(l.Peer, addr.NodeID(node)).taken; n != received {
				return fmt.Sprintf("node %d has received %d messages of node %d, its logs have %d", node, received, l.Peer, n)
			}
		}
	}
	return ""
}
