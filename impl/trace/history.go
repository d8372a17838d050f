package trace

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
)

// HistoryFormat is the version of the histories.
const HistoryFormat = 3

// HistoryHeader is the first line of a history.
type HistoryHeader struct {
	// Format is set by NewHistory.
	Format int `json:"format"`
	// Model names what the words promised: strong, weak, release, reduction.
	Model string `json:"model"`
	Seed  uint64 `json:"seed"`
	Build string `json:"build"`
	// Run is the cluster that was shared. Histories of one run are judged
	// together, those of different runs have nothing to do with each other.
	Run string `json:"run"`
	// Process tells the histories of a run apart.
	Process string `json:"process"`
	// Rank is the number of the process among the Ranks of its Program, so that
	// it is seen if the history of one is missing. Zero Ranks: it is not known.
	Program string `json:"program"`
	Rank    int    `json:"rank"`
	Ranks   int    `json:"ranks"`
	Clock
	// Begin is Now when the history began: nothing was called before. NewHistory
	// sets it.
	Begin int64 `json:"begin_ns"`
}

// The operations that the checkers know.
const (
	OpRead    = "read"    // Value: what was read
	OpWrite   = "write"   // Value: what was written
	OpCAS     = "cas"     // Old: what was expected; Value: what was to be written instead; Result: 1 if it was, else 0
	OpAdd     = "add"     // Value: what was added; Result: the sum
	OpAcquire = "acquire" // Value: the fence, 0 if the lock was not granted; Old: 1 if the holder before had died
	OpRelease = "release" // Value: the fence; Result: 1 if the lock was given up, 0 if it was not held
	// Of names of segments. Value: the generation of the segment, 0 if the name was
	// taken (create), if there was none (open), or if it could be neither opened nor
	// created since it has another size (openOrCreate). Result: 1 if the operation
	// has created the segment, or removed it.
	OpCreate       = "create"
	OpOpen         = "open"
	OpOpenOrCreate = "openOrCreate"
	OpRemove       = "remove"
	// Of barriers. Value: the party. Old: of how many (join), or the round. Result: 1
	// if the party has joined, or if the round is over, 0 if it was refused, or if a
	// party has died or left that the round needed.
	OpJoin   = "join"
	OpArrive = "arrive"
	OpAwait  = "await"
	OpLeave  = "leave"
)

// Operation is what one client did to one word, to one lock, to the name of a
// segment, or to a barrier. Other names of operations are up to those who record and check them.
type Operation struct {
	Client int `json:"client"`
	// Seq is which of its client's operations it is, from 1.
	Seq uint64 `json:"seq"`
	Op  string `json:"op"`
	// Object is what has the word: a segment in one of its lives, or a lock, a
	// name or a barrier, whose word is 0.
	Object string `json:"object,omitempty"`
	// Word is the word's place in its segment, counted in words of 64 bits.
	Word   uint64 `json:"word"`
	Value  uint64 `json:"value"`
	Old    uint64 `json:"old,omitempty"`
	Result uint64 `json:"result,omitempty"`
	// Call and Return are Now before and after the operation. Return is zero
	// where no answer was seen: such an operation stays open to the end of the
	// history, and is the last one of its client.
	Call   int64 `json:"call_ns"`
	Return int64 `json:"return_ns"`
}

// endOfHistory begins the last line.
const endOfHistory = `{"end":`

// History records operations, from any goroutine. A nil *History is off.
type History struct {
	out    *buffer
	writer *writer
	count  uint64 // of operations; guarded by out.mu
	clock  Clock  // as the header has it

	mu      sync.Mutex // guards clients and ended; taken before that of a Client
	clients []*Client
	ended   bool // the clients are
	numbers numbers

	closeOnce sync.Once
	closeErr  error
}

// NewHistory begins a history in a new file.
func NewHistory(path string, h HistoryHeader) (*History, error) {
	h.Begin = Now()
	return newHistory(path, h)
}

