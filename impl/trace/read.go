package trace

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/protocol"
)

// Errors of reading. Each is wrapped with the file and the line.
var (
	// ErrFormat: the file is of another version.
	ErrFormat = errors.New("mome: trace of another format")
	// ErrMalformed: the line is not what this package writes.
	ErrMalformed = errors.New("mome: malformed trace")
	// ErrGap: records are missing in the middle.
	ErrGap = errors.New("mome: gap in the trace")
	// ErrTruncated: the end is missing. What was read before is a prefix of
	// what happened: the process died, or the disk was full.
	ErrTruncated = errors.New("mome: truncated trace")
	// ErrMissing: the log of a node or of a shard is not there.
	ErrMissing = errors.New("mome: incomplete trace")
	// ErrNoTrace: there is no log in the directory.
	ErrNoTrace = errors.New("mome: no trace")
)

// Kind is the type of a Record.
type Kind uint8

const (
	kindInvalid   Kind = iota
	KindAction         // Act, Page, Before, Message, Post
	KindInput          // Act (the kind of the input), Page, Stamp, Message
	KindConfigure      // Conf
	KindContent        // Moment, Page, Digest
	KindOutput         // Page, Out
	KindStep           // Page, Step
	kindEnd
)

// Record is one line of a log. Which fields mean something depends on Kind, the
// first five always do.
type Record struct {
	Kind    Kind
	Lamport uint64
	At      addr.Place
	Seq     uint64
	T       int64 // Now, when it was recorded
	Line    int   // in its file

	Act     string
	Page    addr.PageNum
	Before  protocol.Phase    // of the manager, when the action began
	From    *addr.Place       // the sender; nil for a local step
	Message *protocol.Message // nil where there was none
	Post    json.RawMessage
	Stamp   uint32
	Conf    json.RawMessage
	Moment  Moment
	Digest  Digest
	Out     *Output
	Step    *Step

	// Of locks and barriers, in place of Page, Message and Stamp.
	Object  uint64
	Barrier bool                // of an action: what the object is
	Party   uint64              // of an action
	Call    *protocol.SyncInput // what a process did; of an action without its kind
	Sync    *protocol.Sync      // the message
}

// File is one log.
type File struct {
	Path   string
	Header Header
}

// Read finds the logs in a directory, in the order of node, incarnation and
// shard, and checks that they are of one run. Logs may be compressed by gzip.
func Read(dir string) ([]*File, error) {
	files, err := readFiles(dir, "node*-i*-s[0-9]*.ndjson")
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%w in %s", ErrNoTrace, dir)
	}
	return files, err
}

// ReadSync finds the logs of locks and barriers in a directory, in the order of
// node and incarnation, and checks that they are of one run. There may be none.
func ReadSync(dir string) ([]*File, error) { return readFiles(dir, "node*-i*-sync.ndjson") }

func readFiles(dir, pattern string) ([]*File, error) {
	var paths []string
	for _, end := range []string{"", compressed} {
		found, err := filepath.Glob(filepath.Join(dir, pattern+end))
		if err != nil {
			return nil, err
		}
		paths = append(paths, found...)
	}
	if len(paths) == 0 {
		return nil, nil
	}
	var files []*File
	for _, path := range paths {
		f, err := readFile(path)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b *File) int {
		return cmp.Or(cmp.Compare(a.Header.Node, b.Header.Node),
			cmp.Compare(a.Header.Incarnation, b.Header.Incarnation),
			cmp.Compare(a.Header.Shard, b.Header.Shard))
	})
	first := files[0].Header
	for i, f := range files[1:] {
		h := f.Header
		if before := files[i]; h.fileName() == before.Header.fileName() {
			return nil, fmt.Errorf("%w: %s is the log of %s again: remove one", ErrMalformed, f.Path, before.Path)
		}
		if h.Spec != first.Spec || h.Nodes != first.Nodes || h.PageSize != first.PageSize ||
			h.Simulated != first.Simulated || h.Seed != first.Seed {
			return nil, fmt.Errorf("%w: %s:1: not of the same run as %s: it says %+v",
				ErrMalformed, f.Path, files[0].Path, h)
		}
	}
	return files, nil
}

// compressed is what the name of a log ends with that gzip has compressed.
const compressed = ".gz"

// openLog opens a log, compressed or not.
func openLog(path string) (io.ReadCloser, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	if !strings.HasSuffix(path, compressed) {
		return file, nil
	}
	z, err := gzip.NewReader(file)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, path, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{z, file}, nil
}

