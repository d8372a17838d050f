package main

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
)

// FuzzToken reads a token file with any content. What is read is the content
// without the space around it, and never empty.
func FuzzToken(f *testing.F) {
	for _, text := range []string{"", "\n", "secret", " secret\n", "two words\r\n", "\x00", "\u00a0x"} {
		f.Add([]byte(text))
	}
	f.Add(bytes.Repeat([]byte("x"), 5000))
	path := filepath.Join(f.TempDir(), "token")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		token, err := readToken(path)
		if want := bytes.TrimSpace(text); len(want) == 0 || len(text) > 4<<10 {
			if err == nil {
				t.Fatalf("%d bytes were accepted as the token %q", len(text), token)
			}
			return
		} else if err != nil || !bytes.Equal(token, want) {
			t.Fatalf("token %q, %v; want %q", token, err, want)
		}
		if err := os.WriteFile(path, token, 0o600); err != nil {
			t.Fatal(err)
		}
		if again, err := readToken(path); err != nil || !bytes.Equal(again, token) {
			t.Fatalf("the token %q, written again, is %q, %v", token, again, err)
		}
	})
}

// FuzzSize reads the size of a segment. What is accepted fits into the space;
// the number of bytes says the same.
func FuzzSize(f *testing.F) {
	for _, text := range []string{"4096", "64MiB", "16TiB", "17TiB", "1.5 GiB", "0", "-1", "1e30", "9999999999999999999999", "NaN", "1,000 KB", "1" + strconv.Itoa(math.MaxInt)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		size, err := parseSize(text)
		if err != nil {
			if !errors.As(err, new(usageError)) {
				t.Fatalf("%q: %v, which is no error of the command line", text, err)
			}
			return
		}
		if size == 0 || size > uint64(addr.Space) {
			t.Fatalf("%q is %d bytes", text, size)
		}
		if again, err := parseSize(strconv.FormatUint(size, 10)); err != nil || again != size {
			t.Fatalf("%q is %d bytes, and those are %d: %v", text, size, again, err)
		}
	})
}
