package limits

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

func TestSpace(t *testing.T) {
	const page, gib = 4096, 1 << 30
	files := func(used uint64, threads, most int) fstest.MapFS {
		return fstest.MapFS{
			"proc/self/statm":           {Data: fmt.Appendf(nil, "%d 100 50 1 0 40 0\n", used/page)},
			"proc/self/stat":            {Data: fmt.Appendf(nil, "1 (a) b) S%s %d 0\n", strings.Repeat(" 0", 16), threads)},
			"proc/sys/vm/max_map_count": {Data: fmt.Appendf(nil, "%d\n", most)},
		}
	}
	const infinite = unix.RLIM_INFINITY
	for _, c := range []struct {
		name    string
		p       process
		size    uint64
		use     Use
		refused string
	}{
		{"no limit", process{files(100*gib, 20, 65530), infinite, 100}, 10 * gib, ForFile, ""},
		{"it fits", process{files(2*gib, 20, 65530), 14 * gib, 100}, 11 * gib, ForFile, ""},
		{"it does not", process{files(2*gib, 20, 65530), 14 * gib, 100}, 11*gib + 1, ForFile, "RLIMIT_AS is 15032385536 bytes, 1073741824 of them kept"},
		{"more than there is", process{files(0, 20, 65530), 14 * gib, 100}, infinite - gib, ForFile, "RLIMIT_AS"},
		{"a thread still does", process{files(13*gib, 20, 65530), 14 * gib, 100}, gib / 2, ForThread, ""},
		{"pages do when threads do not", process{files(13*gib+gib/2+page, 20, 65530), 14 * gib, 100}, 0, ForThread, "RLIMIT_AS"},
		{"pages", process{files(13*gib+gib/2+page, 20, 65530), 14 * gib, 100}, gib / 8, ForPages, ""},
		{"a small limit", process{files(3*gib/4, 20, 65530), gib, 100}, 0, ForFile, ""},
		{"a small limit is met", process{files(3*gib/4, 20, 65530), gib, 100}, 1, ForFile, "268435456 of them kept"},
		{"mappings", process{files(0, 1000, 65530), infinite, 55337}, 1, ForFile, ""},
		{"too many mappings", process{files(0, 1000, 65530), infinite, 55338}, 1, ForFile, "vm.max_map_count is 65530, 8192 of them kept"},
		{"pages take no mapping each", process{files(0, 31000, 65530), infinite, 0}, 1, ForPages, ""},
		{"too many threads", process{files(0, 31000, 65530), infinite, 0}, 1, ForThread, "vm.max_map_count"},
	} {
		err := c.p.room(c.size, c.use)
		switch {
		case c.refused == "" && err == nil:
		case err == nil || c.refused == "" || !strings.Contains(err.Error(), c.refused) || !errors.Is(err, unix.ENOMEM) || !Short(err):
			t.Errorf("%s: %v, want %q", c.name, err, c.refused)
		}
	}
	here := process{files: os.DirFS("/")}
	if here.used() < 1<<20 || here.threads() < 1 {
		t.Errorf("this process has %d bytes and %d threads", here.used(), here.threads())
	}
	if err := Space(1, ForFile); err != nil {
		t.Error(err)
	}
}
