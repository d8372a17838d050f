package ndjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	// Limit is how many bytes wait for one file before a caller does, unless
	// somebody wants it otherwise.
	Limit = 1 << 20
	// eager is from how many bytes on the goroutine is woken.
	eager = 64 << 10
	// delay is how long anything waits to be written.
	delay = 100 * time.Millisecond
)

var errClosed = errors.New("mome: log closed")

// Log is one file, and the bytes on their way to it. Any goroutine may append.
type Log struct {
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

// Begin begins an append: the caller appends whole lines to b and gives it to
// End. Between the two the log is locked. If ok is false it is not, and nothing
// can be written any more.
func (l *Log) Begin() (b []byte, ok bool) {
	l.mu.Lock()
	for len(l.pending) >= l.limit && l.err == nil {
		l.wake()
		l.room.Wait()
	}
	if l.err != nil {
		l.mu.Unlock()
		return nil, false
	}
	return l.pending, true
}

// End ends the append that Begin began.
func (l *Log) End(b []byte) {
	l.pending = b
	full := len(b) >= min(eager, l.limit)
	l.mu.Unlock()
	if full {
		l.wake()
	}
}

func (l *Log) wake() {
	select {
	case l.kick <- struct{}{}:
	default: // it is on its way
	}
}

// drain writes what is pending. One goroutine at a time.
func (l *Log) drain() error {
	l.mu.Lock()
	out := l.pending
	l.pending = l.spare[:0]
	err := l.err
	l.room.Broadcast()
	l.mu.Unlock()
	l.spare = out
	if err != nil || len(out) == 0 {
		return err
	}
	if _, err := l.file.Write(out); err != nil {
		return l.fail(fmt.Errorf("%w; the recording ends here", err))
	}
	return nil
}

// fail ends the writing; the first error stays.
func (l *Log) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
	l.pending = nil
	l.room.Broadcast()
	return l.err
}

// Writer has the files of some logs written in the background.
type Writer struct {
	limit   int
	logs    []*Log // guarded by writing
	kick    chan struct{}
	stop    chan struct{}
	done    chan struct{}
	writing sync.Mutex // held to drain
	failed  chan error // takes the first error
}

// NewWriter begins to write. Limit is how many bytes wait for one file before
// its callers do. Close ends it.
func NewWriter(limit int) *Writer {
	w := &Writer{
		limit:  limit,
		kick:   make(chan struct{}, 1),
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
		failed: make(chan error, 1),
	}
	go w.run()
	return w
}

// Create begins a log in a new file, with its first line. A log is never written
// over nor continued: where the file is there the error is os.ErrExist.
func (w *Writer) Create(path string, header any) (*Log, error) {
	line, err := json.Marshal(header)
	if err != nil {
		return nil, fmt.Errorf("header of %s: %w", path, err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return w.add(file, append(line, '\n')), nil
}

// add has one more file written, which begins with some bytes.
func (w *Writer) add(file *os.File, begins []byte) *Log {
	l := &Log{limit: w.limit, kick: w.kick, file: file, pending: begins}
	l.room.L = &l.mu
	w.writing.Lock()
	defer w.writing.Unlock()
	w.logs = append(w.logs, l)
	return l
}

func (w *Writer) run() {
	defer close(w.done)
	late := time.NewTicker(delay)
	defer late.Stop()
	for {
		select {
		case <-w.kick:
		case <-late.C:
		case <-w.stop:
			return
		}
		// Errors stay in the logs.
		if err := w.Flush(); err != nil {
			select {
			case w.failed <- err:
			default: // it has the first one, or had
			}
		}
	}
}

// Flush writes what was appended before the call, and returns the first error
// that there ever was.
func (w *Writer) Flush() error {
	w.writing.Lock()
	defer w.writing.Unlock()
	var first error
	for _, l := range w.logs {
		if err := l.drain(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Failed delivers the error that has cut a log short, when it happens in the
// background.
func (w *Writer) Failed() <-chan error { return w.failed }

// Close ends the goroutine, writes the rest and closes the files. Later appends
// are dropped.
//
// Preconditions: it is called once.
func (w *Writer) Close() error {
	close(w.stop)
	<-w.done
	first := w.Flush()
	for _, l := range w.logs {
		_ = l.fail(errClosed)
		if err := l.file.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