func readFile(path string) (*File, error) {
	file, err := openLog(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	h, err := newLines(path, file).header()
	if err != nil {
		return nil, err
	}
	if name := strings.TrimSuffix(filepath.Base(path), compressed); name != h.fileName() {
		return nil, fmt.Errorf("%w: %s:1: the header is that of %s", ErrMalformed, path, h.fileName())
	}
	return &File{Path: path, Header: h}, nil
}

// Records yields the records in their order. An error is the last thing that
// is yielded.
func (f *File) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		file, err := openLog(f.Path)
		if err != nil {
			yield(Record{}, err)
			return
		}
		defer file.Close()
		l := newLines(f.Path, file)
		h, err := l.header()
		if err != nil {
			yield(Record{}, err)
			return
		}
		l.records(h)(yield)
	}
}

// ReadLog reads one log from a stream; name stands for it in errors.
func ReadLog(name string, r io.Reader) (Header, iter.Seq2[Record, error], error) {
	l := newLines(name, r)
	h, err := l.header()
	if err != nil {
		return Header{}, nil, err
	}
	return h, l.records(h), nil
}

// lines reads a file of lines and knows where it is.
type lines struct {
	name string
	r    *bufio.Reader
	line int
}

func newLines(name string, r io.Reader) *lines {
	return &lines{name: name, r: bufio.NewReaderSize(r, 1<<16)}
}

func (l *lines) errorf(kind error, format string, args ...any) error {
	return fmt.Errorf("%w: %s:%d: %w", kind, l.name, l.line, fmt.Errorf(format, args...))
}

// next is the next line without its end, or io.EOF. The last one must be ended
// as well.
func (l *lines) next() ([]byte, error) {
	line, err := l.r.ReadBytes('\n')
	l.line++
	switch {
	case err == io.EOF && len(line) == 0:
		return nil, io.EOF
	case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF): // the latter where gzip is cut
		return nil, l.errorf(ErrTruncated, "the line ends after %d bytes", len(line))
	case err != nil:
		return nil, fmt.Errorf("trace: %s:%d: %w", l.name, l.line, err)
	}
	return line[:len(line)-1], nil
}

// decode reads one JSON value that fills the line.
func (l *lines) decode(line []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return l.errorf(ErrMalformed, "%w", err)
	}
	if rest := bytes.TrimSpace(line[d.InputOffset():]); len(rest) > 0 {
		return l.errorf(ErrMalformed, "%.80q after the record", rest)
	}
	return nil
}

// first reads the first line into a header, whose version is checked before
// anything else.
func (l *lines) first(format int, into any) error {
	line, err := l.next()
	if err == io.EOF {
		return l.errorf(ErrTruncated, "there is no header")
	}
	if err != nil {
		return err
	}
	var version struct {
		Format *int `json:"format"`
	}
	if err := json.Unmarshal(line, &version); err != nil || version.Format == nil {
		return l.errorf(ErrMalformed, "this is no header: %.80q", line)
	}
	if *version.Format != format {
		return l.errorf(ErrFormat, "format %d, this build reads %d", *version.Format, format)
	}
	return l.decode(line, into)
}

func (l *lines) header() (Header, error) {
	var h Header
	if err := l.first(Format, &h); err != nil {
		return Header{}, err
	}
	return h, nil
}

func (l *lines) records(h Header) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		var last Record
		for {
			line, err := l.next()
			if err == io.EOF {
				err = l.errorf(ErrTruncated, "the log ends after record %d without its last line", last.Seq)
			}
			var rec Record
			if err == nil {
				rec, err = l.record(line, h, &last)
			}
			if err != nil {
				yield(Record{}, err)
				return
			}
			if rec.Kind == kindEnd {
				if _, err := l.next(); err != io.EOF {
					yield(Record{}, l.errorf(ErrMalformed, "there is something after the log's last line"))
				}
				return
			}
			if !yield(rec, nil) {
				return
			}
			last = rec
		}
	}
}

// rawHead is what every line holds.
type rawHead struct {
	Lamport uint64    `json:"lc"`
	At      *rawPlace `json:"n"`
	Shard   *int      `json:"s"`
	Seq     uint64    `json:"seq"`
	End     *uint64   `json:"end"`
	T       int64     `json:"t"`
}

func (r *rawHead) head() *rawHead { return r }

func (r *rawHead) begin() Record {
	return Record{Lamport: r.Lamport, At: addr.Place(*r.At), Seq: r.Seq, T: r.T}
}

