package coord

import (
	"context"
	"errors"
	"fmt"
)

// Errors of every Store. Each is returned wrapped: the message adds the object
// and what to do about it.
var (
	// ErrUnavailable: the store did not answer in time. A transaction that
	// fails with it may or may not have been committed.
	ErrUnavailable = errors.New("mome: configuration store unavailable")
	// ErrClosed: this Store or Config was closed.
	ErrClosed = errors.New("mome: configuration store closed")
	// ErrDenied: the store answered and refused the caller's credentials.
	ErrDenied = errors.New("mome: configuration store refused access")
	// ErrCompacted: a watch asked for revisions that are no longer kept.
	ErrCompacted = errors.New("mome: configuration history compacted")
	// ErrBadTxn: a transaction that no store would accept.
	ErrBadTxn = errors.New("mome: malformed configuration transaction")
)

// MaxOps is the most conditions, and the most operations, of one transaction.
const MaxOps = 128

// Entry is one key and its value.
type Entry struct {
	Key   string
	Value []byte
	// ModRev is the revision that last wrote the key. Zero: there is no such
	// key.
	ModRev int64
}

// Cond holds if Key was last written at ModRev; with ModRev zero, if there is
// no such key.
type Cond struct {
	Key    string
	ModRev int64
}

// Op writes Value to Key, or deletes Key, or deletes all keys from Key on that
// are less than End.
type Op struct {
	Key    string
	Value  []byte
	Delete bool
	End    string // of a range to delete; empty: Key alone
}

// Put is the operation that writes a value.
func Put(key string, value []byte) Op { return Op{Key: key, Value: value} }

// Delete is the operation that removes a key; without the key it does nothing.
func Delete(key string) Op { return Op{Key: key, Delete: true} }

// EndOfKeys is behind every key.
const EndOfKeys = "\xff"

// DeleteRange is the operation that removes the keys in [from, end); an empty
// `from` is before every key. Its events are Deletes of the keys that there were.
func DeleteRange(from, end string) Op { return Op{Key: from, Delete: true, End: end} }

// covers says whether the operation is about a key.
func (o Op) covers(key string) bool {
	if o.End == "" {
		return key == o.Key
	}
	return o.Key <= key && key < o.End
}

// Event is what one transaction did to the watched keys, complete and in the
// transaction's order, or the error that ended the watch.
type Event struct {
	Rev int64
	Ops []Op
	Err error
}

// Store keeps keys and values with revisions. A revision numbers a transaction
// that changed something; revisions grow and are never used twice. Every method
// may be called from any goroutine. Values passed in and handed out belong to
// the caller.
//
// A call returns within its context; one without a deadline within the store's
// own timeout. Then it fails with ErrUnavailable.
type Store interface {
	// Get returns the entry of key; if there is none, an entry whose ModRev is
	// zero. It sees every transaction that was committed before the call.
	Get(ctx context.Context, key string) (Entry, error)

	// List returns the entries whose key begins with prefix, in the order of
	// their keys, and the revision at which this was the complete list.
	List(ctx context.Context, prefix string) ([]Entry, int64, error)

	// Txn applies all operations at one revision if every condition holds, and
	// none otherwise; ok tells which. The revision is the transaction's own, or
	// the store's latest where nothing changed. No key may occur twice among
	// the operations, nor in a range among them.
	Txn(ctx context.Context, conds []Cond, ops []Op) (ok bool, rev int64, err error)

	// Watch reports every change of keys that begin with prefix, from revision
	// `from` on, in order and without loss, across interruptions of the
	// connection. After List at revision r, watching from r+1 misses nothing.
	//
	// An Event with Err is the last one; it means ErrCompacted: list again. The
	// channel is closed after it, when ctx ends and when the store is closed.
	// Whoever stops receiving earlier must end ctx.
	Watch(ctx context.Context, prefix string, from int64) <-chan Event

	// Close ends all watches and releases what the store holds. Later calls
	// fail with ErrClosed; closing again does nothing.
	Close() error
}

// checkTxn refuses what etcd would refuse, so that all stores agree.
func checkTxn(conds []Cond, ops []Op) error {
	if len(conds) > MaxOps || len(ops) > MaxOps {
		return fmt.Errorf("%w: %d conditions and %d operations, at most %d of each: split it",
			ErrBadTxn, len(conds), len(ops), MaxOps)
	}
	for _, c := range conds {
		if c.Key == "" {
			return fmt.Errorf("%w: condition on an empty key", ErrBadTxn)
		}
	}
	seen := make(map[string]struct{}, len(ops))
	for _, o := range ops {
		if o.End != "" {
			if !o.Delete || o.End <= o.Key {
				return fmt.Errorf("%w: operation on the range [%q, %q)", ErrBadTxn, o.Key, o.End)
			}
			continue
		}
		if o.Key == "" {
			return fmt.Errorf("%w: operation on an empty key", ErrBadTxn)
		}
		if _, dup := seen[o.Key]; dup {
			return fmt.Errorf("%w: two operations on key %q", ErrBadTxn, o.Key)
		}
		seen[o.Key] = struct{}{}
	}
	for i, r := range ops {
		if r.End == "" {
			continue
		}
		for j, o := range ops {
			if i != j && (r.covers(o.Key) || o.End != "" && o.covers(r.Key)) {
				return fmt.Errorf("%w: operations on [%q, %q) and on %q", ErrBadTxn, r.Key, r.End, o.Key)
			}
		}
	}
	return nil
}
