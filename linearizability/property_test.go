package linearizability

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mome-dsm/mome/impl/clock"
	"github.com/mome-dsm/mome/impl/history"
)

// agreement is a property: whatever the operations, their answers and their
// times, zones and chains agree with Porcupine where they decide.
func agreement(t *rapid.T) {
	kind := kinds[rapid.IntRange(0, len(kinds)-1).Draw(t, "kind")]
	value := rapid.Uint64Range(0, 3)
	next := uint64(0)
	all := make([]Operation, rapid.IntRange(0, 10).Draw(t, "operations"))
	for i := range all {
		o := &all[i]
		o.Line, o.Client, o.Object = i+2, i, "it"
		o.Op = rapid.SampledFrom(kind.ops).Draw(t, "op")
		o.Call = rapid.Int64Range(1, 12).Draw(t, "call")
		if o.Return = Never; rapid.IntRange(0, 9).Draw(t, "answer") > 0 {
			o.Return = o.Call + rapid.Int64Range(0, 6).Draw(t, "took")
		}
		o.Value = value.Draw(t, "value")
		switch o.Op {
		case history.OpWrite:
			if next++; kind.unique {
				o.Value = next
			}
		case history.OpAdd:
			o.Result = rapid.Uint64Range(o.Value, 6).Draw(t, "sum")
		case history.OpCAS:
			if next++; kind.unique {
				o.Value = next
			}
			o.Old, o.Result = value.Draw(t, "old"), rapid.Uint64Range(0, 1).Draw(t, "swapped")
		case history.OpAcquire, history.OpRelease:
			o.Old = rapid.Uint64Range(0, 1).Draw(t, "died")
			o.Result = rapid.Uint64Range(0, 1).Draw(t, "held")
		}
		if o.open() {
			o.Result = 0
		}
	}
	agree(t, Key{Kind: kind.about, Object: "it"}, all, "the fail file")
}

func TestProperty(t *testing.T) { rapid.Check(t, agreement) }

func FuzzAgreement(f *testing.F) { f.Fuzz(rapid.MakeFuzz(agreement)) }

// TestRead: histories that are not all of one run are not judged.
func TestRead(t *testing.T) {
	reading := clock.Reading{Name: "a", Reference: "a"}
	header := func(process string, rank int) history.Header {
		return history.Header{Model: "strong", Run: "run", Process: process, Program: "sor", Rank: rank, Ranks: 2, Reading: reading}
	}
	first := header("one", 0)
	for _, c := range []struct {
		name   string
		change func(h *history.Header)
		want   string // of the error; empty: none
	}{
		{"both", func(h *history.Header) {}, ""},
		{"another run", func(h *history.Header) { h.Run = "other" }, `is of run "other"`},
		{"another model", func(h *history.Header) { h.Model = "weak" }, `promises "weak"`},
		{"one process twice", func(h *history.Header) { h.Process = "one" }, "are of the same process"},
		{"clocks that were not compared", func(h *history.Header) { h.Reference = "b" }, "they were not compared"},
		{"a rank is missing", func(h *history.Header) { h.Rank = 0 }, "the history of rank 1 of sor is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			second := header("two", 1)
			second.Offset, second.Bound = -1000, 7
			c.change(&second)
			dir := t.TempDir()
			var paths []string
			for i, h := range []history.Header{first, second} {
				paths = append(paths, fmt.Sprintf("%s/%d", dir, i))
				if err := history.Write(paths[i], h, []history.Operation{
					{Client: 3, Op: history.OpRead, Call: 2000, Return: 3000}, {Op: history.OpWrite, Call: 3500}}); err != nil {
					t.Fatal(err)
				}
				// The clock has drifted by 20 until the history is closed.
				text, err := os.ReadFile(paths[i])
				if err != nil {
					t.Fatal(err)
				}
				reading := fmt.Sprintf(`,"clock_offset_ns":%d,"clock_bound_ns":%d}`, h.Offset+20*int64(i), h.Bound)
				text = append(bytes.TrimSuffix(text, []byte("}\n")), reading+"\n"...)
				if err := os.WriteFile(paths[i], text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			h, err := Read(paths...)
			if c.want != "" {
				if err == nil || !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("%v, want %s", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := [][3]int64{{3, 2000, 3000}, {0, 3500, Never}, {7, 2000 - 1000 - 7, 3000 - 1000 + 20 + 7}, {4, 3500 - 1000 - 7, Never}}
			for i, o := range h.Operations {
				if got := [3]int64{int64(o.Client), o.Call, o.Return}; got != want[i] || o.File != paths[i/2] || o.Line != 2+i%2 {
					t.Errorf("operation %d is %v at %s, want %v", i, got, o.Where(), want[i])
				}
			}
			if h.Bound != 17 || h.Clients != 8 {
				t.Errorf("bound %d, %d clients", h.Bound, h.Clients)
			}
		})
	}
	if _, err := Read(); !errors.Is(err, ErrIncomplete) {
		t.Errorf("no file: %v", err)
	}
}

// TestStaleRead: the history of a core that forgets a child's copy (the mutant
// ForgetChild in impl/sim) is rejected, at the lines of the stale reads.
func TestStaleRead(t *testing.T) {
	const path = "testdata/stale-read.ndjson"
	h, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	r := Check(h.Operations, Limits{})
	if r.Verdict != Violation || len(r.Findings) != 2 {
		t.Fatalf("%v: %v", r.Verdict, r.Findings)
	}
	for i, lines := range [][]int{{29, 46, 44, 53}, {61, 72, 65, 69}} {
		f := r.Findings[i]
		var got []int
		for _, o := range f.Contradiction {
			got = append(got, o.Line)
		}
		if !slices.Equal(got, lines) || !f.Confirmed {
			t.Errorf("word %d: lines %d, want %d; confirmed %v", f.Key.Word, got, lines, f.Confirmed)
		}
	}
}