// What a line of a shard's log may hold.
type rawRecord struct {
	rawHead
	Act     string          `json:"act"`
	In      string          `json:"in"`
	Conf    json.RawMessage `json:"conf"`
	Content string          `json:"content"`
	Out     string          `json:"out"`
	Page    *addr.PageNum   `json:"p"`
	Phase   string          `json:"phase"`
	From    *rawPlace       `json:"f"`
	Message *rawMessage     `json:"m"`
	Post    json.RawMessage `json:"post"`
	Stamp   uint32          `json:"stamp"`
	Digest  string          `json:"digest"`
	Effects []string        `json:"effects"`
	Refused string          `json:"refused"`
	rawStep
}

type rawPlace struct {
	Node addr.NodeID `json:"node"`
	Tag  addr.Tag    `json:"tag"`
}

type rawMessage struct {
	Kind            string           `json:"kind"`
	Op              string           `json:"op"`
	Have            string           `json:"have"`
	Keep            string           `json:"keep"`
	Source          string           `json:"source"`
	Dst             string           `json:"dst"`
	Data            string           `json:"data"`
	Hit             bool             `json:"hit"`
	Leaf            addr.NodeID      `json:"leaf"`
	Page            addr.PageNum     `json:"page"`
	Generation      uint32           `json:"gen"`
	From            rawPlace         `json:"from"`
	To              rawPlace         `json:"to"`
	FromIncarnation addr.Incarnation `json:"fi"`
	ToIncarnation   addr.Incarnation `json:"ti"`
	Epoch           uint64           `json:"epoch"`
	Term            uint64           `json:"term"`
	Cut             uint64           `json:"cut"`
	Lamport         uint64           `json:"lc"`
	Version         uint64           `json:"ver"`
	Txn             rawTxn           `json:"txn"`
}

type rawTxn struct {
	Leaf        addr.NodeID      `json:"leaf"`
	Incarnation addr.Incarnation `json:"inc"`
	Counter     uint64           `json:"n"`
}

// names maps the names of an enumeration's constants back to them.
type names[T interface {
	~uint8
	fmt.Stringer
}] map[string]T

func namesOf[T interface {
	~uint8
	fmt.Stringer
}]() names[T] {
	all := make(names[T])
	for i := 0; i < 256 && !strings.HasPrefix(T(i).String(), "invalid("); i++ {
		all[T(i).String()] = T(i)
	}
	return all
}

var (
	kinds   = namesOf[protocol.Kind]()
	ops     = namesOf[protocol.Op]()
	rights  = namesOf[protocol.Right]()
	sources = namesOf[protocol.Source]()
	dsts    = namesOf[protocol.Dst]()
	datas   = namesOf[protocol.DataKind]()
	inputs  = namesOf[protocol.InputKind]()
	phases  = namesOf[protocol.Phase]()
	moments = namesOf[Moment]()
)

// of is the constant of a name; where there is no name, the first one.
func (n names[T]) of(name string, err *error) T {
	v, ok := n[name]
	if !ok && name != "" && *err == nil {
		var t T
		*err = fmt.Errorf("there is no %T named %q", t, name)
	}
	return v
}

func (m *rawMessage) message() (*protocol.Message, error) {
	var err error
	msg := &protocol.Message{
		Kind:            kinds.of(m.Kind, &err),
		Op:              ops.of(m.Op, &err),
		Have:            rights.of(m.Have, &err),
		Keep:            rights.of(m.Keep, &err),
		Source:          sources.of(m.Source, &err),
		Dst:             dsts.of(m.Dst, &err),
		Data:            datas.of(m.Data, &err),
		Hit:             m.Hit,
		Leaf:            m.Leaf,
		Page:            m.Page,
		Generation:      m.Generation,
		From:            addr.Place(m.From),
		To:              addr.Place(m.To),
		FromIncarnation: m.FromIncarnation,
		ToIncarnation:   m.ToIncarnation,
		Epoch:           m.Epoch,
		Term:            m.Term,
		Cut:             m.Cut,
		Lamport:         m.Lamport,
		Version:         m.Version,
		Txn:             protocol.Txn(m.Txn),
	}
	if err == nil && msg.Kind == protocol.KindInvalid {
		err = errors.New("a message without a kind")
	}
	return msg, err
}

// identifier is what an action may be called.
var identifier = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)

