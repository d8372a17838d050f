package trace

import (
	"cmp"
	"container/heap"
	"fmt"
	"iter"
	"slices"

	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/protocol"
)

// Run is all logs of one run: those of every node of its configuration.
type Run struct {
	Dir   string
	Files []*File // in the order of node and shard
	// Sync is the logs of locks and barriers, one for each node or none. Their
	// clocks are not those of the shards.
	Sync []*File
	// Manifests are what the nodes have said when the run ended, in their order;
	// nil for one that has said nothing.
	Manifests []*Manifest
	// Conf is the configuration that the run began with. Its segments are in
	// the logs, as records of KindConfigure.
	Conf *protocol.Configuration
}

// Event is a record, and the log that it is from.
type Event struct {
	Record
	File *File
}

// Where names the file and the line of the record.
func (e *Event) Where() string { return fmt.Sprintf("%s:%d", e.File.Path, e.Line) }

// OpenRun finds the logs of a run in a directory, and checks that their headers
// agree and that none is missing. Whether they are all that happened, Whole says.
func OpenRun(dir string) (*Run, error) {
	files, err := Read(dir)
	if err != nil {
		return nil, err
	}
	r := &Run{Dir: dir, Files: files}
	if r.Conf, err = files[0].configuration(); err != nil {
		return nil, err
	}
	if r.Sync, err = ReadSync(dir); err != nil {
		return nil, err
	}
	for _, f := range slices.Concat(files, r.Sync) {
		c, err := f.configuration()
		switch {
		case err != nil:
			return nil, err
		case c.Fanout != r.Conf.Fanout || !c.Members.Equal(r.Conf.Members) || !slices.EqualFunc(c.Slots, r.Conf.Slots, protocol.Slot.Equal):
			return nil, fmt.Errorf("%w: %s:1: the configuration is not that of %s", ndjson.ErrMalformed, f.Path, files[0].Path)
		case c.Member(f.Header.Node) != f.Header.Incarnation:
			return nil, fmt.Errorf("%w: %s:1: incarnation %d of node %d is no member of the configuration",
				ndjson.ErrMalformed, f.Path, f.Header.Incarnation, f.Header.Node)
		}
	}
	if err := r.complete(); err != nil {
		return nil, err
	}
	return r, r.readManifests()
}

// complete finds out which logs are missing.
func (r *Run) complete() error {
	shards := r.Files[0].Header.Shards
	there := make(map[string]bool, len(r.Files))
	for _, f := range r.Files {
		if f.Header.Shards != shards {
			return fmt.Errorf("%w: %s:1: it is one of %d logs of its node, %s one of %d",
				ndjson.ErrMalformed, f.Path, f.Header.Shards, r.Files[0].Path, shards)
		}
		there[f.Header.fileName()] = true
	}
	for node, incarnation := range r.Conf.Members.All {
		for shard := range shards {
			h := Header{Node: node, Incarnation: incarnation, Shard: shard}
			if name := h.fileName(); !there[name] {
				return r.missing(name)
			}
		}
	}
	if len(r.Sync) == 0 {
		return nil
	}
	for _, f := range r.Sync {
		there[f.Header.fileName()] = true
	}
	for node, incarnation := range r.Conf.Members.All {
		h := Header{Spec: SyncSpec, Node: node, Incarnation: incarnation}
		if name := h.fileName(); !there[name] {
			return r.missing(name)
		}
	}
	return nil
}

func (r *Run) missing(name string) error {
	return fmt.Errorf("%w: %s: there is no %s; copy the logs of every node into one directory", ErrMissing, r.Dir, name)
}

func (f *File) configuration() (*protocol.Configuration, error) {
	c, err := f.Header.Configuration()
	if err != nil {
		return nil, fmt.Errorf("%w: %s:1: %w", ndjson.ErrMalformed, f.Path, err)
	}
	return c, nil
}

// Events yields the records of all logs of shards in one causal order.
func (r *Run) Events() iter.Seq2[*Event, error] {
	return r.withTraffic(r.Files, func(l *LinkAccount) (sent, received uint64) {
		return l.Sent, l.Received - uint64(l.Early) - uint64(l.Moot)
	})
}

// SyncEvents yields those of locks and barriers.
func (r *Run) SyncEvents() iter.Seq2[*Event, error] {
	return r.withTraffic(r.Sync, func(l *LinkAccount) (sent, received uint64) { return l.SyncsSent, l.SyncsReceived })
}

// merge yields the records of logs in one causal order: each log is a
// queue, and the head with the lowest Lamport clock is next, on a tie that of
// the lower manager, then of the lower shard. It holds one record per log: an
// Event lasts until the next one is asked for. An error is the last thing that
// is yielded.
func merge(files []*File) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		var h heads
		defer func() {
			for _, q := range h {
				q.stop()
			}
		}()
		for _, f := range files {
			q := &queue{}
			q.head.File = f
			q.next, q.stop = iter.Pull2(f.Records())
			h = append(h, q)
			more, err := q.advance()
			if err != nil {
				yield(nil, err)
				return
			}
			if !more {
				h = h[:len(h)-1]
			}
		}
		heap.Init(&h)
		for len(h) > 0 {
			if !yield(&h[0].head, nil) {
				return
			}
			more, err := h[0].advance()
			switch {
			case err != nil:
				yield(nil, err)
				return
			case more:
				heap.Fix(&h, 0)
			default:
				heap.Pop(&h)
			}
		}
	}
}

// queue is what is left of one log.
type queue struct {
	head Event
	next func() (Record, error, bool)
	stop func()
}

func (q *queue) advance() (more bool, err error) {
	q.head.Record, err, more = q.next()
	return more, err
}

// heads is a heap of queues by the order of their heads.
type heads []*queue

func (h heads) Len() int      { return len(h) }
func (h heads) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *heads) Push(x any)   { *h = append(*h, x.(*queue)) }

func (h heads) Less(i, j int) bool {
	a, b := &h[i].head, &h[j].head
	return cmp.Or(cmp.Compare(a.Lamport, b.Lamport), cmp.Compare(a.At.Node, b.At.Node),
		cmp.Compare(a.At.Tag, b.At.Tag), cmp.Compare(a.File.Header.Shard, b.File.Header.Shard)) < 0
}

func (h *heads) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
