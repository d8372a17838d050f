package history

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzLine compares the reader of operations with encoding/json, which
// reads every line that it reads, to the same values.
func FuzzLine(f *testing.F) {
	for _, text := range []string{
		`{"client":1,"op":"cas","object":"a \"b\\@3","word":1,"value":18446744073709551615,"old":2,"result":1,"call_ns":5,"return_ns":6}`,
		`{"end":7,"clock_offset_ns":-5,"clock_bound_ns":0}`, ` { "op" : "read" , "word" : 0 } `, `{}`, `{"client":01}`, `{"client":-}`, `{"word":-1}`,
		`{"op":"read","op":"read"}`, `{"op":"re\u0061d"}`, `{"object":"\u0000"}`, `{"op":"read"`, `{"value":1.5}`, `{"Value":1}`, "{\"object\":\"\xff\"}", `{"op":"a",}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := newParser().line(text)
		if err != nil {
			return
		}
		var want struct {
			Operation
			Operations *uint64 `json:"operations"`
			Begin      *int64  `json:"begin_ns"`
			Until      *int64  `json:"end_ns"`
			End        *uint64 `json:"end"`
			Clients    *uint64 `json:"clients"`
			Offset     *int64  `json:"clock_offset_ns"`
			Bound      *int64  `json:"clock_bound_ns"`
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&want); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if d := cmp.Diff(line(want), got); d != "" {
			t.Fatalf("%q: %s", text, d)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("{\"format\":3,\"begin_ns\":3}\n{\"client\":0,\"seq\":1,\"op\":\"cas\",\"word\":1,\"value\":1,\"old\":2,\"result\":1,\"call_ns\":5,\"return_ns\":6}\n" +
		"{\"client\":0,\"operations\":1,\"begin_ns\":4,\"end_ns\":7}\n{\"end\":1,\"clients\":1,\"end_ns\":8}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		header, ops, err := ReadFrom("fuzz", bytes.NewReader(text))
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "again")
		if err := Write(path, header, ops); err != nil {
			t.Fatal(err)
		}
		_, second, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(ops, second); d != "" {
			t.Fatal(d)
		}
	})
}
