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

const (
	// reload is the pause between attempts to read the configuration again from
	// a store that does not answer, mend from one that holds none of use.
	reload = 100 * time.Millisecond
	mend   = time.Second
	// probeTime is how often Await asks the store, and how long an answer may
	// take.
	probeTime = time.Second
	// closeTime bounds what Close does in the store.
	closeTime = time.Second
)

// Config is one node's access to the configuration of its cluster. Reads come
// from the newest View and need no store; they keep working while it is down.
// The store belongs to whoever opened it, and outlives the Config.
type Config struct {
	store    Store
	instance string // of this Config, unique
	view     atomic.Pointer[View]

	turn    chan struct{} // full while somebody is in change
	changes uint64        // that were begun; guarded by turn
	silent  bool          // the store did not answer the last one; guarded by turn

	cancel context.CancelFunc // ends run
	done   chan struct{}      // closed when run has ended

	mu sync.Mutex
	// changed is closed and replaced when there is a new view or the end;
	// guarded by mu.
	changed chan struct{}
	// err is why the store cannot be followed now, or why the Config is over: no
	// view will follow. Guarded by mu.
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

// Await is Wait for what other nodes do, who may never do it: it also fails when
// the store has not answered for as long as patience, with ErrUnavailable, and
// when another cluster is in the place of this one, with ErrReplaced.
func (c *Config) Await(ctx context.Context, patience time.Duration, predicate func(*View) bool) (*View, error) {
	waiting, cancel := context.WithCancelCause(ctx)
	probed := make(chan struct{})
	go func() {
		defer close(probed)
		if err := c.probe(waiting, patience); err != nil {
			cancel(err)
		}
	}()
	v, err := c.Wait(waiting, predicate)
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		err = context.Cause(waiting)
	}
	cancel(nil)
	<-probed
	return v, err
}

// probe asks the store again and again, until ctx ends (nil) or there is nothing
// to hope for any more.
func (c *Config) probe(ctx context.Context, patience time.Duration) error {
	answered := time.Now()
	for {
		call, cancel := context.WithTimeout(ctx, probeTime)
		err := c.check(call)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			answered = time.Now()
		case errors.Is(err, ErrReplaced), errors.Is(err, ErrRolledBack), errors.Is(err, ErrClosed):
			return err
		case time.Since(answered) >= patience:
			if !errors.Is(err, ErrUnavailable) {
				err = fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
			return err
		}
		if !pause(ctx, probeTime) {
			return nil
		}
	}
}

// check asks the store whether it still holds this cluster.
func (c *Config) check(ctx context.Context) error {
	e, err := c.store.Get(ctx, keyCluster)
	if err != nil {
		return err
	}
	v := c.View()
	if e.ModRev == 0 {
		return rolledBack(v.headRev, 0)
	}
	return v.replacedBy(Event{Ops: []Op{Put(e.Key, e.Value)}})
}

// pause waits; false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Watch sends the present view and each later one. A receiver that is slow
// misses views in between and always gets the newest. The channel is closed
// when ctx ends or the Config does, whose Err then says why. Whoever stops
// receiving must end ctx.
//
// trouble, if there is one, is told why the store cannot be followed, each
// reason once, and nil when it can be again.
func (c *Config) Watch(ctx context.Context, trouble func(error)) <-chan *View {
	ch := make(chan *View)
	go func() {
		defer close(ch)
		var sent *View
		told := ""
		for {
			v, changed, err := c.current()
			out := ch
			if v == sent {
				if ends(err) {
					return
				}
				out = nil
			}
			if !ends(err) && trouble != nil {
				if err == nil && told != "" {
					trouble(nil)
					told = ""
				} else if err != nil && told != err.Error() {
					trouble(err)
					told = err.Error()
				}
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

// ends says whether an error is the end of a Config.
func ends(err error) bool { return errors.Is(err, ErrClosed) || errors.Is(err, ErrReplaced) }

// Err is why the store cannot be followed now, and no change be made: ErrClosed
// and ErrReplaced are for good. Nil: it is followed.
func (c *Config) Err() error {
	_, _, err := c.current()
	return err
}

// Close stops following the store, and removes from it what was there for this
// Config alone, if it answers soon. The last view stays readable.
func (c *Config) Close() {
	c.cancel()
	<-c.done
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return
	}
	if c.changes > 0 && !c.silent {
		// What is left if this fails is some bytes.
		_, _, _ = c.store.Txn(ctx, nil, []Op{Delete(prefixChanges + c.instance)})
	}
	c.changes = 0
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
		for err != nil {
			c.set(nil, err)
			if ends(err) {
				return
			}
			// What made it unusable may be mended, by hand or by a restored store.
			pause(ctx, mend)
			err = c.reload(ctx)
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
		pause(ctx, reload)
	}
}

func (c *Config) replace(list []Entry, rev int64) error {
	v, err := newView(list, rev)
	if err != nil {
		return err
	}
	old := c.View()
	if v.Cluster.ID != old.Cluster.ID {
		return replaced(old.Cluster.ID, v.Cluster.ID)
	}
	if v.headRev < old.headRev {
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

// update is change in a cluster that has not ended.
func (c *Config) update(ctx context.Context, op string, plan func(*View, *head) ([]Op, error)) error {
	return c.change(ctx, op, func(v *View, h *head) ([]Op, error) {
		if v.Ended != "" {
			return nil, fmt.Errorf("%w: %s: start its nodes again", ErrEnded, v.Ended)
		}
		return plan(v, h)
	})
}

// change changes the configuration: it plans on the newest view, commits if
// that view was still the newest, and begins again if it was not. plan returns
// the operations and may change the head; nil operations mean that nothing is
// to be done. When change returns nil, the change is committed; View has it unless
// ctx ended first.
//
// Where the answer to a commit is lost with a connection, what the Config has
// changed last tells whether it took place: it is part of each commit.
func (c *Config) change(ctx context.Context, op string, plan func(*View, *head) ([]Op, error)) (err error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	defer func() { c.silent = errors.Is(err, ErrUnavailable) }()
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
			return fmt.Errorf("%s: %w", op, err)
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
		return nil, err
	}
	return c.View(), nil
}

// catchUp waits for the view to follow the store, which takes a watch that is
// not interrupted a moment only. ErrUnavailable if it takes too long.
func (c *Config) catchUp(ctx context.Context, there func(*View) bool) error {
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	_, err := c.Wait(ctx, there)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
