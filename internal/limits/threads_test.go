package limits

import (
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
)

func TestThreads(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text + "\n")} }
	base := map[string]string{
		"proc/loadavg":                "0.1 0.2 0.3 2/1000 4711",
		"proc/sys/kernel/threads-max": "50000",
		"proc/sys/kernel/pid_max":     "32768",
		"proc/self/cgroup":            "8:pids:/box\n4:memory:/else\n0::/a/b",
		"proc/7/status":               "Name:\tx\nUid:\t1000\t0\t0\t0\nThreads:\t30",
		"proc/8/status":               "Name:\ty\nUid:\t0\t1000\t0\t0\nThreads:\t500",
		"proc/9/status":               "Name:\tz\nUid:\t1000\t1000\t0\t0\nThreads:\t20",
	}
	for _, c := range []struct {
		name  string
		more  map[string]string
		bound uint64
		free  bool
		want  int64
		limit string
	}{
		{"the machine", nil, math.MaxUint64, false, 31768, "kernel.pid_max is 32768"},
		{"threads-max", map[string]string{"proc/sys/kernel/threads-max": "1010"}, math.MaxUint64, false, 10, "kernel.threads-max is 1010"},
		{"the user", nil, 60, false, 10, "RLIMIT_NPROC is 60"},
		{"a user who is free of it", nil, 60, true, 31768, "kernel.pid_max is 32768"},
		{"a cgroup", map[string]string{"sys/fs/cgroup/a/b/pids.max": "max", "sys/fs/cgroup/a/b/pids.current": "90",
			"sys/fs/cgroup/a/pids.max": "100", "sys/fs/cgroup/a/pids.current": "91"}, 1000, false, 9, "pids.max of /sys/fs/cgroup/a is 100"},
		{"a cgroup of the first version", map[string]string{"sys/fs/cgroup/pids/box/pids.max": "40", "sys/fs/cgroup/pids/box/pids.current": "41"},
			1000, false, 0, "pids.max of /sys/fs/cgroup/pids/box is 40"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := fstest.MapFS{}
			for _, list := range []map[string]string{base, c.more} {
				for name, text := range list {
					files[name] = file(text)
				}
			}
			got := machine{files: files, user: 1000, bound: c.bound, free: c.free}.threads()
			if got.Threads != c.want || got.Limit != c.limit {
				t.Errorf("%d threads, as %s; want %d, as %s", got.Threads, got.Limit, c.want, c.limit)
			}
			if err := got.NoRoom(); !Short(err) || !strings.Contains(err.Error(), c.limit) {
				t.Error(err)
			}
		})
	}
}

// This machine has room for a few threads, and says what bounds them.
func TestThreadsHere(t *testing.T) {
	before := Threads()
	if before.Threads < 1 || before.Limit == "" {
		t.Errorf("%+v", before)
	}
	if err := exec.Command(os.Args[0], "-test.run=^$").Run(); err != nil {
		t.Errorf("there is room for %d threads, and none could be started: %v", before.Threads, err)
	}
}
