package ndjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type header struct {
	Format int    `json:"format"`
	Name   string `json:"name"`
}

// put appends a line; it says whether the log took it.
func (l *Log) put(line string) bool {
	b, ok := l.Begin()
	if ok {
		l.End(append(append(b, line...), '\n'))
	}
	return ok
}

// TestCreate: a log is a header and what was appended, in its order, and no file
// is written over.
func TestCreate(t *testing.T) {
	dir := t.TempDir()
	w := NewWriter(Limit)
	one, err := w.Create(filepath.Join(dir, "one"), header{3, "a"})
	if err != nil {
		t.Fatal(err)
	}
	two, err := w.Create(filepath.Join(dir, "two"), header{3, "b"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Create(filepath.Join(dir, "one"), header{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("over an old log: %v", err)
	}
	if _, err := w.Create(filepath.Join(dir, "three"), func() {}); err == nil {
		t.Error("a header that is not JSON was accepted")
	}
	if _, err := os.Stat(filepath.Join(dir, "three")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without its header there is a log: %v", err)
	}
	for i := range 3 {
		if !one.put(fmt.Sprint(i)) || !two.put(fmt.Sprint(10+i)) {
			t.Fatalf("line %d was not taken", i)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if one.put("late") {
		t.Error("a closed log takes lines")
	}
	for name, want := range map[string]string{
		"one": `{"format":3,"name":"a"}` + "\n0\n1\n2\n",
		"two": `{"format":3,"name":"b"}` + "\n10\n11\n12\n",
	} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q (%v), want %q", name, got, err, want)
		}
	}
}

// A disk that is slower than the caller: nothing is lost, and no more than the
// limit is held.
func TestSlowDisk(t *testing.T) {
	const limit, records = 4096, 20000
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	w := NewWriter(limit)
	l := w.add(to, []byte(`{"format":3}`+"\n"))
	held := make(chan int, 1) // in bytes, before closing frees them
	go func() {
		for i := range records {
			l.put(fmt.Sprint(i))
		}
		if err := w.Flush(); err != nil {
			t.Error(err)
		}
		w.writing.Lock() // nobody drains, and nobody appends
		held <- max(cap(l.pending), cap(l.spare))
		w.writing.Unlock()
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	lines := NewLines("pipe", from)
	if err := lines.Header(3, new(header)); err != nil {
		t.Fatal(err)
	}
	for i := range records {
		line, err := lines.Next()
		if err != nil || string(line) != fmt.Sprint(i) {
			t.Fatalf("line %d is %q (%v)", i, line, err)
		}
	}
	if _, err := lines.Next(); err != io.EOF {
		t.Fatalf("behind the last line: %v", err)
	}
	if held := <-held; held < limit || held > 4*limit {
		t.Fatalf("%d bytes were held, the limit is %d", held, limit)
	}
}

// A disk that is full: the log ends, with an error, and nobody waits.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	w := NewWriter(100)
	l := w.add(full, nil)
	for range 1000 {
		l.put("a line of some length")
	}
	if err := <-w.Failed(); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "/dev/full") {
		t.Errorf("Failed delivers %v", err)
	}
	if err := w.Flush(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Flush = %v", err)
	}
	if l.put("another") {
		t.Error("a log that has failed takes lines")
	}
	if err := w.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Close = %v", err)
	}
}

// TestLines: what a reader refuses, and at which line.
func TestLines(t *testing.T) {
	const good = `{"format":3,"name":"a"}` + "\n"
	for _, c := range []struct {
		name, text string
		want       error
		line       int
	}{
		{"good", good + "{\"name\":\"b\"}\n", nil, 0},
		{"spaces", good + " {\"name\":\"b\"} \n", nil, 0},
		{"empty", "", ErrTruncated, 1},
		{"half a header", good[:9], ErrTruncated, 1},
		{"no header", "1\n", ErrMalformed, 1},
		{"no format", "{}\n", ErrMalformed, 1},
		{"another format", `{"format":4,"other":1}` + "\n", ErrFormat, 1},
		{"unknown in the header", `{"format":3,"other":1}` + "\n", ErrMalformed, 1},
		{"unknown in a line", good + "{}\n{\"other\":1}\n", ErrMalformed, 3},
		{"two values", good + "{}{}\n", ErrMalformed, 2},
		{"no JSON", good + "hello\n", ErrMalformed, 2},
		{"no end", good + "{}", ErrTruncated, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := NewLines("file", bytes.NewReader([]byte(c.text)))
			err := l.Header(3, new(header))
			for err == nil {
				var line []byte
				if line, err = l.Next(); err == nil {
					err = l.Decode(line, new(header))
				}
			}
			if c.want == nil {
				if err != io.EOF {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), fmt.Sprintf(" file:%d: ", c.line)) || l.Line() != c.line {
				t.Errorf("%v at line %d, want %v at line %d", err, l.Line(), c.want, c.line)
			}
		})
	}
}

func TestAppend(t *testing.T) {
	b := AppendString(AppendUint(AppendUint([]byte("{"), `"a":`, 0), `"b":`, 1<<64-1), "\"\n")
	if want := `{"b":18446744073709551615"\"\n"`; string(b) != want {
		t.Errorf("%s, want %s", b, want)
	}
}
