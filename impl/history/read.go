package history

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/mome-dsm/mome/impl/ndjson"
)

// Read reads a history that a Recorder wrote. Operation i is in line
// i + 2. The clock of the header covers the readings at both ends of the
// history. With an ndjson.ErrTruncated come the operations before the cut.
func Read(path string) (Header, []Operation, error) {
	file, err := os.Open(path)
	if err != nil {
		return Header{}, nil, fmt.Errorf("history: %w", err)
	}
	defer file.Close()
	return ReadFrom(path, file)
}

// ReadFrom reads a history from a stream; name stands for it in errors.
func ReadFrom(name string, r io.Reader) (Header, []Operation, error) {
	l := ndjson.NewLines(name, r)
	var h Header
	if err := l.Header(Format, &h); err != nil {
		return Header{}, nil, err
	}
	switch {
	case !readable(h.Offset, h.Bound):
		return Header{}, nil, l.Errorf(ndjson.ErrMalformed, "an offset of %d and a bound of %d ns are no reading of a clock", h.Offset, h.Bound)
	case h.Rank < 0 || h.Rank > max(0, h.Ranks-1):
		return Header{}, nil, l.Errorf(ndjson.ErrMalformed, "rank %d of %d", h.Rank, h.Ranks)
	}
	if h.Begin < 0 || h.Begin > farthest {
		return Header{}, nil, l.Errorf(ndjson.ErrMalformed, "a beginning at %d: no clock shows that", h.Begin)
	}
	var all []Operation
	parse := newParser()
	clients := lives{begin: h.Begin, clients: make(map[int]*life)}
	for {
		text, err := l.Next()
		if err == io.EOF {
			err = l.Errorf(ndjson.ErrTruncated, "the history ends after %d operations without its last line", len(all))
		}
		if errors.Is(err, ndjson.ErrTruncated) {
			return h, all, err
		}
		if err != nil {
			return h, nil, err
		}
		raw, err := parse.line(text)
		if err != nil {
			return h, nil, l.Errorf(ndjson.ErrMalformed, "%w", err)
		}
		var wrong *flaw
		switch {
		case raw.End != nil:
			if wrong = raw.ends(&h, uint64(len(all)), &clients); wrong == nil {
				if _, err := l.Next(); err != io.EOF {
					return h, nil, l.Errorf(ndjson.ErrMalformed, "there is something after the history's last line")
				}
				return h, all, nil
			}
		case raw.Operations != nil:
			wrong = raw.endsClient(&clients)
		default:
			var o Operation
			if o, wrong = raw.operation(); wrong == nil {
				wrong = clients.operation(&o, l.Line())
			}
			all = append(all, o)
		}
		if wrong != nil {
			return h, nil, l.Errorf(wrong.kind, "%s", wrong.text)
		}
	}
}

// farthest bounds all times, 36 years, so that their sums do not overflow.
const farthest = 1 << 60

func readable(offset, bound int64) bool {
	return -farthest <= offset && offset <= farthest && 0 <= bound && bound <= farthest
}

// operation checks that a line is one.
func (n *line) operation() (Operation, *flaw) {
	o := n.Operation
	switch {
	case o.Op == "":
		return o, ill(`"" cannot be an operation`)
	case o.Client < 0:
		return o, ill("a client %d", o.Client)
	case o.Call < 0 || o.Call > farthest || o.Return > farthest:
		return o, ill("a call at %d and a return at %d: no clock shows that", o.Call, o.Return)
	case o.Return != 0 && o.Return < o.Call:
		return o, ill("it returns at %d and is called at %d", o.Return, o.Call)
	case n.Offset != nil || n.Bound != nil:
		return o, ill("a reading of the clock belongs to the first and the last line")
	case n.Begin != nil || n.Until != nil || n.Clients != nil:
		return o, ill("an operation that says more than that")
	}
	return o, nil
}

// endsClient checks a line that ends a client.
func (n *line) endsClient(clients *lives) *flaw {
	if n.Operation != (Operation{Client: n.Client}) || n.Begin == nil || n.Until == nil || n.Clients != nil || n.Offset != nil || n.Bound != nil {
		return ill("the end of a client is client, operations, begin_ns and end_ns")
	}
	if n.Client < 0 || *n.Begin > farthest || *n.Until > farthest {
		return ill("client %d from %d to %d: no clock shows that", n.Client, *n.Begin, *n.Until)
	}
	return clients.end(n.Client, *n.Operations, *n.Begin, *n.Until)
}

// ends checks the last line, which belongs to a header and so many operations.
func (n *line) ends(header *Header, operations uint64, clients *lives) *flaw {
	switch {
	case n.Operation != (Operation{}) || n.Operations != nil || n.Begin != nil:
		return ill("a last line that says more than that")
	case n.Clients == nil || n.Until == nil || *n.Until > farthest:
		return ill("the last line is end, clients and end_ns")
	case *n.End != operations:
		return gap("the history has %d operations, %d are here", *n.End, operations)
	case (n.Offset == nil) != (n.Bound == nil) || n.Bound != nil && !readable(*n.Offset, *n.Bound):
		return ill("a reading of the clock needs clock_offset_ns and clock_bound_ns")
	}
	if n.Bound != nil {
		header.Reading = header.Reading.Cover(*n.Offset, *n.Bound)
	}
	return clients.finish(*n.Clients, *n.Until)
}

// Ended looks whether a history has the last line that makes it complete,
// without reading the rest: ndjson.ErrTruncated if it has not.
func Ended(path string) error {
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
	if last := text[bytes.LastIndexByte(text, '\n')+1:]; !whole || !bytes.HasPrefix(last, []byte(lastLine)) {
		return fmt.Errorf("%w: %s: the history has no last line", ndjson.ErrTruncated, path)
	}
	return nil
}
