package trace

import (
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	// bufferLimit is how many bytes wait for one file before a caller does.
	bufferLimit = 1 << 20
	// bufferEager is from how many bytes on the writer is woken.
	bufferEager = 64 << 10
	// bufferDelay is how long anything waits to be written.
	bufferDelay = 100 * time.Millisecond
)

// buffer is the bytes on their way to one file.
type buffer struct {
	limit int
	kick  chan<- struct{} // wakes the writer

	mu   sync.Mutex
	room sync.Cond // on mu; pending was taken, or err was set
	// pending is what the writer has not taken yet; guarded by mu.
	pending []byte
	// err ended the writing: what comes after it is dropped, so that the file
	// stays a prefix. Guarded by mu.
	err error

	// Owned by whoever drains.
	file  *os.File
	spare []byte
}

func newBuffer(file *os.File, limit int, kick chan<- struct{}) *buffer {
	b := &buffer{file: file, limit: limit, kick: kick}
	b.room.L = &b.mu
	return b
}

// lock begins an append to b.pending. If it is false the buffer is not locked
// and nothing can be written any more.
func (b *buffer) lock() bool {
	b.mu.Lock()
	for len(b.pending) >= b.limit && b.err == nil {
		b.wake()
		b.room.Wait()
	}
	if b.err != nil {
		b.mu.Unlock()
		return false
	}
	return true
}

// unlock ends an append.
func (b *buffer) unlock() {
	eager := len(b.pending) >= min(bufferEager, b.limit)
	b.mu.Unlock()
	if eager {
		b.wake()
	}
}

func (b *buffer) wake() {
	select {
	case b.kick <- struct{}{}:
	default: // it is on its way
	}
}

// drain writes what is pending. One goroutine at a time.
func (b *buffer) drain() error {
	b.mu.Lock()
	out := b.pending
	b.pending = b.spare[:0]
	err := b.err
	b.room.Broadcast()
	b.mu.Unlock()
	b.spare = out
	if err != nil || len(out) == 0 {
		return err
	}
	if _, err := b.file.Write(out); err != nil {
		return b.fail(fmt.Errorf("write the trace: %w; the recording ends here", err))
	}
	return nil
}

// fail ends the writing; the first error stays.
func (b *buffer) fail(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	b.pending = nil
	b.room.Broadcast()
	return b.err
}

// writer drains a set of buffers in the background.
type writer struct {
	buffers []*buffer // guarded by writing
	kick    chan struct{}
	stop    chan struct{}
	done    chan struct{}
	writing sync.Mutex // held to drain
	failed  chan error // takes the first error
}

func newWriter() *writer {
	return &writer{
		kick: make(chan struct{}, 1),
		stop: make(chan struct{}),
		done: make(chan struct{}),

		failed: make(chan error, 1),
	}
}

// add has one more buffer drained.
func (w *writer) add(b *buffer) {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.buffers = append(w.buffers, b)
}

func (w *writer) run() {
	defer close(w.done)
	late := time.NewTicker(bufferDelay)
	defer late.Stop()
	for {
		select {
		case <-w.kick:
		case <-late.C:
		case <-w.stop:
			return
		}
		// Errors stay in the buffers.
		if err := w.drain(); err != nil {
			select {
			case w.failed <- err:
			default: // it has the first one, or had
			}
		}
	}
}

// drain writes what every buffer holds and returns the first error there ever
// was.
func (w *writer) drain() error {
	w.writing.Lock()
	defer w.writing.Unlock()
	var first error
	for _, b := range w.buffers {
		if err := b.drain(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// close ends the goroutine, writes the rest and closes the files. Later appends
// are dropped.
func (w *writer) close() error {
	close(w.stop)
	<-w.done
	first := w.drain()
	for _, b := range w.buffers {
		_ = b.fail(errClosed)
		if err := b.file.Close(); err != nil && first == nil {
			first = fmt.Errorf("close the trace: %w", err)
		}
	}
	return first
}