func newHistory(path string, h HistoryHeader) (*History, error) {
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
	return &History{out: b, writer: w, clock: h.Clock}, nil
}

// WriteHistory writes a whole history of operations in simulated time, each with
// its client and its times, those of one client in their order: their Seq is set
// here. It begins with the header's Begin and ends with the last of them.
func WriteHistory(path string, header HistoryHeader, ops []Operation) error {
	h, err := newHistory(path, header)
	if err != nil {
		return err
	}
	var begun []uint64 // by client
	end := header.Begin
	for _, o := range ops {
		for len(begun) <= o.Client {
			h.numbers.next()
			begun = append(begun, 0)
		}
		begun[o.Client]++
		o.Seq = begun[o.Client]
		h.record(&o)
		end = max(end, o.Call, o.Return)
	}
	for client, n := range begun {
		h.endClient(clientLife{client, n, header.Begin, end})
	}
	return h.complete(header.Clock, end)
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
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, o.Seq, 10)
	b = append(b, `,"op":"`...)
	b = append(b, o.Op...)
	b = append(b, '"')
	if o.Object != "" {
		b = appendString(append(b, `,"object":`...), o.Object)
	}
	b = append(b, `,"word":`...)
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

// endClient records that a client does nothing more.
func (h *History) endClient(l clientLife) {
	if !h.out.lock() {
		return
	}
	b := append(h.out.pending, `{"client":`...)
	b = strconv.AppendInt(b, int64(l.number), 10)
	b = append(b, `,"operations":`...)
	b = strconv.AppendUint(b, l.begun, 10)
	b = append(b, `,"begin_ns":`...)
	b = strconv.AppendInt(b, l.since, 10)
	b = append(b, `,"end_ns":`...)
	b = strconv.AppendInt(b, l.until, 10)
	h.out.pending = append(b, '}', '\n')
	h.out.unlock()
}

// Flush writes out everything that was recorded before the call.
func (h *History) Flush() error {
	if h == nil {
		return nil
	}
	return h.writer.drain()
}

// EndClients ends all clients: operations that have not ended are recorded
// without an answer, and later ones are not recorded.
func (h *History) EndClients() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	for _, c := range h.clients {
		c.close()
	}
	for _, c := range h.clients {
		for _, l := range c.lives() {
			h.endClient(l)
		}
	}
	h.clients = nil
}

// Close ends the clients and completes the history. The clock of the header is
// taken to have kept its offset.
func (h *History) Close() error {
	if h == nil {
		return nil
	}
	return h.CloseAt(h.clock)
}

// CloseAt is Close with another reading of the clock that the header has.
func (h *History) CloseAt(clock Clock) error {
	if h == nil {
		return nil
	}
	h.EndClients()
	return h.complete(clock, Now())
}

// Abandon gives the file back without completing the history, which stays
// truncated. What is recorded later is dropped.
func (h *History) Abandon() error {
	if h == nil {
		return nil
	}
	h.closeOnce.Do(func() { h.closeErr = h.writer.close() })
	return h.closeErr
}

// complete writes the last line and gives the file back.
func (h *History) complete(clock Clock, end int64) error {
	h.closeOnce.Do(func() {
		if h.out.lock() {
			b := append(h.out.pending, endOfHistory...)
			b = strconv.AppendUint(b, h.count, 10)
			b = append(b, `,"clients":`...)
			b = strconv.AppendInt(b, int64(h.numbers.given()), 10)
			b = append(b, `,"end_ns":`...)
			b = strconv.AppendInt(b, end, 10)
			if clock != h.clock {
				b = append(b, `,"clock_offset_ns":`...)
				b = strconv.AppendInt(b, clock.Offset, 10)
				b = append(b, `,"clock_bound_ns":`...)
				b = strconv.AppendInt(b, clock.Bound, 10)
			}
			h.out.pending = append(b, '}', '\n')
			h.out.unlock()
		}
		h.closeErr = h.writer.close()
	})
	return h.closeErr
}
