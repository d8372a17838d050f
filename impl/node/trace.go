package node

import (
	"encoding/json"
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
	"github.com/mome-dsm/mome/impl/trace"
)

// observer passes the actions of a shard's core to its log.
type observer struct {
	log  *trace.Log
	core *protocol.Shard
}

// Observe implements protocol.Observer.
func (o *observer) Observe(e *protocol.Event) { o.log.Action(e, o.core) }

// startTrace begins the logs of this node, if it is to record.
func (n *Node) startTrace(conf *protocol.Configuration) error {
	if n.cfg.Trace == "" {
		return nil
	}
	slots, err := json.Marshal(conf)
	if err != nil {
		return err
	}
	n.trace, err = trace.NewRecorder(n.cfg.Trace, trace.Header{Spec: "strong", Node: n.id, Incarnation: n.incarnation,
		Nodes: len(conf.Members), PageSize: addr.PageSize, Slots: slots, Build: n.cfg.Version}, shardCount)
	return err
}

// traceConfiguration records the segments that a shard is about to learn.
func (s *shard) traceConfiguration(conf *protocol.Configuration, segments []protocol.Segment) {
	if s.log == nil {
		return
	}
	line, err := json.Marshal(trace.Change{Epoch: conf.Epoch, Generation: conf.Generation, Segments: segments})
	if err != nil {
		panic(fmt.Sprintf("mome: a configuration as JSON: %v", err))
	}
	s.log.Configure(line)
}
