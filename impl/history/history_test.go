package history

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/mome-dsm/mome/impl/clock"
	"github.com/mome-dsm/mome/impl/ndjson"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOff(t *testing.T) {
	var h *Recorder
	c := h.Client()
	o := Operation{Op: OpRead}
	allocs := testing.AllocsPerRun(100, func() {
		c.Begin(o)
		c.End(true, nil)
	})
	if allocs != 0 {
		t.Errorf("%v allocations while off", allocs)
	}
	if err := errors.Join(h.Flush(), h.Close(), h.CloseAt(clock.Reading{}), h.Abandon()); err != nil {
		t.Error(err)
	}
}

// TestHistory records what two clients do, one of which gets no answer and goes
// on as another one.
func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.ndjson")
	began := clock.Now()
	h, err := New(path, Header{Model: "strong", Seed: 3, Build: "test"})
	if err != nil {
		t.Fatal(err)
	}
	first, second := h.Client(), h.Client()
	first.Begin(Operation{Op: OpWrite, Word: 8, Value: 1<<64 - 1, Client: 77, Seq: 77, Call: 77, Return: 77})
	second.Begin(Operation{Op: OpArrive, Object: "b", Old: 1})
	first.End(true, func(*Operation) {})
	first.Begin(Operation{Op: OpCAS, Word: 8, Value: 5, Old: 4})
	second.EndBoth(true, func(*Operation) {}, func(o *Operation) { o.Op, o.Result = OpAwait, 1 })
	first.End(false, func(o *Operation) { o.Result = 1 })
	first.Begin(Operation{Op: OpRead, Word: 9})
	first.End(true, func(o *Operation) { o.Value = 3 })
	second.Begin(Operation{Op: OpLeave, Object: "b"})
	if err := errors.Join(h.Flush(), h.Close(), h.Close()); err != nil {
		t.Fatal(err)
	}
	second.End(true, func(*Operation) {}) // too late
	late := h.Client()
	late.Begin(Operation{Op: OpRead})
	late.End(true, func(*Operation) {})
	ended := clock.Now()

	header, got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []Operation{
		{Client: 0, Seq: 1, Op: OpWrite, Word: 8, Value: 1<<64 - 1},
		{Client: 1, Seq: 1, Op: OpArrive, Object: "b", Old: 1},
		{Client: 1, Seq: 2, Op: OpAwait, Object: "b", Old: 1, Result: 1},
		{Client: 0, Seq: 2, Op: OpCAS, Word: 8, Value: 5, Old: 4},
		{Client: 2, Seq: 1, Op: OpRead, Word: 9, Value: 3},
		{Client: 1, Seq: 3, Op: OpLeave, Object: "b"},
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(Operation{}, "Call", "Return")); d != "" {
		t.Error(d)
	}
	for i, o := range got {
		if open := o.Op == OpCAS || o.Op == OpLeave; o.Call < began || o.Call > ended || (o.Return == 0) != open || o.Return > ended {
			t.Errorf("operation %d: %+v; the history is from %d to %d", i, o, began, ended)
		}
	}
	if header.Begin < began || header.Begin > got[0].Call {
		t.Errorf("the history begins at %d, and it began between %d and %d", header.Begin, began, got[0].Call)
	}
	header.Begin = 0
	if d := cmp.Diff(Header{Format: Format, Model: "strong", Seed: 3, Build: "test"}, header); d != "" {
		t.Error(d)
	}
	if _, err := New(path, Header{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("over an old history: %v", err)
	}
}

