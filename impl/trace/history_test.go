package trace

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.ndjson")
	h, err := NewHistory(path, HistoryHeader{Model: "strong", Seed: 3, Build: "test"})
	if err != nil {
		t.Fatal(err)
	}
	want := []Operation{
		{Client: 1, Op: "write", Word: 8, Value: 1<<64 - 1, Call: 10, Return: 20},
		{Client: 2, Op: "cas", Word: 8, Value: 5, Old: 4, Result: 1, Call: 12, Return: 12},
		{Client: 2, Op: "read", Word: 9, Call: 30},
	}
	for i := range want {
		h.Record(&want[i])
	}
	if err := errors.Join(h.Flush(), h.Close(), h.Close()); err != nil {
		t.Fatal(err)
	}
	header, got, err := ReadHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(HistoryHeader{Format: HistoryFormat, Model: "strong", Seed: 3, Build: "test"}, header); d != "" {
		t.Error(d)
	}
	if _, err := NewHistory(path, HistoryHeader{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("over an old history: %v", err)
	}
}

func TestReadHistoryErrors(t *testing.T) {
	const header, op = `{"format":2}`, `{"client":1,"op":"read","word":1,"value":1,"call_ns":5,"return_ns":6}`
	for _, c := range []struct {
		name  string
		lines []string
		want  error
		line  int
		ops   int
	}{
		{"empty", nil, ErrTruncated, 1, 0},
		{"other_format", []string{`{"format":9}`}, ErrFormat, 1, 0},
		{"no_end", []string{header, op}, ErrTruncated, 3, 1},
		{"gap", []string{header, op, `{"end":2}`}, ErrGap, 3, 0},
		{"after_end", []string{header, op, `{"end":1}`, op}, ErrMalformed, 4, 0},
		{"odd_end", []string{header, op, `{"end":1,"word":1}`}, ErrMalformed, 3, 0},
		{"odd_op", []string{header, strings.Replace(op, "read", "", 1)}, ErrMalformed, 2, 0},
		{"returns_early", []string{header, strings.Replace(op, ":6", ":4", 1)}, ErrMalformed, 2, 0},
		{"unknown_field", []string{header, `{"x":1}`}, ErrMalformed, 2, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Join(append(c.lines, ""), "\n")
			_, ops, err := ReadHistoryFrom("file", strings.NewReader(text))
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), fmt.Sprintf("file:%d:", c.line)) {
				t.Errorf("%v, want %v at line %d", err, c.want, c.line)
			}
			if len(ops) != c.ops {
				t.Errorf("%d operations, want %d", len(ops), c.ops)
			}
		})
	}
}

func TestHistoryEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	h, err := NewHistory(path, HistoryHeader{})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		h.Record(&Operation{Op: OpRead, Call: 1, Return: 2})
	}
	if err := h.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := HistoryEnded(path); !errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), path) {
		t.Errorf("before its end: %v", err)
	}
	if err := h.CloseAt(Clock{Offset: math.MinInt64, Bound: math.MaxInt64}); err != nil {
		t.Fatal(err)
	}
	if err := HistoryEnded(path); err != nil {
		t.Errorf("with the longest last line: %v", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{0, 1, len(text) / 2, len(text) - 1} {
		if err := os.WriteFile(path, text[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := HistoryEnded(path); !errors.Is(err, ErrTruncated) {
			t.Errorf("cut after %d bytes of %d: %v", cut, len(text), err)
		}
	}
	if err := HistoryEnded(path + "-not"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: %v", err)
	}
}
