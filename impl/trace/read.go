package trace

import (
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/ndjson"
	"github.com/mome-dsm/mome/impl/protocol"
)

// Errors of reading, beside those of package ndjson.
var (
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
	KindInput          // Act (the kind of the input), Page, Stamp, Cut, Message
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
	Cut     uint64 // of the node; of locks and barriers too
	Conf    json.RawMessage
	Moment  Moment
	Digest  Digest
	Out     *Output
	Step    *Step

	// Of locks and barriers, in place of Page, Message and Stamp.
	Object uint64
	Of     *protocol.Protocol  // of an action: what the object is
	Party  uint64              // of an action
	Call   *protocol.SyncInput // what a process did; of an action without its kind
	Sync   *protocol.Sync      // the message
}

// File is one log.
type File struct {
	Path   string
	Header Header
	// said is what the manifest says of it; nil where there is none.
	said *ManifestLog
	// failed says that the node has stopped in the middle of its work.
	failed bool
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
			return nil, fmt.Errorf("%w: %s is the log of %s again: remove one", ndjson.ErrMalformed, f.Path, before.Path)
		}
		if h.Spec != first.Spec || h.Nodes != first.Nodes || h.PageSize != first.PageSize ||
			h.Simulated != first.Simulated || h.Seed != first.Seed {
			return nil, fmt.Errorf("%w: %s:1: not of the same run as %s: it says %+v",
				ndjson.ErrMalformed, f.Path, files[0].Path, h)
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
		return nil, fmt.Errorf("%w: %s: %w", ndjson.ErrMalformed, path, err)
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
	h, err := header(ndjson.NewLines(path, file))
	if err != nil {
		return nil, err
	}
	if name := strings.TrimSuffix(filepath.Base(path), compressed); name != h.fileName() {
		return nil, fmt.Errorf("%w: %s:1: the header is that of %s", ndjson.ErrMalformed, path, h.fileName())
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
		l := ndjson.NewLines(f.Path, file)
		h, err := header(l)
		if err != nil {
			yield(Record{}, err)
			return
		}
		var here tally
		for rec, err := range records(l, h) {
			if err == nil {
				here.add(&rec)
			}
			if !yield(rec, err) || err != nil {
				return
			}
		}
		if text := f.differs(&here); text != "" {
			yield(Record{}, l.Errorf(ndjson.ErrGap, "%s", text))
		}
	}
}

// ReadLog reads one log from a stream; name stands for it in errors.
func ReadLog(name string, r io.Reader) (Header, iter.Seq2[Record, error], error) {
	l := ndjson.NewLines(name, r)
	h, err := header(l)
	if err != nil {
		return Header{}, nil, err
	}
	return h, records(l, h), nil
}

func header(l *ndjson.Lines) (Header, error) {
	var h Header
	if err := l.Header(Format, &h); err != nil {
		return Header{}, err
	}
	return h, nil
}

func records(l *ndjson.Lines, h Header) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		var last Record
		for {
			line, err := l.Next()
			if err == io.EOF {
				err = l.Errorf(ndjson.ErrTruncated, "the log ends after record %d without its last line", last.Seq)
			}
			var rec Record
			if err == nil {
				rec, err = record(l, line, h, &last)
			}
			if err != nil {
				yield(Record{}, err)
				return
			}
			if rec.Kind == kindEnd {
				if _, err := l.Next(); err != io.EOF {
					yield(Record{}, l.Errorf(ndjson.ErrMalformed, "there is something after the log's last line"))
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