func TestReadErrors(t *testing.T) {
	const header, op = `{"format":3,"begin_ns":2}`, `{"client":0,"seq":1,"op":"read","word":1,"value":1,"call_ns":5,"return_ns":6}`
	const next, other = `{"client":0,"seq":2,"op":"read","word":1,"value":1,"call_ns":6,"return_ns":8}`, `{"client":1,"seq":1,"op":"read","word":1,"value":1,"call_ns":5,"return_ns":6}`
	const one, two, end = `{"client":0,"operations":1,"begin_ns":3,"end_ns":10}`, `{"client":0,"operations":2,"begin_ns":3,"end_ns":10}`, `{"end":1,"clients":1,"end_ns":12}`
	const arrive, await = `{"client":0,"seq":1,"op":"arrive","object":"b","word":0,"value":1,"old":1,"call_ns":5,"return_ns":6}`,
		`{"client":0,"seq":2,"op":"await","object":"b","word":0,"value":1,"old":1,"call_ns":5,"return_ns":6}`
	with := func(line, was, is string) string {
		if !strings.Contains(line, was) {
			t.Fatalf("no %s in %s", was, line)
		}
		return strings.Replace(line, was, is, 1)
	}
	of := func(operations string) string { return with(end, `"end":1`, `"end":`+operations) }
	for _, c := range []struct {
		name  string
		lines []string
		want  error
		line  int
		says  string
		ops   int
	}{
		{"empty", nil, ndjson.ErrTruncated, 1, "", 0},
		{"other_format", []string{`{"format":9}`}, ndjson.ErrFormat, 1, "", 0},
		{"odd_beginning", []string{with(header, ":2", ":-2"), end}, ndjson.ErrMalformed, 1, "", 0},
		{"no_end", []string{header, op, one}, ndjson.ErrTruncated, 4, "", 1},
		{"gap", []string{header, op, one, of("2")}, ndjson.ErrGap, 4, "2 operations, 1 are here", 0},
		{"after_end", []string{header, op, one, end, op}, ndjson.ErrMalformed, 5, "", 0},
		{"odd_end", []string{header, op, one, with(end, "1,", `1,"word":1,`)}, ndjson.ErrMalformed, 4, "", 0},
		{"end_without_clients", []string{header, op, one, `{"end":1,"end_ns":12}`}, ndjson.ErrMalformed, 4, "", 0},
		{"odd_op", []string{header, with(op, "read", "")}, ndjson.ErrMalformed, 2, "", 0},
		{"op_with_an_end", []string{header, with(op, `"word"`, `"end_ns":4,"word"`)}, ndjson.ErrMalformed, 2, "", 0},
		{"returns_early", []string{header, with(op, ":6", ":4")}, ndjson.ErrMalformed, 2, "", 0},
		{"unknown_field", []string{header, `{"x":1}`}, ndjson.ErrMalformed, 2, "", 0},

		{"before_the_history", []string{header, with(op, ":5", ":1"), one, end}, ndjson.ErrMalformed, 2, "called at 1, and the history begins at 2", 0},
		{"before_the_client", []string{header, with(op, ":5", ":2"), one, end}, ndjson.ErrMalformed, 3, "first operation is called at 2", 0},
		{"after_the_client", []string{header, with(op, ":6", ":11"), one, end}, ndjson.ErrMalformed, 3, "in line 2 lasts until 11", 0},
		{"open_after_the_client", []string{header, with(with(op, ":5", ":11"), ":6", ":0"), one, end}, ndjson.ErrMalformed, 3, "lasts until 11", 0},
		{"a_client_before_the_history", []string{header, op, with(one, ":3", ":1"), end}, ndjson.ErrMalformed, 3, "the history begins at 2", 0},
		{"a_client_after_the_history", []string{header, op, with(one, ":10", ":13"), end}, ndjson.ErrMalformed, 4, "client 0 is there until 13", 0},
		{"two_at_once", []string{header, op, with(next, ":6", ":5"), two, of("2")}, ndjson.ErrMalformed, 3, "in line 2 returns at 6", 0},
		{"out_of_order", []string{header, with(op, `"seq":1`, `"seq":2`), with(next, `"seq":2`, `"seq":1`), two, of("2")}, ndjson.ErrGap, 2, "operation 2 of client 0 follows its operation 0", 0},
		{"twice", []string{header, op, op, two, of("2")}, ndjson.ErrGap, 3, "operation 1 of client 0 follows its operation 1", 0},
		{"one_is_missing", []string{header, op, with(next, `"seq":2`, `"seq":3`), two, of("2")}, ndjson.ErrGap, 3, "operation 3 of client 0", 0},
		{"the_last_is_missing", []string{header, op, two, end}, ndjson.ErrGap, 3, "has begun 2 operations, 1 are here", 0},
		{"all_are_missing", []string{header, one, of("0")}, ndjson.ErrGap, 2, "has begun 1 operations, 0 are here", 0},
		{"a_client_is_missing", []string{header, op, one, with(end, `"clients":1`, `"clients":2`)}, ndjson.ErrGap, 4, "2 clients, 1 are here", 0},
		{"another_client", []string{header, op, with(one, `"client":0`, `"client":1`), end}, ndjson.ErrGap, 3, "", 0},
		{"no_end_of_a_client", []string{header, op, other, one, of("2")}, ndjson.ErrGap, 5, "2 are here, and the ends of 1", 0},
		{"a_number_is_missing", []string{header, with(op, `"client":0`, `"client":1`), with(one, `"client":0`, `"client":1`), end}, ndjson.ErrGap, 4, "client 0 is missing", 0},
		{"behind_no_answer", []string{header, with(op, ":6", ":0"), next, two, of("2")}, ndjson.ErrMalformed, 3, "without an answer in line 2", 0},
		{"behind_an_end", []string{header, op, one, with(next, `"client":0`, `"client":1`), of("2")}, ndjson.ErrMalformed, 4, "behind the end of a client", 0},
		{"two_ends", []string{header, op, one, one, end}, ndjson.ErrMalformed, 4, "", 0},
		{"another_await", []string{header, arrive, with(await, `"old":1`, `"old":2`), two, of("2")}, ndjson.ErrMalformed, 3, "is not that of an arrive", 0},
		{"a_later_await", []string{header, arrive, with(await, ":6", ":7"), two, of("2")}, ndjson.ErrMalformed, 3, "is not that of an arrive", 0},
		{"an_await_alone", []string{header, with(await, `"seq":2`, `"seq":1`), one, end}, ndjson.ErrMalformed, 2, "is not that of an arrive", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Join(append(c.lines, ""), "\n")
			_, ops, err := ReadFrom("file", strings.NewReader(text))
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), fmt.Sprintf("file:%d:", c.line)) || !strings.Contains(err.Error(), c.says) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %v at line %d: %s", err, c.want, c.line, c.says)
			}
			if len(ops) != c.ops {
				t.Errorf("%d operations, want %d", len(ops), c.ops)
			}
		})
	}
	for _, lines := range [][]string{{header, op, one, end}, {header, op, next, two, of("2")}, {header, arrive, await, two, of("2")}} {
		if _, _, err := ReadFrom("file", strings.NewReader(strings.Join(append(lines, ""), "\n"))); err != nil {
			t.Errorf("%v of\n%s", err, strings.Join(lines, "\n"))
		}
	}
}

func TestEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	h, err := New(path, Header{})
	if err != nil {
		t.Fatal(err)
	}
	c := h.Client()
	for range 100 {
		c.Begin(Operation{Op: OpRead})
		c.End(true, func(*Operation) {})
	}
	if err := h.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := Ended(path); !errors.Is(err, ndjson.ErrTruncated) || !strings.Contains(err.Error(), path) {
		t.Errorf("before its end: %v", err)
	}
	if err := h.CloseAt(clock.Reading{Offset: math.MinInt64, Bound: math.MaxInt64}); err != nil {
		t.Fatal(err)
	}
	if err := Ended(path); err != nil {
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
		if err := Ended(path); !errors.Is(err, ndjson.ErrTruncated) {
			t.Errorf("cut after %d bytes of %d: %v", cut, len(text), err)
		}
	}
	if err := Ended(path + "-not"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: %v", err)
	}
}
