package trace

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/clock"
	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/protocol"
)

// Format is the version of the files that this package writes and reads.
const Format = 7

// Header is the first line of a log: what one must know to read the rest.
type Header struct {
	// Format, Shard and Shards are set by the Recorder.
	Format int `json:"format"`
	// Spec names the specification whose actions follow, for instance strong.
	Spec        string           `json:"spec"`
	Node        addr.NodeID      `json:"node"`
	Incarnation addr.Incarnation `json:"incarnation"`
	Shard       int              `json:"shard"`
	// Shards is how many logs the node has, one for each shard.
	Shards int `json:"shards"`
	// Nodes is the number of nodes of the cluster.
	Nodes    int `json:"nodes"`
	PageSize int `json:"page_size"`
	// Slots is JSON that says where the home of each slot is and who is whose
	// parent. Empty: null.
	Slots json.RawMessage `json:"slots"`
	// Simulated says that there was no kernel below the nodes; Seed is the
	// scheduler's then.
	Simulated bool   `json:"simulated,omitempty"`
	Seed      uint64 `json:"seed"`
	// Build names the program that was running.
	Build string `json:"build"`
}

// fileName is where in a directory a log is.
func (h Header) fileName() string {
	if h.Spec == SyncSpec {
		return fmt.Sprintf("node%05d-i%d-sync.ndjson", h.Node, h.Incarnation)
	}
	return fmt.Sprintf("node%05d-i%d-s%03d.ndjson", h.Node, h.Incarnation, h.Shard)
}

// Digest identifies the content of a page: 64-bit xxHash, seed 0.
type Digest uint64

// DigestOf is the digest of a page's bytes.
func DigestOf(content []byte) Digest { return Digest(xxhash.Sum64(content)) }

func (d Digest) String() string { return string(appendHex(nil, d)) }

// Moment says when a page had the content that is recorded.
type Moment uint8

const (
	momentInvalid Moment = iota
	// Give: a right to the page was given up, or its content was sent.
	Give
	// Take: content arrived.
	Take
)

var momentNames = [...]string{"invalid", "give", "take"}

func (m Moment) String() string {
	if int(m) < len(momentNames) {
		return momentNames[m]
	}
	return fmt.Sprintf("invalid(%d)", uint8(m))
}

// UnmarshalText reads what String writes.
func (m *Moment) UnmarshalText(text []byte) error {
	i := slices.Index(momentNames[:], string(text))
	if i <= int(momentInvalid) {
		return fmt.Errorf("%q is no moment", text)
	}
	*m = Moment(i)
	return nil
}

// Recorder writes the logs of one node, one per shard. A nil *Recorder is off:
// its logs are nil.
type Recorder struct {
	writer *ndjson.Writer
	dir    string
	header Header // of a shard's log
	logs   []*Log
	sync   *SyncLog // nil until Sync

	closeOnce sync.Once
	closeErr  error
}

// NewRecorder begins the logs of a node with so many shards, in a directory that
// is created if needed. The header's Format, Shard and Shards are set here.
func NewRecorder(dir string, h Header, shards int) (*Recorder, error) {
	return newRecorder(dir, h, shards, ndjson.Limit)
}

func newRecorder(dir string, h Header, shards, limit int) (*Recorder, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, manifestName(h.Node, h.Incarnation))); err == nil {
		return nil, fmt.Errorf("trace: there is the manifest of another run in %s: give an empty directory", dir)
	}
	h.Format, h.Shards = Format, shards
	r := &Recorder{writer: ndjson.NewWriter(limit), dir: dir, header: h}
	for h.Shard = range shards {
		l, err := r.open(h)
		if err != nil {
			_ = r.writer.Close() // what came first is said
			return nil, err
		}
		r.logs = append(r.logs, l)
	}
	return r, nil
}

