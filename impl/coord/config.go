package coord

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// reload is the pause between attempts to read the configuration again.
const reload = 100 * time.Millisecond

// Config is one node's access to the configuration of its cluster. Reads come
// from the newest View and need no store; they keep working while it is down.
// The store belongs to whoever opened it, and outlives the Config.
type Config struct {
	store    Store
	instance string // of this Config, unique
	view     atomic.Pointer[View]

	turn    chan struct{} // full while somebody is in update
	changes uint64        // that were begun; guarded by turn

	cancel context.CancelFunc // ends run
	done   chan struct{}      // closed when run has ended

	mu sync.Mutex
	// changed is closed and replaced when there is a new view or the end;
	// guarded by mu.
	changed chan struct{}
	// err ends the Config: no view will follow. Guarded by mu.
	err error
}

// Open reads the configuration of the cluster in a store and follows it.
// Without a cluster in it: ErrNoCluster.
func Open(ctx context.Context, store Store) (*Config, error) {
	list, rev, err := store.List(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("read the cluster's configuration: %w", err)
	}
	v, err := newView(list, rev)
	if err != nil {
		return nil, err
	}
	c := &Config{
		store:    store,
		instance: rand.Text(),
		turn:     make(chan struct{}, 1),
		done:     make(chan struct{}),
		changed:  make(chan struct{}),
	}
	c.view.Store(v)
	follow, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	go c.run(follow)
	return c, nil
}

// View is the newest configuration that this node knows.
func (c *Config) View() *View { return c.view.Load() }

// Wait returns the first view, from the present one on, that satisfies the
// predicate. Views that come faster than the predicate returns are skipped.
func (c *Config) Wait(ctx context.Context, predicate func(*View) bool) (*View, error) {
	var seen *View
	for {
		v, changed, err := c.current()
		if v != seen && predicate(v) {
			return v, nil
		}
		seen = v
		if err != nil {
			return nil, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the configuration, which is at revision %d: %w", v.Rev, ctx.Err())
		}
	}
}

// Watch sends the present view and each later one. A receiver that is slow
// misses views in between and always gets the newest. The channel is closed
// when ctx ends or the Config does. Whoever stops receiving must end ctx.
func (c *Config) Watch(ctx context.Context) <-chan *View {
	ch := make(chan *View)
	go func() {
		defer close(ch)
		var sent *View
		for {
			v, changed, err := c.current()
			out := ch
			if v == sent {
				if err != nil {
					return
				}
				out = nil
			}
			select {
			case out <- v:
				sent = v
			case <-changed:
			case <-ctx.Done():
				return
			case <-c.done:
				return
			}
		}
	}()
	return ch
}

// Close stops following the store. The last view stays readable.
func (c *Config) Close() {
	c.cancel()
	<-c.done
}

// current is the newest view, the channel that closes when it no longer is,
// and the error after which no other comes.
func (c *Config) current() (*View, <-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.View(), c.changed, c.err
}

func (c *Config) set(v *View, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v != nil {
		c.view.Store(v)
	}
	c.err = err
	close(c.changed)
	c.changed = make(chan struct{})
}

// run is the only writer of the view.
func (c *Config) run(ctx context.Context) {
	defer close(c.done)
	for {
		err := c.follow(ctx)
		if errors.Is(err, ErrCompacted) {
			err = c.reload(ctx)
		}
		if err != nil {
			c.set(nil, err)
			return
		}
	}
}

// follow applies events to the view until it cannot go on.
func (c *Config) follow(ctx context.Context) error {
	// Ends the watch where an event cannot be applied.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for e := range c.store.Watch(ctx, "", c.View().Rev+1) {
		if e.Err != nil {
			return e.Err
		}
		v, err := c.View().after(e)
		if err != nil {
			return err
		}
		c.set(v, nil)
	}
	return fmt.Errorf("%w: the cluster's configuration is no longer followed", ErrClosed)
}