// record reads one line and checks that it follows the last one.
func (l *lines) record(line []byte, h Header, last *Record) (Record, error) {
	var body interface {
		head() *rawHead
		record() (Record, error)
	} = new(rawRecord)
	if h.Spec == SyncSpec {
		body = new(rawSyncRecord)
	}
	if err := l.decode(line, body); err != nil {
		return Record{}, err
	}
	raw := body.head()
	if raw.End != nil {
		if string(line) != `{"end":`+strconv.FormatUint(*raw.End, 10)+`}` {
			return Record{}, l.errorf(ErrMalformed, "a last line that says more than that")
		}
		if *raw.End != last.Seq {
			return Record{}, l.errorf(ErrGap, "the log ends with record %d, the last one here is %d", *raw.End, last.Seq)
		}
		return Record{Kind: kindEnd}, nil
	}
	switch {
	case raw.At == nil || raw.Shard == nil:
		return Record{}, l.errorf(ErrMalformed, "a record needs n and s")
	case raw.Seq != last.Seq+1:
		return Record{}, l.errorf(ErrGap, "record %d follows record %d", raw.Seq, last.Seq)
	case raw.At.Node != h.Node || *raw.Shard != h.Shard:
		return Record{}, l.errorf(ErrMalformed, "node %d shard %d in the log of node %d shard %d",
			raw.At.Node, *raw.Shard, h.Node, h.Shard)
	case raw.Lamport < last.Lamport:
		return Record{}, l.errorf(ErrMalformed, "the Lamport clock goes from %d back to %d", last.Lamport, raw.Lamport)
	}
	rec, err := body.record()
	if err != nil {
		return Record{}, l.errorf(ErrMalformed, "%w", err)
	}
	rec.Line = l.line
	return rec, nil
}

// parseDigest is the digest of a text of 16 digits; err stays what it is if it
// is set.
func parseDigest(text string, err *error) Digest {
	v, parseErr := strconv.ParseUint(text, 16, 64)
	d := Digest(v)
	if *err == nil && (parseErr != nil || d.String() != text) {
		*err = fmt.Errorf("%q is no digest", text)
	}
	return d
}

func (r *rawRecord) record() (Record, error) {
	rec := r.begin()
	rec.Post, rec.Stamp, rec.Conf = r.Post, r.Stamp, r.Conf
	var err error
	kinds := 0
	is := func(kind Kind, there bool) {
		if there {
			rec.Kind = kind
			kinds++
		}
	}
	is(KindAction, r.Act != "")
	is(KindInput, r.In != "")
	is(KindConfigure, r.Conf != nil)
	is(KindContent, r.Content != "")
	is(KindOutput, r.Out != "")
	is(KindStep, r.rawStep.Step != "")
	if kinds != 1 {
		return rec, errors.New("a record needs one of act, in, out, conf, content and step")
	}
	// allowed are the fields that the kind may have beside its own.
	var page, phase, message, from, post, stamp, digest, effects bool
	switch rec.Kind {
	case KindAction:
		page, phase, message, from, post = true, true, true, true, true
		rec.Act = r.Act
		rec.Before = phases.of(r.Phase, &err)
		if !identifier.MatchString(r.Act) {
			err = fmt.Errorf("%q cannot be an action", r.Act)
		}
	case KindInput:
		page, message, stamp = true, true, true
		rec.Act = r.In
		if in := inputs.of(r.In, &err); (in == protocol.InMessage) != (r.Message != nil) {
			err = fmt.Errorf("input %q with the message %v", r.In, r.Message)
		}
	case KindContent:
		page, digest = true, true
		rec.Moment = moments.of(r.Content, &err)
		if rec.Moment == momentInvalid && err == nil {
			err = fmt.Errorf("%q is no moment", r.Content)
		}
		rec.Digest = parseDigest(r.Digest, &err)
	case KindOutput:
		page, effects = true, true
		rec.Out = &Output{Digest: parseDigest(r.Out, &err), Effects: r.Effects, Refused: r.Refused}
	}
	if rec.Kind == KindStep {
		page = true
		rec.Step = r.step(&err)
		digest = rec.Step.Step.carriesContent()
	}
	switch {
	case err != nil:
		return rec, err
	case page != (r.Page != nil):
		return rec, errors.New("p belongs to act, in, out, content and step")
	case post != (r.Post != nil):
		return rec, errors.New("post belongs to act")
	case !phase && r.Phase != "", !message && r.Message != nil, !from && r.From != nil, !stamp && r.Stamp != 0,
		!digest && r.Digest != "", !effects && (r.Effects != nil || r.Refused != ""),
		rec.Kind != KindStep && r.rawStep != (rawStep{}):
		return rec, errors.New("a field that belongs to another kind of record")
	}
	if r.Page != nil {
		rec.Page = *r.Page
	}
	if rec.Step != nil {
		rec.Step.Page = rec.Page
	}
	if r.Message != nil {
		if rec.Message, err = r.Message.message(); err != nil {
			return rec, err
		}
	}
	if r.From != nil {
		from := addr.Place(*r.From)
		rec.From = &from
		if rec.Message == nil || rec.Message.From != from {
			return rec, fmt.Errorf("f is %v, the message is %+v", from, rec.Message)
		}
	}
	return rec, nil
}
