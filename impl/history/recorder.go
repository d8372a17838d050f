package history

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/mome-dsm/mome/impl/clock"
	"github.com/mome-dsm/mome/impl/ndjson"
)

// lastLine begins the last line.
const lastLine = `{"end":`

// Recorder writes a history, from any goroutine. A nil *Recorder is off.
type Recorder struct {
	out     *ndjson.Log
	writer  *ndjson.Writer
	count   uint64        // of operations; guarded by an append to out
	reading clock.Reading // as the header has it

	mu      sync.Mutex // guards clients and ended; taken before that of a Client
	clients []*Client
	ended   bool // the clients are
	numbers numbers

	closeOnce sync.Once
	closeErr  error
}

// New begins a history in a new file.
func New(path string, h Header) (*Recorder, error) {
	h.Begin = clock.Now()
	return begin(path, h)
}

func begin(path string, h Header) (*Recorder, error) {
	h.Format = Format
	w := ndjson.NewWriter(ndjson.Limit)
	out, err := w.Create(path, h)
	if err != nil {
		_ = w.Close() // it has no files
		return nil, fmt.Errorf("history: %w", err)
	}
	return &Recorder{out: out, writer: w, reading: h.Reading}, nil
}

// Write writes a whole history of operations in simulated time, each with
// its client and its times, those of one client in their order: their Seq is set
// here. It begins with the header's Begin and ends with the last of them.
func Write(path string, header Header, ops []Operation) error {
	r, err := begin(path, header)
	if err != nil {
		return err
	}
	var begun []uint64 // by client
	end := header.Begin
	for _, o := range ops {
		for len(begun) <= o.Client {
			r.numbers.next()
			begun = append(begun, 0)
		}
		begun[o.Client]++
		o.Seq = begun[o.Client]
		r.record(&o)
		end = max(end, o.Call, o.Return)
	}
	for client, n := range begun {
		r.endClient(clientLife{client, n, header.Begin, end})
	}
	return r.complete(header.Reading, end)
}

func (r *Recorder) record(o *Operation) {
	b, ok := r.out.Begin()
	if !ok {
		return
	}
	r.count++
	r.out.End(appendOperation(b, o))
}

func appendOperation(b []byte, o *Operation) []byte {
	b = append(b, `{"client":`...)
	b = strconv.AppendInt(b, int64(o.Client), 10)
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, o.Seq, 10)
	b = append(b, `,"op":"`...)
	b = append(b, o.Op...)
	b = append(b, '"')
	if o.Object != "" {
		b = ndjson.AppendString(append(b, `,"object":`...), o.Object)
	}
	b = append(b, `,"word":`...)
	b = strconv.AppendUint(b, o.Word, 10)
	b = append(b, `,"value":`...)
	b = strconv.AppendUint(b, o.Value, 10)
	b = ndjson.AppendUint(b, `,"old":`, o.Old)
	b = ndjson.AppendUint(b, `,"result":`, o.Result)
	b = append(b, `,"call_ns":`...)
	b = strconv.AppendInt(b, o.Call, 10)
	b = append(b, `,"return_ns":`...)
	b = strconv.AppendInt(b, o.Return, 10)
	return append(b, '}', '\n')
}

// endClient records that a client does nothing more.
func (r *Recorder) endClient(l clientLife) {
	b, ok := r.out.Begin()
	if !ok {
		return
	}
	b = append(b, `{"client":`...)
	b = strconv.AppendInt(b, int64(l.number), 10)
	b = append(b, `,"operations":`...)
	b = strconv.AppendUint(b, l.begun, 10)
	b = append(b, `,"begin_ns":`...)
	b = strconv.AppendInt(b, l.since, 10)
	b = append(b, `,"end_ns":`...)
	b = strconv.AppendInt(b, l.until, 10)
	r.out.End(append(b, '}', '\n'))
}

// Flush writes out everything that was recorded before the call.
func (r *Recorder) Flush() error {
	if r == nil {
		return nil
	}
	return r.writer.Flush()
}

// EndClients ends all clients: operations that have not ended are recorded
// without an answer, and later ones are not recorded.
func (r *Recorder) EndClients() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	for _, c := range r.clients {
		c.close()
	}
	for _, c := range r.clients {
		for _, l := range c.lives() {
			r.endClient(l)
		}
	}
	r.clients = nil
}

// Close ends the clients and completes the history. The clock of the header is
// taken to have kept its offset.
func (r *Recorder) Close() error {
	if r == nil {
		return nil
	}
	return r.CloseAt(r.reading)
}

// CloseAt is Close with another reading of the clock that the header has.
func (r *Recorder) CloseAt(reading clock.Reading) error {
	if r == nil {
		return nil
	}
	r.EndClients()
	return r.complete(reading, clock.Now())
}

// Abandon gives the file back without completing the history, which stays
// truncated. What is recorded later is dropped.
func (r *Recorder) Abandon() error {
	if r == nil {
		return nil
	}
	r.closeOnce.Do(func() { r.closeErr = r.writer.Close() })
	return r.closeErr
}

// complete writes the last line and gives the file back.
func (r *Recorder) complete(reading clock.Reading, end int64) error {
	r.closeOnce.Do(func() {
		if b, ok := r.out.Begin(); ok {
			b = append(b, lastLine...)
			b = strconv.AppendUint(b, r.count, 10)
			b = append(b, `,"clients":`...)
			b = strconv.AppendInt(b, int64(r.numbers.given()), 10)
			b = append(b, `,"end_ns":`...)
			b = strconv.AppendInt(b, end, 10)
			if reading != r.reading {
				b = append(b, `,"clock_offset_ns":`...)
				b = strconv.AppendInt(b, reading.Offset, 10)
				b = append(b, `,"clock_bound_ns":`...)
				b = strconv.AppendInt(b, reading.Bound, 10)
			}
			r.out.End(append(b, '}', '\n'))
		}
		r.closeErr = r.writer.Close()
	})
	return r.closeErr
}
