package fuzz

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// failFiles are those of a test. A machine without any is an error: nothing
// would show that its property can fail.
func failFiles(t testing.TB, test string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "rapid", test, test+"-*.fail"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s has no fail files: %v", test, err)
	}
	return paths
}

// addFailFiles makes the fail files of a test the seeds of a fuzz target.
func addFailFiles(f *testing.F, test string) {
	f.Helper()
	for _, path := range failFiles(f, test) {
		input, err := readFailFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(input)
	}
}

// readFailFile is the choices of a fail file as rapid.MakeFuzz takes them. The
// file has comments, a line with version and seed, and a number per line.
func readFailFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var input []byte
	first := true
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if first {
			first = false
			continue
		}
		v, err := strconv.ParseUint(line, 0, 64)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		input = binary.LittleEndian.AppendUint64(input, v)
	}
	if len(input) == 0 {
		return nil, fmt.Errorf("%s: a fail file without choices", path)
	}
	return input, lines.Err()
}
