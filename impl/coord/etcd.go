package coord

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// DefaultPrefix is put before every key unless another prefix is given: that
	// of the cluster with DefaultName.
	DefaultPrefix = prefixAll + DefaultName + "/"
	// DefaultTimeout bounds a call whose context has no deadline.
	DefaultTimeout = 5 * time.Second
	// rewatch is the pause before an interrupted watch is set up again.
	rewatch = 100 * time.Millisecond
)

// etcdStore is a Store over an etcd client. Embedded and Remote own one each.
type etcdStore struct {
	client  *clientv3.Client
	prefix  string // of every key; ends in a slash
	where   string // the endpoints or the directory, for messages
	timeout time.Duration

	// ctx ends when the store is closed.
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool           // guarded by mu
	watches sync.WaitGroup // its Add is guarded by mu and closed
}

func newEtcdStore(client *clientv3.Client, prefix, where string, timeout time.Duration) *etcdStore {
	if prefix == "" {
		prefix = DefaultPrefix
	}
	// The slash keeps the keys of cluster "a" out of a list of those of "ab".
	if !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	s := &etcdStore{client: client, prefix: prefix, where: where, timeout: timeout}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// bound derives the context of one call: it ends with the caller's, with the
// store, and after the store's timeout if the caller set no deadline. A store
// that is closed already is an error: etcd in this process does not look at the
// context of every call.
func (s *etcdStore) bound(ctx context.Context, op string) (context.Context, context.CancelFunc, error) {
	if s.ctx.Err() != nil {
		return nil, nil, fmt.Errorf("%w: %s", ErrClosed, op)
	}
	if ctx.Err() != nil {
		return nil, nil, s.fail(ctx, op, ctx.Err())
	}
	cancel := context.CancelFunc(func() {})
	if _, ok := ctx.Deadline(); !ok {
		ctx, cancel = context.WithTimeout(ctx, s.timeout)
	}
	ctx, cancelClosed := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancelClosed)
	return ctx, func() {
		stop()
		cancelClosed()
		cancel()
	}, nil
}

