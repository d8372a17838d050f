package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/history"
)

// incomplete is the failure of what a run leaves behind beside its result: a
// trace, a log. The run goes on without, and its status says so at the end.
type incomplete struct{ error }

func (i incomplete) Unwrap() error { return i.error }

// logWriter is where a log goes, or what is reported beside it. It remembers that a
// line was lost, which a log cannot say itself.
type logWriter struct {
	out io.Writer

	mu  sync.Mutex
	err error // the first; guarded by mu
}

// Write implements io.Writer.
func (w *logWriter) Write(b []byte) (int, error) {
	n, err := w.out.Write(b)
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.err == nil {
			w.err = err
		}
	}
	return n, err
}

// lost is the first error of Write, of what "the log has".
func (w *logWriter) lost(what string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		return nil
	}
	if errors.Is(w.err, unix.EPIPE) {
		return fmt.Errorf("%s lost lines: %w; nobody reads them any more", what, w.err)
	}
	return fmt.Errorf("%s lost lines: %w; free some space where they go", what, w.err)
}

// byproducts is what a run that has ended well has to say about what it leaves
// behind: an incomplete, or nil.
func byproducts(errs ...error) error {
	if err := errors.Join(errs...); err != nil {
		return incomplete{err}
	}
	return nil
}

// historiesCut is the histories below a directory that were begun and not
// completed: nobody judges them.
func historiesCut(dir string) (list []error) {
	all, _ := filepath.Glob(filepath.Join(dir, historyFiles)) // the pattern is well formed
	for _, path := range all {
		if err := history.Ended(path); err != nil {
			list = append(list, fmt.Errorf("%w: its program could not write it, or did not close its Recorder", err))
		}
	}
	return list
}

// historyFiles are the names of histories.
const historyFiles = "history-*.ndjson"
