//go:build linux

package memory

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const roleVariable = "MOME_MEMORY_TEST_ROLE"

// TestMain is the second process too: the tests start their own binary again
// with a role. Afterwards it looks for descriptors, mappings and goroutines
// that were left behind.
func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
	case "application":
		applicationMain()
		os.Exit(0)
	case "daemon":
		daemonMain()
		os.Exit(0)
	case "masters":
		if err := mastersWithoutMemory(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	default:
		fmt.Fprintln(os.Stderr, "unknown role", role)
		os.Exit(2)
	}
	before := openFiles()
	code := m.Run()
	if code == 0 {
		code = max(code, leaks(before))
	}
	os.Exit(code)
}

func leaks(before []string) int {
	code := 0
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "leak:", err)
		code = 1
	}
	for _, f := range openFiles() {
		if !slices.Contains(before, f) {
			fmt.Fprintln(os.Stderr, "leak: file", f)
			code = 1
		}
	}
	maps, _ := os.ReadFile("/proc/self/maps")
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, "memfd:mome") {
			fmt.Fprint(os.Stderr, "leak: mapping ", line)
			code = 1
		}
	}
	return code
}

// openFiles lists the descriptors of the kinds that this package makes.
func openFiles() []string {
	var files []string
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		if err != nil {
			continue
		}
		for _, kind := range []string{"userfaultfd", "memfd:", "eventfd", "socket:", "pipe:"} {
			// The runtime's poller has an eventfd of its own, made on first use.
			if strings.Contains(to, kind) && !isRuntimes(to) {
				files = append(files, filepath.Base(fd)+" -> "+to)
			}
		}
	}
	return files
}

func isRuntimes(link string) bool { return strings.Contains(link, "eventfd") }

// requireUserfaultfd skips a test where the machine has no full userfaultfd,
// unless MOME_REQUIRE_UFFD=1 says that it must.
func requireUserfaultfd(t testing.TB) {
	t.Helper()
	err := Probe().Err()
	if err == nil {
		return
	}
	if os.Getenv("MOME_REQUIRE_UFFD") == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
}

func percentile(samples []time.Duration, p int) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	slices.Sort(samples)
	return samples[(len(samples)-1)*p/100]
}
