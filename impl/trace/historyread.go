package trace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// ReadHistory reads a history that NewHistory wrote. Operation i is in line
// i + 2. The clock of the header covers the readings at both ends of the
// history. With an ErrTruncated come the operations before the cut.
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
	switch {
	case !readable(h.Offset, h.Bound):
		return HistoryHeader{}, nil, l.errorf(ErrMalformed, "an offset of %d and a bound of %d ns are no reading of a clock", h.Offset, h.Bound)
	case h.Rank < 0 || h.Rank > max(0, h.Ranks-1):
		return HistoryHeader{}, nil, l.errorf(ErrMalformed, "rank %d of %d", h.Rank, h.Ranks)
	}
	var all []Operation
	read := newHistoryLines()
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
		raw, err := read.read(line)
		if err != nil {
			return h, nil, l.errorf(ErrMalformed, "%w", err)
		}
		if raw.End == nil {
			o, err := raw.operation()
			if err != nil {
				return h, nil, l.errorf(ErrMalformed, "%w", err)
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
		if (raw.Offset == nil) != (raw.Bound == nil) || raw.Bound != nil && !readable(*raw.Offset, *raw.Bound) {
			return h, nil, l.errorf(ErrMalformed, "a reading of the clock needs clock_offset_ns and clock_bound_ns")
		}
		if raw.Bound != nil {
			h.Clock = h.Clock.cover(*raw.Offset, *raw.Bound)
		}
		if _, err := l.next(); err != io.EOF {
			return h, nil, l.errorf(ErrMalformed, "there is something after the history's last line")
		}
		return h, all, nil
	}
}

// farthest bounds all times, 36 years, so that their sums do not overflow.
const farthest = 1 << 60

func readable(offset, bound int64) bool {
	return -farthest <= offset && offset <= farthest && 0 <= bound && bound <= farthest
}

// operation checks that a line is one.
func (h *historyLine) operation() (Operation, error) {
	o := h.Operation
	switch {
	case o.Op == "":
		return o, errors.New(`"" cannot be an operation`)
	case o.Call < 0 || o.Call > farthest || o.Return > farthest:
		return o, fmt.Errorf("a call at %d and a return at %d: no clock shows that", o.Call, o.Return)
	case o.Return != 0 && o.Return < o.Call:
		return o, fmt.Errorf("it returns at %d and is called at %d", o.Return, o.Call)
	case h.Offset != nil || h.Bound != nil:
		return o, errors.New("a reading of the clock belongs to the first and the last line")
	}
	return o, nil
}

// HistoryEnded looks whether a history has the last line that makes it complete,
// without reading the rest: ErrTruncated if it has not.
func HistoryEnded(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	const most = 256 // bytes of a last line
	tail := make([]byte, min(info.Size(), most))
	if _, err := file.ReadAt(tail, info.Size()-int64(len(tail))); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	text, whole := bytes.CutSuffix(tail, []byte("\n"))
	if last := text[bytes.LastIndexByte(text, '\n')+1:]; !whole || !bytes.HasPrefix(last, []byte(endOfHistory)) {
		return fmt.Errorf("%w: %s: the history has no last line", ErrTruncated, path)
	}
	return nil
}