// open begins one log.
func (r *Recorder) open(h Header) (*Log, error) {
	out, err := r.writer.Create(filepath.Join(r.dir, h.fileName()), h)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("trace: %w: give an empty directory", err)
	}
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	return &Log{out: out, node: h.Node, shard: h.Shard}, nil
}

// Shard is the log of a shard, counted from 0.
func (r *Recorder) Shard(i int) *Log {
	if r == nil {
		return nil
	}
	return r.logs[i]
}

// Flush writes out everything that was recorded before the call.
func (r *Recorder) Flush() error {
	if r == nil {
		return nil
	}
	return r.writer.Flush()
}

// Failed delivers the error that has cut the logs short, when it happens and no
// caller of Flush was told.
func (r *Recorder) Failed() <-chan error {
	if r == nil {
		return nil
	}
	return r.writer.Failed()
}

// Close completes the logs, and leaves a manifest of them that has the node's
// account. Without an account there is none: nobody says then that the logs are
// all that happened. An error, here or from Flush, means that the logs are cut
// short, which a reader notices.
//
// Preconditions: no log is in use any more; what comes later is dropped. The
// account has one entry for each shard.
func (r *Recorder) Close(a *Account) error {
	if r == nil {
		return nil
	}
	r.closeOnce.Do(func() {
		for _, l := range r.logs {
			l.end()
		}
		if r.sync != nil {
			r.sync.log.end()
		}
		r.closeErr = r.writer.Close()
		if r.closeErr == nil && a != nil {
			r.closeErr = r.manifest(a).write(r.dir)
		}
	})
	return r.closeErr
}

// State appends the state of a manager as one line of JSON. *protocol.Shard is
// one.
type State interface {
	AppendState(b []byte, p addr.PageNum, at addr.Place) []byte
}

// Log is the record of one shard. A nil *Log is off. Whoever uses it holds the
// lock of the shard, so that the order of the records is the order of what
// happened.
type Log struct {
	out   *ndjson.Log
	node  addr.NodeID
	shard int
	// seq counts the records; guarded by an append to out, as is lamport, the
	// clock of the last action.
	seq     uint64
	lamport uint64
	text    []byte // scratch of Output
}

// begin starts a record, and the caller must end it, unless ok is false.
func (l *Log) begin(at addr.Place) (b []byte, ok bool) {
	if b, ok = l.out.Begin(); !ok {
		return nil, false
	}
	l.seq++
	return appendHead(b, l.lamport, at, l.shard, l.seq), true
}

// finish ends the record that b has behind what was pending.
func (l *Log) finish(b []byte) { l.out.End(appendTail(b, clock.Now())) }

// Action records an action that a manager has taken, with the manager's state
// after it. It is what a protocol.Observer does.
func (l *Log) Action(e *protocol.Event, post State) {
	if l == nil {
		return
	}
	l.action(e, post)
}

func (l *Log) action(e *protocol.Event, post State) {
	b, ok := l.out.Begin()
	if !ok {
		return
	}
	l.seq++
	l.lamport = e.Lamport
	b = appendHead(b, e.Lamport, e.At, l.shard, l.seq)
	b = appendName(b, `,"act":`, e.Action.String())
	b = appendPage(b, e.Page)
	b = appendPhase(b, e.Before)
	if e.Message != nil {
		// A local step shows the message that it sent: that has no sender.
		if e.Message.From != e.At {
			b = append(b, `,"f":`...)
			b = appendPlace(b, e.Message.From)
		}
		b = append(b, `,"m":`...)
		b = appendMessage(b, e.Message)
	}
	b = append(b, `,"post":`...)
	b = post.AppendState(b, e.Page, e.At)
	l.finish(b)
}

// Input records what is about to be given to the core: a replay gives it the
// same. A message counts as an input too.
func (l *Log) Input(in *protocol.Input) {
	if l == nil {
		return
	}
	l.input(in)
}

