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
	if h.Begin < 0 || h.Begin > farthest {
		return HistoryHeader{}, nil, l.errorf(ErrMalformed, "a beginning at %d: no clock shows that", h.Begin)
	}
	var all []Operation
	read := newHistoryLines()
	clients := lives{begin: h.Begin, clients: make(map[int]*life)}
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
		var wrong *flaw
		switch {
		case raw.End != nil:
			if wrong = raw.ends(&h, uint64(len(all)), &clients); wrong == nil {
				if _, err := l.next(); err != io.EOF {
					return h, nil, l.errorf(ErrMalformed, "there is something after the history's last line")
				}
				return h, all, nil
			}
		case raw.Operations != nil:
			wrong = raw.endsClient(&clients)
		default:
			var o Operation
			if o, wrong = raw.operation(); wrong == nil {
				wrong = clients.operation(&o, l.line)
			}
			all = append(all, o)
		}
		if wrong != nil {
			return h, nil, l.errorf(wrong.kind, "%s", wrong.text)
		}
	}
}

// farthest bounds all times, 36 years, so that their sums do not overflow.
const farthest = 1 << 60

func readable(offset, bound int64) bool {
	return -farthest <= offset && offset <= farthest && 0 <= bound && bound <= farthest
}

// operation checks that a line is one.
func (h *historyLine) operation() (Operation, *flaw) {
	o := h.Operation
	switch {
	case o.Op == "":
		return o, ill(`"" cannot be an operation`)
	case o.Client < 0:
		return o, ill("a client %d", o.Client)
	case o.Call < 0 || o.Call > farthest || o.Return > farthest:
		return o, ill("a call at %d and a return at %d: no clock shows that", o.Call, o.Return)
	case o.Return != 0 && o.Return < o.Call:
		return o, ill("it returns at %d and is called at %d", o.Return, o.Call)
	case h.Offset != nil || h.Bound != nil:
		return o, ill("a reading of the clock belongs to the first and the last line")
	case h.Begin != nil || h.Until != nil || h.Clients != nil:
		return o, ill("an operation that says more than that")
	}
	return o, nil
}

// endsClient checks a line that ends a client.
func (h *historyLine) endsClient(clients *lives) *flaw {
	if h.Operation != (Operation{Client: h.Client}) || h.Begin == nil || h.Until == nil || h.Clients != nil || h.Offset != nil || h.Bound != nil {
		return ill("the end of a client is client, operations, begin_ns and end_ns")
	}
	if h.Client < 0 || *h.Begin > farthest || *h.Until > farthest {
		return ill("client %d from %d to %d: no clock shows that", h.Client, *h.Begin, *h.Until)
	}
	return clients.end(h.Client, *h.Operations, *h.Begin, *h.Until)
}

// ends checks the last line, which belongs to a header and so many operations.
func (h *historyLine) ends(header *HistoryHeader, operations uint64, clients *lives) *flaw {
	switch {
	case h.Operation != (Operation{}) || h.Operations != nil || h.Begin != nil:
		return ill("a last line that says more than that")
	case h.Clients == nil || h.Until == nil || *h.Until > farthest:
		return ill("the last line is end, clients and end_ns")
	case *h.End != operations:
		return gap("the history has %d operations, %d are here", *h.End, operations)
	case (h.Offset == nil) != (h.Bound == nil) || h.Bound != nil && !readable(*h.Offset, *h.Bound):
		return ill("a reading of the clock needs clock_offset_ns and clock_bound_ns")
	}
	if h.Bound != nil {
		header.Clock = header.Clock.cover(*h.Offset, *h.Bound)
	}
	return clients.finish(*h.Clients, *h.Until)
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