// reload reads everything again, as soon as the store answers.
func (c *Config) reload(ctx context.Context) error {
	for {
		list, rev, err := c.store.List(ctx, "")
		if err == nil {
			return c.replace(list, rev)
		}
		if ctx.Err() != nil || errors.Is(err, ErrClosed) {
			return fmt.Errorf("%w: the cluster's configuration is no longer followed", ErrClosed)
		}
		pause := time.NewTimer(reload)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

func (c *Config) replace(list []Entry, rev int64) error {
	v, err := newView(list, rev)
	if err != nil {
		return err
	}
	if old := c.View(); v.headRev < old.headRev || v.Cluster.ID != old.Cluster.ID {
		return rolledBack(old.headRev, v.headRev)
	}
	c.set(v, nil)
	return nil
}

func rolledBack(known, found int64) error {
	return fmt.Errorf("%w: revision %d of the head record was known, %d is there: restore the store's data or found the cluster anew",
		ErrRolledBack, known, found)
}

// maxLost is how many answers to one change may be lost.
const maxLost = 5

// update changes the configuration: it plans on the newest view, commits if
// that view was still the newest, and begins again if it was not. plan returns
// the operations and may change the head; no operations mean that nothing is
// to be done. When update returns nil, the change is committed; View has it unless
// ctx ended first.
//
// Where the answer to a commit is lost with a connection, what the Config has
// changed last tells whether it took place: it is part of each commit.
func (c *Config) update(ctx context.Context, op string, plan func(*View, *head) ([]Op, error)) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	c.changes++
	mark := Put(prefixChanges+c.instance, encode(c.changes))
	var lost error // the answer to the last commit; nil: none was
	for answers := 0; ; {
		v, _, err := c.current()
		if err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		next := v.head
		ops, planErr := plan(v, &next)
		if planErr == nil && ops == nil {
			return nil
		}
		if planErr == nil {
			ops = append(ops, Put(keyHead, encode(next)), mark)
			ok, rev, err := c.store.Txn(ctx, []Cond{{Key: keyHead, ModRev: v.headRev}}, ops)
			if errors.Is(err, ErrUnavailable) {
				lost = err
				answers++
			} else if err != nil {
				return fmt.Errorf("%s: %w", op, err)
			}
			if ok {
				// It is committed, whether or not the view follows in time.
				_ = c.catchUp(ctx, func(v *View) bool { return v.Rev >= rev })
				return nil
			}
		}
		// A refusal counts only if it was planned on the newest configuration.
		head, err := c.store.Get(ctx, keyHead)
		if err == nil && lost != nil {
			// A commit on an older head than that has taken place by now, or
			// never will.
			var last Entry
			last, err = c.store.Get(ctx, mark.Key)
			if err == nil && bytes.Equal(last.Value, mark.Value) {
				_ = c.catchUp(ctx, func(v *View) bool { return v.headRev >= last.ModRev })
				return nil
			}
		}
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", op, err)
		case answers == maxLost:
			return fmt.Errorf("%s: %w", op, lost)
		case head.ModRev < v.headRev:
			return fmt.Errorf("%s: %w", op, rolledBack(v.headRev, head.ModRev))
		case head.ModRev == v.headRev && planErr != nil:
			return fmt.Errorf("%s: %w", op, planErr)
		}
		if err := c.catchUp(ctx, func(v *View) bool { return v.headRev >= head.ModRev }); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrUnavailable, op, err)
		}
	}
}

// Sync is a view that has everything that was committed before the call.
func (c *Config) Sync(ctx context.Context) (*View, error) {
	head, err := c.store.Get(ctx, keyHead)
	if err != nil {
		return nil, err
	}
	if err := c.catchUp(ctx, func(v *View) bool { return v.headRev >= head.ModRev }); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return c.View(), nil
}

// catchUp waits for the view to follow the store, which takes a watch that is
// not interrupted a moment only.
func (c *Config) catchUp(ctx context.Context, there func(*View) bool) error {
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	_, err := c.Wait(ctx, there)
	return err
}
