package mome

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync/atomic"

	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/clock"
	"github.com/mome-dsm/mome/impl/history"
)

// Recorder writes a history: what the goroutines of this process have done to
// words of shared memory, to locks, to names of segments and to barriers, when they
// began, when they had the answer, and what it was. "momenode trace check" judges whether the histories of
// all processes of a run can have happened under the memory's model.
//
//	recorder, err := mome.Record(node)
//	...
//	defer recorder.Close()
//	client := recorder.Client() // one per goroutine
//	ledger, err := mome.WordsOf[int64](client, segment, 0, 8)
//	...
//	ledger.Add(3, 100)           // as atomic.AddInt64, and recorded
//	_, err = client.Acquire(ctx, lock)
//
// A nil *Recorder is off, as are its clients: then their operations are those of
// sync/atomic and of Lock at the cost of one comparison.
//
// The checker takes what is recorded for all that happens: a word, a name or a
// barrier that is used in any other way as well, by whatever process, is judged
// wrongly. It expects that words are 0, and names free, before the first
// operation. It judges histories of any length if no value comes back to a word
// that had it before. Of other words, and of a name or a barrier, it judges up
// to 2,000 operations.
type Recorder struct {
	node    *Node
	history *history.Recorder
}

// Record begins a history in the directory that MOME_HISTORY names, which
// "momenode cluster --trace DIR" sets. It returns nil, which is off, if it is not
// set.
func Record(n *Node) (*Recorder, error) {
	dir := os.Getenv(EnvHistory)
	if dir == "" {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, wrap(err, "mome: record: %s", EnvHistory)
	}
	process := fmt.Sprintf("%d-%08x", os.Getpid(), rand.Uint32())
	reading, err := n.clock()
	if err != nil {
		return nil, wrap(err, "mome: record")
	}
	build := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		build = info.Main.Version
	}
	h, err := history.New(filepath.Join(dir, fmt.Sprintf("history-rank%03d-%s.ndjson", n.Rank(), process)), history.Header{
		Model: "strong", Build: build, Run: n.Cluster(), Process: process,
		Program: filepath.Base(os.Args[0]), Rank: n.Rank(), Ranks: n.Size(), Reading: reading,
	})
	if err != nil {
		return nil, wrap(err, "mome: record")
	}
	return &Recorder{node: n, history: h}, nil
}

// Client is who operations are recorded for: a goroutine.
func (r *Recorder) Client() *Client {
	if r == nil {
		return nil
	}
	return &Client{r.history.Client()}
}

// Close completes the history, before the Node is closed. Operations that have not
// ended are recorded without an answer, later ones are not recorded. A history that
// was not completed, since its process was killed or the node does not compare its
// clock any more, is truncated, and nobody judges it.
func (r *Recorder) Close() error {
	if r == nil {
		return nil
	}
	r.history.EndClients()
	reading, err := r.node.clock()
	if err != nil {
		err = fmt.Errorf("%w: the history is not completed, since its times mean nothing", err)
		return wrap(errors.Join(err, r.history.Abandon()), "mome: record")
	}
	return wrap(r.history.CloseAt(reading), "mome: record")
}

// clock is the reading of this process's clock: how it compares to the cluster's.
func (n *Node) clock() (clock.Reading, error) {
	own := clock.Local()
	reply, err := n.call(context.Background(), &attachpb.Request{Body: &attachpb.Request_Clock{Clock: &attachpb.Clock{}}})
	if err != nil {
		return own, fmt.Errorf("compare clocks: %w", err)
	}
	node := reply.GetClock()
	if node.GetClock() != own.Name {
		return own, nil // a time namespace of its own, which nobody has compared
	}
	own.Reference, own.Offset = node.GetReference(), node.GetOffsetNs()
	own.Bound += node.GetBoundNs()
	return own, nil
}

// Client is one thread of control in a history: it does one thing at a time. What
// had no answer may still be under way, so that behind it the history calls the
// goroutine another client. A nil *Client records nothing.
type Client struct{ thread *history.Client }

// Acquire is [Lock.Acquire], recorded.
func (c *Client) Acquire(ctx context.Context, l *Lock) (fence uint64, err error) {
	return c.acquire(l, func() (uint64, error) { return l.Acquire(ctx) })
}

