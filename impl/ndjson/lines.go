package ndjson

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Errors of reading. Each is wrapped with the file and the line.
var (
	// ErrFormat: the log is of another version.
	ErrFormat = errors.New("mome: log of another format")
	// ErrMalformed: the line is not what its writer writes.
	ErrMalformed = errors.New("mome: malformed log")
	// ErrGap: records are missing in the middle.
	ErrGap = errors.New("mome: gap in the log")
	// ErrTruncated: the end is missing. What was read before is a prefix of
	// what happened: the process died, or the disk was full.
	ErrTruncated = errors.New("mome: truncated log")
)

// Lines reads a log line by line and knows where it is.
type Lines struct {
	name string
	r    *bufio.Reader
	line int
}

// NewLines reads a log from a stream; name stands for it in errors.
func NewLines(name string, r io.Reader) *Lines {
	return &Lines{name: name, r: bufio.NewReaderSize(r, 1<<16)}
}

// Line is the number of the line that Next has returned, from 1.
func (l *Lines) Line() int { return l.line }

// Errorf is an error of a kind, at this line.
func (l *Lines) Errorf(kind error, format string, args ...any) error {
	return fmt.Errorf("%w: %s:%d: %w", kind, l.name, l.line, fmt.Errorf(format, args...))
}

// Next is the next line without its end, or io.EOF. The last one must be ended
// as well.
func (l *Lines) Next() ([]byte, error) {
	line, err := l.r.ReadBytes('\n')
	l.line++
	switch {
	case err == io.EOF && len(line) == 0:
		return nil, io.EOF
	case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF): // the latter where gzip is cut
		return nil, l.Errorf(ErrTruncated, "the line ends after %d bytes", len(line))
	case err != nil:
		return nil, fmt.Errorf("mome: %s:%d: %w", l.name, l.line, err)
	}
	return line[:len(line)-1], nil
}

// Decode reads one JSON value that fills the line.
func (l *Lines) Decode(line []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return l.Errorf(ErrMalformed, "%w", err)
	}
	if rest := bytes.TrimSpace(line[d.InputOffset():]); len(rest) > 0 {
		return l.Errorf(ErrMalformed, "%.80q after the record", rest)
	}
	return nil
}

// Header reads the first line, whose version is checked before anything else.
func (l *Lines) Header(format int, into any) error {
	line, err := l.Next()
	if err == io.EOF {
		return l.Errorf(ErrTruncated, "there is no header")
	}
	if err != nil {
		return err
	}
	var version struct {
		Format *int `json:"format"`
	}
	if err := json.Unmarshal(line, &version); err != nil || version.Format == nil {
		return l.Errorf(ErrMalformed, "this is no header: %.80q", line)
	}
	if *version.Format != format {
		return l.Errorf(ErrFormat, "format %d, this build reads %d", *version.Format, format)
	}
	return l.Decode(line, into)
}
