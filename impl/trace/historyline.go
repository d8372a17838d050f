package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// historyLine is what a line after the header may hold: an operation, the end of
// a client, or that of the history.
type historyLine struct {
	Operation
	Operations *uint64 // of a client
	Begin      *int64
	Until      *int64 // end_ns
	End        *uint64
	Clients    *uint64
	Offset     *int64
	Bound      *int64
}

// historyLines reads lines of histories. It reads JSON objects of numbers and
// strings without nesting, several times faster than encoding/json: histories
// have millions of lines.
type historyLines struct {
	// names are the operations and objects that there were, checked and shared.
	ops, objects map[string]string
	rest         []byte // of the line
}

func newHistoryLines() *historyLines {
	return &historyLines{ops: make(map[string]string), objects: make(map[string]string)}
}

func (l *historyLines) read(line []byte) (h historyLine, err error) {
	l.rest = line
	if !l.take('{') {
		return h, l.unexpected("{")
	}
	seen := 0
	for first := true; ; first = false {
		if l.take('}') {
			break
		}
		if !first && !l.take(',') {
			return h, l.unexpected(", or }")
		}
		key, err := l.text()
		if err != nil {
			return h, err
		}
		if !l.take(':') {
			return h, l.unexpected(":")
		}
		bit := 0
		switch string(key) {
		case "client":
			var v int64
			v, err = l.signed()
			h.Client, bit = int(v), 1
		case "op":
			h.Op, err = l.name(l.ops, validOp)
			bit = 2
		case "object":
			h.Object, err = l.name(l.objects, validObject)
			bit = 4
		case "word":
			h.Word, err = l.unsigned()
			bit = 8
		case "value":
			h.Value, err = l.unsigned()
			bit = 16
		case "old":
			h.Old, err = l.unsigned()
			bit = 32
		case "result":
			h.Result, err = l.unsigned()
			bit = 64
		case "call_ns":
			h.Call, err = l.signed()
			bit = 128
		case "return_ns":
			h.Return, err = l.signed()
			bit = 256
		case "end":
			h.End, err = pointer(l.unsigned())
			bit = 512
		case "clock_offset_ns":
			h.Offset, err = pointer(l.signed())
			bit = 1024
		case "clock_bound_ns":
			h.Bound, err = pointer(l.signed())
			bit = 2048
		case "seq":
			h.Seq, err = l.unsigned()
			bit = 4096
		case "operations":
			h.Operations, err = pointer(l.unsigned())
			bit = 8192
		case "begin_ns":
			h.Begin, err = pointer(l.signed())
			bit = 16384
		case "end_ns":
			h.Until, err = pointer(l.signed())
			bit = 32768
		case "clients":
			h.Clients, err = pointer(l.unsigned())
			bit = 65536
		default:
			return h, fmt.Errorf("unknown field %q", key)
		}
		if err != nil {
			return h, err
		}
		if seen&bit != 0 {
			return h, fmt.Errorf("the field %q comes twice", key)
		}
		seen |= bit
	}
	if l.space(); len(l.rest) > 0 {
		return h, fmt.Errorf("%.80q after the record", l.rest)
	}
	return h, nil
}

func (l *historyLines) space() { l.rest = bytes.TrimLeft(l.rest, " \t\r") }

func (l *historyLines) take(c byte) bool {
	if len(l.rest) == 0 || l.rest[0] != c {
		if l.space(); len(l.rest) == 0 || l.rest[0] != c {
			return false
		}
	}
	l.rest = l.rest[1:]
	return true
}

func (l *historyLines) unexpected(want string) error {
	return fmt.Errorf("%.20q where %s is expected", l.rest, want)
}

// text is a string, without its quotes and escapes.
func (l *historyLines) text() ([]byte, error) {
	if !l.take('"') {
		return nil, l.unexpected(`"`)
	}
	plain := true
	for i := 0; i < len(l.rest); i++ {
		switch c := l.rest[i]; {
		case c == '\\':
			plain = false
			i++
		case c == '"':
			text := l.rest[:i]
			l.rest = l.rest[i+1:]
			if !utf8.Valid(text) {
				return nil, fmt.Errorf("%.80q is not UTF-8", text)
			}
			if plain {
				return text, nil
			}
			var s string
			if err := json.Unmarshal([]byte(`"`+string(text)+`"`), &s); err != nil {
				return nil, err
			}
			return []byte(s), nil
		case c < ' ':
			return nil, fmt.Errorf("a control character in a string")
		}
	}
	return nil, errors.New("a string without its end")
}

// name is a string that is checked when it comes for the first time.
func (l *historyLines) name(known map[string]string, valid func(string) error) (string, error) {
	text, err := l.text()
	if err != nil {
		return "", err
	}
	if s, ok := known[string(text)]; ok {
		return s, nil
	}
	s := string(text)
	if err := valid(s); err != nil {
		return "", err
	}
	known[s] = s
	return s, nil
}

func validOp(s string) error {
	if !identifier.MatchString(s) {
		return fmt.Errorf("%q cannot be an operation", s)
	}
	return nil
}

func validObject(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%q cannot be an object", s)
	}
	return nil
}

// digits is a number as JSON writes whole ones.
func (l *historyLines) digits() (string, error) {
	l.space()
	n := 0
	if n < len(l.rest) && l.rest[n] == '-' {
		n++
	}
	from := n
	for n < len(l.rest) && '0' <= l.rest[n] && l.rest[n] <= '9' {
		n++
	}
	if n == from || n > from+1 && l.rest[from] == '0' {
		return "", l.unexpected("a whole number")
	}
	text := l.rest[:n]
	l.rest = l.rest[n:]
	return string(text), nil
}

func pointer[T any](v T, err error) (*T, error) { return &v, err }

func (l *historyLines) signed() (int64, error) {
	text, err := l.digits()
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

func (l *historyLines) unsigned() (uint64, error) {
	text, err := l.digits()
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(text, 10, 64)
}