// fail turns an error of the client into one of this package.
func (s *etcdStore) fail(ctx context.Context, op string, err error) error {
	if s.ctx.Err() != nil {
		return fmt.Errorf("%w: %s", ErrClosed, op)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	// An embedded store says why, here and through the founding node's port.
	for _, own := range []error{ErrDiskFull, ErrUnavailable} {
		if _, detail, ok := strings.Cut(status.Convert(err).Message(), own.Error()+": "); ok {
			return fmt.Errorf("%w: %s", own, detail)
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return s.unavailable(op, err)
	}
	switch status.Code(err) {
	case codes.Unauthenticated, codes.PermissionDenied:
		return fmt.Errorf("%w: %s: %s: %s", ErrDenied, s.where, op, status.Convert(err).Message())
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return s.unavailable(op, err)
	}
	return fmt.Errorf("configuration store %s: %s: %w", s.where, op, err)
}

func (s *etcdStore) unavailable(op string, err error) error {
	return fmt.Errorf("%w: %s: %s: %w; check that it runs and can be reached", ErrUnavailable, s.where, op, err)
}

// Get implements Store.
func (s *etcdStore) Get(ctx context.Context, key string) (Entry, error) {
	call, cancel, err := s.bound(ctx, "get "+key)
	if err != nil {
		return Entry{}, err
	}
	defer cancel()
	resp, err := s.client.Get(call, s.prefix+key)
	if err != nil {
		return Entry{}, s.fail(ctx, "get "+key, err)
	}
	if len(resp.Kvs) == 0 {
		return Entry{Key: key}, nil
	}
	return s.entry(resp.Kvs[0]), nil
}

// List implements Store.
func (s *etcdStore) List(ctx context.Context, prefix string) ([]Entry, int64, error) {
	call, cancel, err := s.bound(ctx, "list "+prefix)
	if err != nil {
		return nil, 0, err
	}
	defer cancel()
	resp, err := s.client.Get(call, s.prefix+prefix, clientv3.WithPrefix(),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend))
	if err != nil {
		return nil, 0, s.fail(ctx, "list "+prefix, err)
	}
	var list []Entry
	for _, kv := range resp.Kvs {
		list = append(list, s.entry(kv))
	}
	return list, resp.Header.Revision, nil
}

func (s *etcdStore) entry(kv *mvccpb.KeyValue) Entry {
	return Entry{Key: strings.TrimPrefix(string(kv.Key), s.prefix), Value: kv.Value, ModRev: kv.ModRevision}
}

// Txn implements Store.
func (s *etcdStore) Txn(ctx context.Context, conds []Cond, ops []Op) (bool, int64, error) {
	if err := checkTxn(conds, ops); err != nil {
		return false, 0, err
	}
	call, cancel, err := s.bound(ctx, "transaction")
	if err != nil {
		return false, 0, err
	}
	defer cancel()
	// A key that does not exist compares as modified at revision zero.
	cmps := make([]clientv3.Cmp, len(conds))
	for i, c := range conds {
		cmps[i] = clientv3.Compare(clientv3.ModRevision(s.prefix+c.Key), "=", c.ModRev)
	}
	then := make([]clientv3.Op, len(ops))
	for i, o := range ops {
		switch {
		case o.End != "":
			then[i] = clientv3.OpDelete(s.prefix+o.Key, clientv3.WithRange(s.prefix+o.End))
		case o.Delete:
			then[i] = clientv3.OpDelete(s.prefix + o.Key)
		default:
			then[i] = clientv3.OpPut(s.prefix+o.Key, string(o.Value))
		}
	}
	resp, err := s.client.Txn(call).If(cmps...).Then(then...).Commit()
	if err != nil {
		return false, 0, s.fail(ctx, "transaction", err)
	}
	return resp.Succeeded, resp.Header.Revision, nil
}

// Watch implements Store.
func (s *etcdStore) Watch(ctx context.Context, prefix string, from int64) <-chan Event {
	ch := make(chan Event)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		close(ch)
		return ch
	}
	s.watches.Add(1)
	go func() {
		defer s.watches.Done()
		defer close(ch)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.ctx, cancel)()

		from := max(from, 1)
		for s.follow(ctx, ch, prefix, &from) {
			pause := time.NewTimer(rewatch)
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
				return
			}
		}
	}()
	return ch
}

// follow sends events from revision *from on and advances *from, until the
// watch is interrupted (true: set it up again) or ended (false).
//
// The client resumes a watch by itself when a connection breaks; what ends one
// is a server without a leader, a refusal or a compaction.
func (s *etcdStore) follow(ctx context.Context, ch chan<- Event, prefix string, from *int64) bool {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	send := func(e Event) bool {
		select {
		case ch <- e:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for resp := range s.client.Watch(ctx, s.prefix+prefix, clientv3.WithPrefix(), clientv3.WithRev(*from)) {
		if resp.CompactRevision != 0 {
			send(Event{Err: fmt.Errorf("%w: revision %d was asked for, the history of %s begins at %d: list again",
				ErrCompacted, *from, s.where, resp.CompactRevision)})
			return false
		}
		if resp.Err() != nil {
			return true
		}
		// A response holds whole revisions, one or more.
		for events := resp.Events; len(events) > 0; {
			e := Event{Rev: events[0].Kv.ModRevision}
			for len(events) > 0 && events[0].Kv.ModRevision == e.Rev {
				e.Ops = append(e.Ops, s.op(events[0]))
				events = events[1:]
			}
			if !send(e) {
				return false
			}
			*from = e.Rev + 1
		}
	}
	return ctx.Err() == nil
}

func (s *etcdStore) op(e *clientv3.Event) Op {
	key := strings.TrimPrefix(string(e.Kv.Key), s.prefix)
	if e.Type == clientv3.EventTypeDelete {
		return Delete(key)
	}
	return Put(key, e.Kv.Value)
}

// Close implements Store.
func (s *etcdStore) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.watches.Wait()
	if !first {
		return nil
	}
	// An in-process client reports its own cancellation here.
	if err := s.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("closing configuration store %s: %w", s.where, err)
	}
	return nil
}