// TryAcquire is [Lock.TryAcquire], recorded.
func (c *Client) TryAcquire(ctx context.Context, l *Lock) (fence uint64, err error) {
	return c.acquire(l, func() (uint64, error) { return l.TryAcquire(ctx) })
}

func (c *Client) acquire(l *Lock, acquire func() (uint64, error)) (fence uint64, err error) {
	if c == nil {
		return acquire()
	}
	c.thread.Begin(history.Operation{Op: history.OpAcquire, Object: l.name})
	fence, err = acquire()
	died := errors.Is(err, ErrOwnerDied)
	refused := errors.Is(err, ErrBusy) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	c.thread.End(err == nil || died || refused, func(o *history.Operation) {
		o.Value = fence
		if died {
			o.Old = 1
		}
	})
	return fence, err
}

// Release is [Lock.Release], recorded.
func (c *Client) Release(l *Lock) error {
	if c == nil {
		return l.Release()
	}
	l.mu.Lock()
	fence := l.fence
	l.mu.Unlock()
	c.thread.Begin(history.Operation{Op: history.OpRelease, Object: l.name, Value: fence})
	err := l.Release()
	c.thread.End(err == nil || errors.Is(err, ErrNotOwner), func(o *history.Operation) { o.Result = truth(err == nil) })
	return err
}

// Create is [Node.Create], recorded: what becomes of the name, not of the mapping.
// Of a segment that is [Temporary] nobody records the end: its name would be judged
// wrongly.
func (c *Client) Create(ctx context.Context, n *Node, name string, size int64, opts ...SegmentOption) (*Segment, error) {
	return c.name(history.OpCreate, name, func() (*Segment, error) { return n.Create(ctx, name, size, opts...) })
}

// Open is [Node.Open], recorded.
func (c *Client) Open(ctx context.Context, n *Node, name string) (*Segment, error) {
	return c.name(history.OpOpen, name, func() (*Segment, error) { return n.Open(ctx, name) })
}

// OpenOrCreate is [Node.OpenOrCreate], recorded.
func (c *Client) OpenOrCreate(ctx context.Context, n *Node, name string, size int64, opts ...SegmentOption) (*Segment, error) {
	return c.name(history.OpOpenOrCreate, name, func() (*Segment, error) { return n.OpenOrCreate(ctx, name, size, opts...) })
}

// Remove is [Node.Remove], recorded.
func (c *Client) Remove(ctx context.Context, n *Node, name string) error {
	_, err := c.name(history.OpRemove, name, func() (*Segment, error) { return nil, n.Remove(ctx, name) })
	return err
}

// name records what an operation has learnt of a name. Of one that found a segment
// which was gone before it was mapped, that is that the name was free for a moment;
// of a create like that, or one that could not map what it made, it is not known
// which generation that was.
func (c *Client) name(op, name string, do func() (*Segment, error)) (*Segment, error) {
	if c == nil {
		return do()
	}
	c.thread.Begin(history.Operation{Op: op, Object: name})
	s, err := do()
	refused := map[string][]error{
		history.OpCreate:       {ErrExists},
		history.OpOpen:         {ErrNotFound, ErrRemoved},
		history.OpOpenOrCreate: {ErrBadSize},
		history.OpRemove:       {ErrNotFound},
	}[op]
	answered := err == nil || slices.ContainsFunc(refused, func(r error) bool { return errors.Is(err, r) })
	c.thread.End(answered, func(o *history.Operation) {
		if s != nil {
			o.Value = s.mapping.key.generation
		}
		o.Result = truth(err == nil && (s == nil || s.created))
	})
	return s, err
}

// Join is [Node.Barrier], recorded. What the party does is recorded for the same
// client.
func (c *Client) Join(ctx context.Context, n *Node, name string, party, parties int) (*Barrier, error) {
	if c == nil {
		return n.Barrier(ctx, name, party, parties)
	}
	c.thread.Begin(history.Operation{Op: history.OpJoin, Object: name, Value: uint64(party), Old: uint64(parties)})
	b, err := n.Barrier(ctx, name, party, parties)
	refused := errors.Is(err, ErrMismatch) || party < 0 || party >= parties
	c.thread.End(err == nil || refused, func(o *history.Operation) { o.Result = truth(err == nil) })
	return b, err
}

