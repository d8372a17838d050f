package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// line is what a line after the header may hold: an operation, the end of
// a client, or that of the history.
type line struct {
	Operation
	Operations *uint64 // of a client
	Begin      *int64
	Until      *int64 // end_ns
	End        *uint64
	Clients    *uint64
	Offset     *int64
	Bound      *int64
}

// parser reads lines of histories. It reads JSON objects of numbers and
// strings without nesting, several times faster than encoding/json: histories
// have millions of lines.
type parser struct {
	// names are the operations and objects that there were, checked and shared.
	ops, objects map[string]string
	rest         []byte // of the line
}

func newParser() *parser {
	return &parser{ops: make(map[string]string), objects: make(map[string]string)}
}

func (p *parser) line(text []byte) (n line, err error) {
	p.rest = text
	if !p.take('{') {
		return n, p.unexpected("{")
	}
	seen := 0
	for first := true; ; first = false {
		if p.take('}') {
			break
		}
		if !first && !p.take(',') {
			return n, p.unexpected(", or }")
		}
		key, err := p.text()
		if err != nil {
			return n, err
		}
		if !p.take(':') {
			return n, p.unexpected(":")
		}
		bit := 0
		switch string(key) {
		case "client":
			var v int64
			v, err = p.signed()
			n.Client, bit = int(v), 1
		case "op":
			n.Op, err = p.name(p.ops, validOp)
			bit = 2
		case "object":
			n.Object, err = p.name(p.objects, validObject)
			bit = 4
		case "word":
			n.Word, err = p.unsigned()
			bit = 8
		case "value":
			n.Value, err = p.unsigned()
			bit = 16
		case "old":
			n.Old, err = p.unsigned()
			bit = 32
		case "result":
			n.Result, err = p.unsigned()
			bit = 64
		case "call_ns":
			n.Call, err = p.signed()
			bit = 128
		case "return_ns":
			n.Return, err = p.signed()
			bit = 256
		case "end":
			n.End, err = pointer(p.unsigned())
			bit = 512
		case "clock_offset_ns":
			n.Offset, err = pointer(p.signed())
			bit = 1024
		case "clock_bound_ns":
			n.Bound, err = pointer(p.signed())
			bit = 2048
		case "seq":
			n.Seq, err = p.unsigned()
			bit = 4096
		case "operations":
			n.Operations, err = pointer(p.unsigned())
			bit = 8192
		case "begin_ns":
			n.Begin, err = pointer(p.signed())
			bit = 16384
		case "end_ns":
			n.Until, err = pointer(p.signed())
			bit = 32768
		case "clients":
			n.Clients, err = pointer(p.unsigned())
			bit = 65536
		default:
			return n, fmt.Errorf("unknown field %q", key)
		}
		if err != nil {
			return n, err
		}
		if seen&bit != 0 {
			return n, fmt.Errorf("the field %q comes twice", key)
		}
		seen |= bit
	}
	if p.space(); len(p.rest) > 0 {
		return n, fmt.Errorf("%.80q after the record", p.rest)
	}
	return n, nil
}

func (p *parser) space() { p.rest = bytes.TrimLeft(p.rest, " \t\r") }

func (p *parser) take(c byte) bool {
	if len(p.rest) == 0 || p.rest[0] != c {
		if p.space(); len(p.rest) == 0 || p.rest[0] != c {
			return false
		}
	}
	p.rest = p.rest[1:]
	return true
}

func (p *parser) unexpected(want string) error {
	return fmt.Errorf("%.20q where %s is expected", p.rest, want)
}

// text is a string, without its quotes and escapes.
func (p *parser) text() ([]byte, error) {
	if !p.take('"') {
		return nil, p.unexpected(`"`)
	}
	plain := true
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '\\':
			plain = false
			i++
		case c == '"':
			text := p.rest[:i]
			p.rest = p.rest[i+1:]
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
func (p *parser) name(known map[string]string, valid func(string) error) (string, error) {
	text, err := p.text()
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

// identifier is what an operation may be called.
var identifier = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)

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
func (p *parser) digits() (string, error) {
	p.space()
	n := 0
	if n < len(p.rest) && p.rest[n] == '-' {
		n++
	}
	from := n
	for n < len(p.rest) && '0' <= p.rest[n] && p.rest[n] <= '9' {
		n++
	}
	if n == from || n > from+1 && p.rest[from] == '0' {
		return "", p.unexpected("a whole number")
	}
	text := p.rest[:n]
	p.rest = p.rest[n:]
	return string(text), nil
}

func pointer[T any](v T, err error) (*T, error) { return &v, err }

func (p *parser) signed() (int64, error) {
	text, err := p.digits()
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

func (p *parser) unsigned() (uint64, error) {
	text, err := p.digits()
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(text, 10, 64)
}
