package coord

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// restartFirst and restartLast bound the pauses between attempts to start
	// the etcd again. A request does not wait for their end.
	restartFirst = 100 * time.Millisecond
	restartLast  = 5 * time.Second
	// startTime bounds such an attempt.
	startTime = time.Minute
)

// engine is the etcd of an embedded store, in a process of its own: etcd, and
// what it stands on, end their process when they cannot write a file. Such an
// end is an error of the requests under way; the engine starts the etcd again,
// and it goes on where it was, since all that it has acknowledged is in its
// files.
//
// It is a grpc.ClientConnInterface to whichever process serves at the time.
type engine struct {
	dir     string // of the store
	noFsync bool
	lock    *os.File // of the directory; the process shares it
	journal *os.File // takes what the process says
	log     *slog.Logger

	kick   chan struct{} // holds a value when the next attempt is due at once
	cancel context.CancelFunc
	done   chan struct{} // closed when run has ended

	mu      sync.Mutex
	serving *storeChild   // nil: none; guarded by mu
	why     error         // of that; guarded by mu
	begun   uint64        // attempts to start one; guarded by mu
	failed  uint64        // the last of them that failed; guarded by mu
	changed chan struct{} // closed and replaced when these change; guarded by mu
	short   bool          // the log says that there is no room; guarded by mu
}

// begin starts the etcd, which must serve before ctx ends.
func (e *engine) begin(ctx context.Context) error {
	e.kick, e.done, e.changed = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	child, err := e.start(ctx)
	if err != nil {
		return err
	}
	e.serving = child
	run, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	go e.run(run, child)
	return nil
}

// close ends the process. All that it has acknowledged is in its files, so it
// need not be told.
func (e *engine) close() {
	e.cancel()
	<-e.done
}

// run keeps an etcd running until ctx ends.
func (e *engine) run(ctx context.Context, child *storeChild) {
	defer close(e.done)
	for child != nil {
		select {
		case <-child.ended:
			child.close()
			e.down(child.reason(), 0, true)
			child = e.restart(ctx)
		case <-ctx.Done():
			e.down(ErrClosed, 0, false)
			child.close()
			return
		}
	}
}

// restart starts it again, however often that takes. Nil: ctx has ended.
func (e *engine) restart(ctx context.Context) *storeChild {
	for attempts, pause := 0, restartFirst; ; attempts, pause = attempts+1, min(2*pause, restartLast) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-e.kick:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			e.down(ErrClosed, 0, false)
			return nil
		}
		e.mu.Lock()
		e.begun++
		attempt := e.begun
		e.mu.Unlock()
		err := checkSpace(e.dir, SpaceToChange, "the store needs")
		if err == nil {
			bounded, cancel := context.WithTimeout(ctx, startTime)
			var child *storeChild
			child, err = e.start(bounded)
			cancel()
			if err == nil {
				e.up(child)
				return child
			}
		}
		if ctx.Err() == nil {
			e.down(err, attempt, attempts == 0)
		}
	}
}

func (e *engine) up(child *storeChild) {
	e.log.Info("the configuration store serves again", "directory", e.dir)
	e.mu.Lock()
	e.serving, e.why = child, nil
	e.tell()
	e.mu.Unlock()
}

// down notes why nothing serves; attempt is the one that has failed, or zero. The
// end of a process is told to the log, and the first attempt to start another, if
// it fails for another reason: before anybody gets it as an error, so that who looks
// for what the error means finds it there. Only run changes why.
func (e *engine) down(why error, attempt uint64, tell bool) {
	e.mu.Lock()
	tell = tell && (e.why == nil || e.why.Error() != why.Error())
	e.mu.Unlock()
	if tell {
		e.log.Warn("the configuration store does not serve: no segment can be created, removed or found until it does; memory, locks and barriers go on",
			"directory", e.dir, "reason", why)
	}
	e.mu.Lock()
	e.serving, e.why, e.failed = nil, why, max(e.failed, attempt)
	e.tell()
	e.mu.Unlock()
}

// tell wakes those who wait.
// Preconditions: e.mu is held.
func (e *engine) tell() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// ready is the process that serves. Where there is none, the next attempt to
// start one decides.
func (e *engine) ready(ctx context.Context) (*storeChild, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for before := e.begun; e.serving == nil || e.serving.over(); {
		if e.failed > before || errors.Is(e.why, ErrClosed) {
			return nil, e.why
		}
		select {
		case e.kick <- struct{}{}:
		default: // it is due already
		}
		if err := e.wait(ctx); err != nil && e.why != nil {
			return nil, fmt.Errorf("%w: %w", e.why, err)
		} else if err != nil {
			return nil, fmt.Errorf("%w: %s: etcd is started again: %w", ErrUnavailable, e.dir, err)
		}
	}
	return e.serving, nil
}

// wait returns when something has changed.
// Preconditions and postconditions: e.mu is held, but not meanwhile.
func (e *engine) wait(ctx context.Context) error {
	changed := e.changed
	e.mu.Unlock()
	defer e.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// room refuses a change while the disk is short: etcd would end, and not start
// again before there is room. The log says so once each time.
func (e *engine) room() error {
	err := checkSpace(e.dir, SpaceToChange, "a change needs")
	e.mu.Lock()
	news := e.short != (err != nil)
	e.short = err != nil
	e.mu.Unlock()
	switch {
	case news && err != nil:
		e.log.Warn("no segment can be created or removed; memory, locks and barriers go on", "directory", e.dir, "reason", err)
	case news:
		e.log.Info("the configuration store has room again", "directory", e.dir)
	}
	return err
}

// Invoke implements grpc.ClientConnInterface. What only reads is asked again
// where the process ends meanwhile; of a change nobody knows whether it was made.
func (e *engine) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	reads := method == pb.KV_Range_FullMethodName
	if !reads {
		if err := e.room(); err != nil {
			return statusOf(err)
		}
	}
	for {
		child, err := e.ready(ctx)
		if err != nil {
			return statusOf(err)
		}
		err = child.conn.Invoke(ctx, method, args, reply, opts...)
		if err == nil || ctx.Err() != nil || !child.broken() {
			return err
		}
		if !reads {
			return status.Error(codes.Unavailable, strings.Replace(child.reason().Error(), ErrDiskFull.Error(), ErrUnavailable.Error(), 1))
		}
	}
}

// NewStream implements grpc.ClientConnInterface. It waits until there is somebody
// to have a stream with: a watch has nothing to do before.
func (e *engine) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	e.mu.Lock()
	for e.serving == nil {
		if errors.Is(e.why, ErrClosed) {
			defer e.mu.Unlock()
			return nil, statusOf(e.why)
		}
		if err := e.wait(ctx); err != nil {
			defer e.mu.Unlock()
			return nil, status.FromContextError(err).Err()
		}
	}
	conn := e.serving.conn
	e.mu.Unlock()
	stream, err := conn.NewStream(ctx, desc, method, opts...)
	return stream, unlessCanceled(ctx, err)
}

// statusOf is an error as etcd's clients and other nodes get it.
func statusOf(err error) error {
	code := codes.Unavailable
	if errors.Is(err, ErrDiskFull) {
		code = codes.ResourceExhausted
	}
	return status.Error(code, err.Error())
}

// unlessCanceled makes an interruption of what a closed connection calls
// canceled, unless the caller did cancel it.
func unlessCanceled(ctx context.Context, err error) error {
	if ctx.Err() == nil && status.Code(err) == codes.Canceled {
		return status.Error(codes.Unavailable, "the process of the configuration store ended")
	}
	return err
}