// Wait is [Barrier.Wait], recorded: that the party has arrived, and, if it was told,
// how the round ended.
func (c *Client) Wait(ctx context.Context, b *Barrier) error {
	if c == nil {
		return b.Wait(ctx)
	}
	b.mu.Lock()
	round := b.round + 1
	b.mu.Unlock()
	c.thread.Begin(history.Operation{Op: history.OpArrive, Object: b.name, Value: uint64(b.party), Old: round})
	err := b.Wait(ctx)
	told := err == nil || errors.Is(err, ErrPartyDied)
	c.thread.EndBoth(told, func(*history.Operation) {}, func(o *history.Operation) { o.Op, o.Result = history.OpAwait, truth(err == nil) })
	return err
}

// Leave is [Barrier.Close], recorded.
func (c *Client) Leave(b *Barrier) error {
	if c == nil {
		return b.Close()
	}
	c.thread.Begin(history.Operation{Op: history.OpLeave, Object: b.name, Value: uint64(b.party)})
	err := b.Close()
	c.thread.End(err == nil, func(o *history.Operation) { o.Result = 1 })
	return err
}

// Words is a slice of 64-bit words in a segment, for one client. Its operations
// are those of sync/atomic.
type Words[T int64 | uint64] struct {
	client *Client
	words  []uint64
	object string // the segment, in this life
	first  uint64 // number of the first word in the segment
}

// WordsOf is n words of the segment from byte off on, see [SliceOf], whose
// operations are recorded for the client.
func WordsOf[T int64 | uint64](c *Client, s *Segment, off int64, n int) (Words[T], error) {
	words, err := SliceOf[uint64](s, off, n)
	if err != nil {
		return Words[T]{}, err
	}
	return Words[T]{c, words, fmt.Sprintf("%s@%d", s.Name(), s.mapping.key.generation), uint64(off / 8)}, nil
}

// Len is the number of words.
func (w Words[T]) Len() int { return len(w.words) }

func (w Words[T]) begin(op string, i int, value, old T) {
	w.client.thread.Begin(history.Operation{Op: op, Object: w.object, Word: w.first + uint64(i), Value: uint64(value), Old: uint64(old)})
}

// Load returns word i.
func (w Words[T]) Load(i int) T {
	at := &w.words[i]
	if w.client == nil {
		return T(atomic.LoadUint64(at))
	}
	w.begin(history.OpRead, i, 0, 0)
	v := atomic.LoadUint64(at)
	w.client.thread.End(true, func(o *history.Operation) { o.Value = v })
	return T(v)
}

// Store stores word i.
func (w Words[T]) Store(i int, v T) {
	at := &w.words[i]
	if w.client == nil {
		atomic.StoreUint64(at, uint64(v))
		return
	}
	w.begin(history.OpWrite, i, v, 0)
	atomic.StoreUint64(at, uint64(v))
	w.client.thread.End(true, func(*history.Operation) {})
}

// CompareAndSwap stores v to word i if it is old, and says whether it was.
func (w Words[T]) CompareAndSwap(i int, old, v T) bool {
	at := &w.words[i]
	if w.client == nil {
		return atomic.CompareAndSwapUint64(at, uint64(old), uint64(v))
	}
	w.begin(history.OpCAS, i, v, old)
	swapped := atomic.CompareAndSwapUint64(at, uint64(old), uint64(v))
	w.client.thread.End(true, func(o *history.Operation) { o.Result = truth(swapped) })
	return swapped
}

// Add adds to word i and returns the sum.
func (w Words[T]) Add(i int, delta T) T {
	at := &w.words[i]
	if w.client == nil {
		return T(atomic.AddUint64(at, uint64(delta)))
	}
	w.begin(history.OpAdd, i, delta, 0)
	sum := atomic.AddUint64(at, uint64(delta))
	w.client.thread.End(true, func(o *history.Operation) { o.Result = sum })
	return T(sum)
}

func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