// place is the manager and the page that an input is for. A message for another
// node, which the core refuses, is of this node's log all the same.
func (l *Log) place(in *protocol.Input) (addr.Place, addr.PageNum) {
	if in.Kind == protocol.InMessage {
		return addr.Place{Node: l.node, Tag: in.Msg.To.Tag}, in.Msg.Page
	}
	return addr.Place{Node: l.node, Tag: addr.Leaf}, in.Page
}

func (l *Log) input(in *protocol.Input) {
	at, page := l.place(in)
	b, ok := l.begin(at)
	if !ok {
		return
	}
	b = appendName(b, `,"in":`, in.Kind.String())
	b = appendPage(b, page)
	b = ndjson.AppendUint(b, `,"stamp":`, uint64(in.Stamp))
	b = ndjson.AppendUint(b, `,"cut":`, in.Cut)
	if in.Msg != nil {
		b = append(b, `,"m":`...)
		b = appendMessage(b, in.Msg)
	}
	l.finish(b)
}

// Output records what the core put out for an input: the digest of the effects
// and their names, or the error with which Step refused the input. It follows
// the actions of the step.
func (l *Log) Output(in *protocol.Input, effects []protocol.Effect, refused error) {
	if l == nil {
		return
	}
	l.output(in, effects, refused)
}

func (l *Log) output(in *protocol.Input, effects []protocol.Effect, refused error) {
	at, page := l.place(in)
	l.text = appendEffects(l.text[:0], effects)
	b, ok := l.begin(at)
	if !ok {
		return
	}
	b = appendDigest(b, `,"out":`, DigestOf(l.text))
	b = appendPage(b, page)
	for i := range effects {
		if i == 0 {
			b = append(b, `,"effects":["`...)
		} else {
			b = append(b, `","`...)
		}
		b = appendEffectName(b, &effects[i])
	}
	if len(effects) > 0 {
		b = append(b, `"]`...)
	}
	l.finish(appendRefusal(b, refused))
}

// Output is what a step of a core put out.
type Output struct {
	Digest  Digest   // of the batch in its canonical encoding
	Effects []string // the batch in short; nil where it is empty
	Refused string   // the error of Step, empty if there was none
}

// OutputOf is what Log.Output records of a step, and the canonical encoding of
// its effects: one JSON object a line.
func OutputOf(effects []protocol.Effect, refused error) (Output, []byte) {
	text := appendEffects(nil, effects)
	out := Output{Digest: DigestOf(text)}
	for i := range effects {
		out.Effects = append(out.Effects, string(appendEffectName(nil, &effects[i])))
	}
	if refused != nil {
		out.Refused = refused.Error()
	}
	return out, text
}

// Configure records that the core is about to get a new configuration, which
// conf describes as one line of JSON.
func (l *Log) Configure(conf []byte) {
	if l == nil {
		return
	}
	b, ok := l.begin(addr.Place{Node: l.node, Tag: addr.Leaf})
	if !ok {
		return
	}
	b = append(b, `,"conf":`...)
	b = append(b, conf...)
	l.finish(b)
}

// Content records the digest of a page's content at a manager: at a leaf the
// frame, at a root the home's copy.
func (l *Log) Content(m Moment, p addr.PageNum, at addr.Place, content []byte) {
	if l == nil {
		return
	}
	l.content(m, p, at, DigestOf(content))
}

func (l *Log) content(m Moment, p addr.PageNum, at addr.Place, d Digest) {
	b, ok := l.begin(at)
	if !ok {
		return
	}
	b = appendName(b, `,"content":`, m.String())
	b = appendPage(b, p)
	l.finish(appendDigest(b, `,"digest":`, d))
}

// end writes the last line, which tells a complete log from one that was cut.
func (l *Log) end() {
	b, ok := l.out.Begin()
	if !ok {
		return
	}
	b = append(b, `{"end":`...)
	b = strconv.AppendUint(b, l.seq, 10)
	l.out.End(append(b, '}', '\n'))
}
