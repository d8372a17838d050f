package coord

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// memoryHistory is how many transactions a Memory keeps for late watches.
const memoryHistory = 1 << 16

// Memory is a Store in this process: the twin of etcd for tests. Several nodes of
// one process share one Memory.
type Memory struct {
	mu      sync.Mutex
	entries map[string]Entry // guarded by mu
	rev     int64            // the latest revision; guarded by mu
	// history holds the transactions after revision compacted, in order. Its
	// events are immutable. Guarded by mu.
	history   []Event
	compacted int64 // guarded by mu
	// changed is closed and replaced when anything here changes; guarded by mu.
	changed chan struct{}
	down    bool // guarded by mu
	closed  bool // guarded by mu

	watches sync.WaitGroup
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	// etcd's first revision is 1, with nothing in it.
	return &Memory{entries: make(map[string]Entry), rev: 1, changed: make(chan struct{})}
}

// SetDown makes every later call fail with ErrUnavailable and holds back all
// watches, until it is called again with false. It stands for a store that
// cannot be reached.
func (m *Memory) SetDown(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
	m.wake()
}

// wake tells all watches to look again.
//
// Preconditions: m.mu is held.
func (m *Memory) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// ready is the error that a call meets before it begins.
//
// Preconditions: m.mu is held.
func (m *Memory) ready(ctx context.Context, op string) error {
	switch {
	case m.closed:
		return fmt.Errorf("%w: %s", ErrClosed, op)
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", op, ctx.Err())
	case m.down:
		return fmt.Errorf("%w: memory store is set down: %s", ErrUnavailable, op)
	}
	return nil
}

// Get implements Store.
func (m *Memory) Get(ctx context.Context, key string) (Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(ctx, "get "+key); err != nil {
		return Entry{}, err
	}
	e, ok := m.entries[key]
	if !ok {
		return Entry{Key: key}, nil
	}
	e.Value = bytes.Clone(e.Value)
	return e, nil
}

// List implements Store.
func (m *Memory) List(ctx context.Context, prefix string) ([]Entry, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(ctx, "list "+prefix); err != nil {
		return nil, 0, err
	}
	var list []Entry
	for key, e := range m.entries {
		if strings.HasPrefix(key, prefix) {
			e.Value = bytes.Clone(e.Value)
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	return list, m.rev, nil
}

// Txn implements Store.
func (m *Memory) Txn(ctx context.Context, conds []Cond, ops []Op) (bool, int64, error) {
	if err := checkTxn(conds, ops); err != nil {
		return false, 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(ctx, "transaction"); err != nil {
		return false, 0, err
	}
	for _, c := range conds {
		if m.entries[c.Key].ModRev != c.ModRev {
			return false, m.rev, nil
		}
	}
	var done []Op
	for _, o := range ops {
		if o.Delete {
			for _, key := range m.covered(o) {
				delete(m.entries, key)
				done = append(done, Delete(key))
			}
			continue
		}
		value := bytes.Clone(o.Value)
		m.entries[o.Key] = Entry{Key: o.Key, Value: value, ModRev: m.rev + 1}
		done = append(done, Put(o.Key, value))
	}
	if len(done) == 0 {
		return true, m.rev, nil
	}
	m.rev++
	m.history = append(m.history, Event{Rev: m.rev, Ops: done})
	if len(m.history) > memoryHistory {
		m.forget(m.history[len(m.history)/2].Rev)
	}
	m.wake()
	return true, m.rev, nil
}

// covered is the keys that there are of those that an operation is about, in
// order.
//
// Preconditions: m.mu is held.
func (m *Memory) covered(o Op) []string {
	if o.End == "" {
		if _, ok := m.entries[o.Key]; !ok {
			return nil
		}
		return []string{o.Key}
	}
	var keys []string
	for key := range m.entries {
		if o.covers(key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// forget drops the history up to and including rev.
//
// Preconditions: m.mu is held.
func (m *Memory) forget(rev int64) {
	keep := slices.IndexFunc(m.history, func(e Event) bool { return e.Rev > rev })
	if keep < 0 {
		keep = len(m.history)
	}
	m.history = slices.Clone(m.history[keep:])
	m.compacted = max(m.compacted, rev)
}

// Watch implements Store.
func (m *Memory) Watch(ctx context.Context, prefix string, from int64) <-chan Event {
	ch := make(chan Event)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		close(ch)
		return ch
	}
	m.watches.Add(1)
	go func() {
		defer m.watches.Done()
		defer close(ch)
		m.follow(ctx, ch, prefix, max(from, 1))
	}()
	return ch
}

// follow sends history from revision from on until the watch ends.
func (m *Memory) follow(ctx context.Context, ch chan<- Event, prefix string, from int64) {
	for {
		events, changed, closed := m.after(from)
		if closed {
			return
		}
		for _, e := range events {
			if e.Err == nil {
				from = e.Rev + 1
				if e = narrow(e, prefix); len(e.Ops) == 0 {
					continue
				}
			}
			if !m.send(ctx, ch, e) || e.Err != nil {
				return
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// send delivers one event unless the watch ends before it is received.
func (m *Memory) send(ctx context.Context, ch chan<- Event, e Event) bool {
	for {
		m.mu.Lock()
		changed, closed := m.changed, m.closed
		m.mu.Unlock()
		if closed {
			return false
		}
		select {
		case ch <- e:
			return true
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// after returns the history from revision from on, and the channel that is
// closed when there may be more.
func (m *Memory) after(from int64) (events []Event, changed <-chan struct{}, closed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return nil, nil, true
	case m.down:
		return nil, m.changed, false
	case from <= m.compacted:
		err := fmt.Errorf("%w: revision %d was asked for, the history begins after %d: list again",
			ErrCompacted, from, m.compacted)
		return []Event{{Err: err}}, m.changed, false
	}
	i, _ := slices.BinarySearchFunc(m.history, from, func(e Event, rev int64) int {
		return int(e.Rev - rev)
	})
	return m.history[i:len(m.history):len(m.history)], m.changed, false
}

// narrow copies the part of an event that concerns the keys under prefix.
func narrow(e Event, prefix string) Event {
	var ops []Op
	for _, o := range e.Ops {
		if strings.HasPrefix(o.Key, prefix) {
			o.Value = bytes.Clone(o.Value)
			ops = append(ops, o)
		}
	}
	return Event{Rev: e.Rev, Ops: ops}
}

// Close implements Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	if !m.closed {
		m.closed = true
		m.wake()
	}
	m.mu.Unlock()
	m.watches.Wait()
	return nil
}
