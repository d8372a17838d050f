package node

import (
	"encoding/json"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/memory"
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

// syncObserver passes the actions of locks and barriers to their log.
type syncObserver struct {
	log  *trace.SyncLog
	core *protocol.SyncNode
}

// ObserveSync implements protocol.SyncObserver.
func (o *syncObserver) ObserveSync(e *protocol.SyncEvent) { o.log.Action(e, o.core) }

// startTrace begins the logs of this node, if it is to record.
func (n *Node) startTrace(conf *protocol.Configuration) error {
	if n.cfg.Trace == "" {
		return nil
	}
	slots, err := trace.SlotsOf(conf)
	if err != nil {
		return err
	}
	n.trace, err = trace.NewRecorder(n.cfg.Trace, trace.Header{Spec: "strong", Node: n.id, Incarnation: n.incarnation,
		Nodes: conf.Members.Len(), PageSize: addr.PageSize, Slots: slots, Build: n.cfg.Version}, shardCount)
	if err != nil {
		return err
	}
	if n.syncs.log, err = n.trace.Sync(); err != nil {
		return err
	}
	// A disk that is full already is found out before the run.
	if err := n.trace.Flush(); err != nil {
		return fmt.Errorf("%w; free some space, or name another directory for the trace", err)
	}
	n.tasks.Add(1)
	go n.watchTrace()
	return nil
}

// watchTrace says at once that the recording has come to an end before the run.
func (n *Node) watchTrace() {
	defer n.tasks.Done()
	select {
	case err := <-n.trace.Failed():
		n.log.Error("the trace is cut short; the run goes on, and its status will be a failure", "directory", n.cfg.Trace, "error", err)
	case <-n.ctx.Done():
	}
}

// account is what the cores and the links say of the run when it has ended; nil if
// nothing is recorded, or the node has never worked.
func (n *Node) account() *trace.Account {
	all := n.sortedPeers()
	if n.trace == nil || len(all) == 0 {
		return nil
	}
	a := &trace.Account{}
	if n.halted.Load() {
		a.Failed = "the run was ended"
		if err := n.Err(); err != nil {
			a.Failed = err.Error()
		}
	}
	early, moot := make([]int, len(all)), make([]int, len(all))
	for i := range n.shards {
		s := &n.shards[i]
		s.mu.Lock()
		a.Shards = append(a.Shards, trace.CoreAccount{Work: s.core.Counters().Work, Held: s.core.Held()})
		for j, p := range all {
			kept, left := s.early.Untaken(p.id)
			early[j], moot[j] = early[j]+kept, moot[j]+left
		}
		s.mu.Unlock()
	}
	n.syncs.mu.Lock()
	a.Sync = &trace.CoreAccount{Work: n.syncs.core.Work()}
	n.syncs.mu.Unlock()
	for j, p := range all {
		l := p.wireLink()
		if l == nil {
			continue
		}
		c := l.Stats()
		a.Links = append(a.Links, trace.LinkAccount{Peer: p.id, Sent: c.Appended, SyncsSent: c.AppendedSyncs,
			Received: c.MessagesIn - c.SyncsIn, SyncsReceived: c.SyncsIn, Early: early[j], Moot: moot[j]})
	}
	return a
}

// traceConfiguration records the segments that a shard is about to learn.
func (s *shard) traceConfiguration(conf *protocol.Configuration) {
	if s.log == nil {
		return
	}
	line, err := json.Marshal(trace.Change{Epoch: conf.Epoch, Generation: conf.Generation, Segments: conf.Segments()})
	if err != nil {
		panic(fmt.Sprintf("mome: a configuration as JSON: %v", err))
	}
	s.log.Configure(line)
}

// frameSteps are the names of the memory layer's steps in a log.
var frameSteps = [...]trace.FrameStep{
	memory.OpContinue:  trace.Continue,
	memory.OpUnprotect: trace.Unprotect,
	memory.OpPoison:    trace.Poison,
	memory.OpWake:      trace.Wake,
	memory.OpFill:      trace.Fill,
	memory.OpCopy:      trace.Copy,
	memory.OpZeroPage:  trace.ZeroPage,
	memory.OpProtect:   trace.Protect,
	memory.OpPunch:     trace.Punch,
}

// traceFrames records every step on the segment's frames, if the node is to
// record: under the lock of the page's shard, which whoever does a step holds.
// Only the steps by which a removed segment is taken away are under no lock,
// and they are on no page of the protocol any more.
func (n *Node) traceFrames(seg *segment) {
	if n.trace == nil {
		return
	}
	seg.file.Observe(func(m *memory.Step) {
		if seg.removed.Load() {
			return
		}
		s := trace.Step{Step: frameSteps[m.Op], Write: m.Writable}
		if m.Mapping != nil {
			s.Process = m.Mapping.Number()
		}
		if m.Errno != 0 {
			s.Answer = unix.ErrnoName(m.Errno)
		}
		log := n.shardOf(m.Page).log
		for i := range m.Pages {
			s.Page = m.Page + addr.PageNum(i)
			if m.Content != nil {
				s.Digest = trace.DigestOf(m.Content[i<<addr.PageShift:][:addr.PageSize])
			}
			log.Step(&s)
		}
	})
}

// traceStep records a step on a page that is the node's own and not the memory
// layer's.
// Preconditions: s.mu is held.
func (s *shard) traceStep(step trace.FrameStep, p addr.PageNum, m *mapping, write bool) {
	if s.log == nil {
		return
	}
	record := trace.Step{Step: step, Page: p, Write: write}
	if m != nil {
		record.Process = m.uffd.Number()
	}
	s.log.Step(&record)
}

// traceSend records that the content of a frame goes out.
// Preconditions: s.mu is held.
func (s *shard) traceSend(p addr.PageNum, content []byte) {
	if s.log != nil {
		s.log.Step(&trace.Step{Step: trace.SendData, Page: p, Digest: trace.DigestOf(content)})
	}
}

// changeMappings attaches or detaches a mapping. If the node records, no shard
// is at work meanwhile, and each log tells between which of its steps it was.
func (n *Node) changeMappings(seg *segment, step trace.FrameStep, change func() *memory.Mapping) {
	if n.trace == nil {
		change()
		return
	}
	for i := range n.shards {
		n.shards[i].mu.Lock()
	}
	m := change()
	for i := range n.shards {
		s := &n.shards[i]
		if m != nil && !seg.removed.Load() {
			s.log.Step(&trace.Step{Step: step, Page: seg.core.First, Pages: seg.core.Pages, Process: m.Number()})
		}
	}
	n.unlockAll()
}
