package trace

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
)

// HistoryFormat is the version of the histories.
const HistoryFormat = 1

// HistoryHeader is the first line of a history.
type HistoryHeader struct {
	// Format is set by NewHistory.
	Format int `json:"format"`
	// Model names what the words promised: strong, weak, release, reduction.
	Model string `json:"model"`
	Seed  uint64 `json:"seed"`
	Build string `json:"build"`
}

// Operation is what one client did to one word, or to one lock.
//
//	read     Value: what was read
//	write    Value: what was written
//	cas      Old: what was expected; Value: what was to be written instead;
//	         Result: 1 if it was, else 0
//	add      Value: what was added; Result: the sum
//
// Other names of operations are up to those who record and check them.
type Operation struct {
	Client int    `json:"client"`
	Op     string `json:"op"`
	// Word is the word's address, counted in words from the begin of its
	// segment, or the number of a lock.
	Word   uint64 `json:"word"`
	Value  uint64 `json:"value"`
	Old    uint64 `json:"old,omitempty"`
	Result uint64 `json:"result,omitempty"`
	// Call and Return are Now before and after the operation. Return is zero
	// where no answer was seen: such an operation stays open to the end of the
	// history.
	Call   int64 `json:"call_ns"`
	Return int64 `json:"return_ns"`
}

// History records operations, from any goroutine. A nil *History is off.
type History struct {
	out    *buffer
	writer *writer
	count  uint64 // of operations; guarded by out.mu

	closeOnce sync.Once
	closeErr  error
}

// NewHistory begins a history in a new file.
func NewHistory(path string, h HistoryHeader) (*History, error) {
	h.Format = HistoryFormat
	line, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("history: header: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	w := newWriter()
	b := newBuffer(file, bufferLimit, w.kick)
	b.pending = append(line, '\n')
	w.buffers = []*buffer{b}
	go w.run()
	return &History{out: b, writer: w}, nil
}

// Record adds an operation. Op must be letters and digits.
func (h *History) Record(o *Operation) {
	if h == nil {
		return
	}
	h.record(o)
}

func (h *History) record(o *Operation) {
	if !h.out.lock() {
		return
	}
	h.count++
	h.out.pending = appendOperation(h.out.pending, o)
	h.out.unlock()
}

func appendOperation(b []byte, o *Operation) []byte {
	b = append(b, `{"client":`...)
	b = strconv.AppendInt(b, int64(o.Client), 10)
	b = append(b, `,"op":"`...)
	b = append(b, o.Op...)
	b = append(b, `","word":`...)
	b = strconv.AppendUint(b, o.Word, 10)
	b = append(b, `,"value":`...)
	b = strconv.AppendUint(b, o.Value, 10)
	b = uintField(b, `,"old":`, o.Old)
	b = uintField(b, `,"result":`, o.Result)
	b = append(b, `,"call_ns":`...)
	b = strconv.AppendInt(b, o.Call, 10)
	b = append(b, `,"return_ns":`...)
	b = strconv.AppendInt(b, o.Return, 10)
	return append(b, '}', '\n')
}

// Flush writes out everything that was recorded before the call.
func (h *History) Flush() error {
	if h == nil {
		return nil
	}
	return h.writer.drain()
}

// Close completes the history; what is recorded later is dropped.
func (h *History) Close() error {
	if h == nil {
		return nil
	}
	h.closeOnce.Do(func() {
		if h.out.lock() {
			b := append(h.out.pending, `{"end":`...)
			b = strconv.AppendUint(b, h.count, 10)
			h.out.pending = append(b, '}', '\n')
			h.out.unlock()
		}
		h.closeErr = h.writer.close()
	})
	return h.closeErr
}

// ReadHistory reads a history that NewHistory wrote. With an ErrTruncated come
// the operations before the cut.
func ReadHistory(path string) (HistoryHeader, []Operation, error) {
	file, err := os.Open(path)
	if err != nil {
		return HistoryHeader{}, nil, fmt.Errorf("history: %w", err)
	}
	defer file.Close()
	return ReadHistoryFrom(path, file)
}

// ReadHistoryFrom reads a history from a stream; name stands for it in errors.
func ReadHistoryFrom(name string, r io.Reader) (HistoryHeader, []Operation, error) {
	l := newLines(name, r)
	var h HistoryHeader
	if err := l.first(HistoryFormat, &h); err != nil {
		return HistoryHeader{}, nil, err
	}
	var all []Operation
	for {
		line, err := l.next()
		if err == io.EOF {
			err = l.errorf(ErrTruncated, "the history ends after %d operations without its last line", len(all))
		}
		if errors.Is(err, ErrTruncated) {
			return h, all, err
		}
		if err != nil {
			return h, nil, err
		}
		var raw struct {
			Operation
			End *uint64 `json:"end"`
		}
		if err := l.decode(line, &raw); err != nil {
			return h, nil, err
		}
		if raw.End == nil {
			o := raw.Operation
			switch {
			case !identifier.MatchString(o.Op):
				return h, nil, l.errorf(ErrMalformed, "%q cannot be an operation", o.Op)
			case o.Return != 0 && o.Return < o.Call:
				return h, nil, l.errorf(ErrMalformed, "it returns at %d and is called at %d", o.Return, o.Call)
			}
			all = append(all, o)
			continue
		}
		if raw.Operation != (Operation{}) {
			return h, nil, l.errorf(ErrMalformed, "a last line that says more than that")
		}
		if *raw.End != uint64(len(all)) {
			return h, nil, l.errorf(ErrGap, "the history has %d operations, %d are here", *raw.End, len(all))
		}
		if _, err := l.next(); err != io.EOF {
			return h, nil, l.errorf(ErrMalformed, "there is something after the history's last line")
		}
		return h, all, nil
	}
}
