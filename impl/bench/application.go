package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome"
	"github.com/mome-dsm/mome/impl/addr"
)

// segmentSize is that of the one segment that all cases use. It is sparse.
const segmentSize = 4 << 30

// application is a process attached to a node of the cluster.
type application struct {
	node     *mome.Node
	segment  *mome.Segment
	barriers map[string]*mome.Barrier
}

// startTime bounds how long a cluster may take to be there.
const startTime = 60 * time.Second

func newApplication() (*application, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	for {
		// The socket is there when the cluster is complete.
		_, err := os.Stat(os.Getenv(mome.EnvSocket))
		var node *mome.Node
		if err == nil {
			node, err = mome.Connect(ctx)
		}
		if err == nil {
			return &application{node: node, barriers: make(map[string]*mome.Barrier)}, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (a *application) close() { a.node.Close() }

func (a *application) carryOut(o *order) (*report, error) {
	ctx := context.Background()
	switch o.Op {
	case "open":
		var err error
		if a.segment, err = a.node.OpenOrCreate(ctx, o.Name, segmentSize); err != nil {
			return nil, err
		}
		first, _ := addr.DefaultBase.PageOf(a.segment.Addr())
		return &report{First: int64(first)}, nil
	case "touch":
		return a.counted(ctx, func() (*report, error) { return touch(a.segment.Bytes(), o), nil })
	case "own":
		if err := a.segment.Prefetch(o.Offset, o.Length, true); err != nil {
			return nil, err
		}
		return &report{}, a.segment.Prefault(o.Offset, o.Length, true)
	case "scan":
		return a.counted(ctx, func() (*report, error) { return a.scan(o) })
	case "lock":
		return a.lock(ctx, o)
	case "barrier":
		return a.barrier(ctx, o)
	case "cas":
		return a.cas(o)
	}
	return nil, fmt.Errorf("unknown order %q", o.Op)
}

// counted adds the faults that the node counted during the work.
func (a *application) counted(ctx context.Context, work func() (*report, error)) (*report, error) {
	before, err := a.faults(ctx)
	if err != nil {
		return nil, err
	}
	r, err := work()
	if err != nil {
		return nil, err
	}
	after, err := a.faults(ctx)
	r.Faults = after - before
	return r, err
}

func (a *application) faults(ctx context.Context) (uint64, error) {
	s, err := a.node.Stats(ctx)
	return s["read_faults"] + s["write_faults"] + s["upgrades"], err
}

// scan reads every word of a range, in order.
func (a *application) scan(o *order) (*report, error) {
	words, err := mome.SliceOf[uint64](a.segment, o.Offset, int(o.Length/8))
	if err != nil {
		return nil, err
	}
	start := time.Now()
	count := sum(words)
	return &report{Samples: []int64{int64(time.Since(start))}, Count: count}, nil
}

//go:noinline
func sum(words []uint64) uint64 {
	var s0, s1, s2, s3 uint64
	for ; len(words) >= 4; words = words[4:] {
		s0 += words[0]
		s1 += words[1]
		s2 += words[2]
		s3 += words[3]
	}
	return s0 + s1 + s2 + s3
}

// lock takes turns of a lock, and holds each long enough for the other side to
// be queued.
func (a *application) lock(ctx context.Context, o *order) (*report, error) {
	l := a.node.Lock(o.Name)
	turns := make([]turn, o.Rounds)
	for i := range turns {
		fence, err := l.Acquire(ctx)
		if err != nil && !errors.Is(err, mome.ErrOwnerDied) {
			return nil, err
		}
		acquired := time.Now()
		released := acquired
		for int64(released.Sub(acquired)) < o.HoldNS {
			released = time.Now()
		}
		if err := l.Release(); err != nil {
			return nil, err
		}
		turns[i] = turn{fence, acquired.UnixNano(), released.UnixNano()}
	}
	return &report{Turns: turns}, nil
}

func (a *application) barrier(ctx context.Context, o *order) (*report, error) {
	b := a.barriers[o.Name]
	if b == nil {
		var err error
		if b, err = a.node.Barrier(ctx, o.Name, o.Party, o.Parties); err != nil {
			return nil, err
		}
		a.barriers[o.Name] = b
	}
	samples := make([]int64, o.Rounds)
	for i := range samples {
		start := time.Now()
		if err := b.Wait(ctx); err != nil {
			return nil, err
		}
		samples[i] = int64(time.Since(start))
	}
	return &report{Samples: samples, Clock: clockCost()}, nil
}

// cas increments a word of the segment by compare-and-swap for a while. With
// Alternate only when the number is this party's, modulo Parties; who waits for
// that yields the processor, as the daemons need it too.
func (a *application) cas(o *order) (*report, error) {
	word, err := mome.ValueOf[uint64](a.segment, o.Offset)
	if err != nil {
		return nil, err
	}
	var count uint64
	start := time.Now()
	for int64(time.Since(start)) < o.TimeNS {
		for range 16 {
			v := atomic.LoadUint64(word)
			if o.Alternate && v%uint64(o.Parties) != uint64(o.Party) {
				unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
				continue
			}
			if atomic.CompareAndSwapUint64(word, v, v+1) {
				count++
			}
		}
	}
	return &report{Samples: []int64{int64(time.Since(start))}, Count: count}, nil
}

// pageOffsets is count offsets of pages that fulfil the condition, none next to
// another one: a process that touches them in any order reads no two pages in
// sequence.
func pageOffsets(from int64, count int, want func(page int64) bool) []int64 {
	out := make([]int64, 0, count)
	for p := from; len(out) < count; p += 2 {
		if want(p) {
			out = append(out, p*addr.PageSize)
		}
	}
	return out
}
