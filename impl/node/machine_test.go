package node

import (
	"strings"
	"testing"
	"testing/fstest"
)

// TestCheckMemory has machines, as their files show them, refuse a limit that is
// above their memory or above that of a control group.
func TestCheckMemory(t *testing.T) {
	const (
		gib     = 1 << 30
		meminfo = "MemTotal:        8388608 kB\nMemFree:          123456 kB\n"
		v2mount = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
		v1mount = "35 30 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	)
	for name, c := range map[string]struct {
		files  map[string]string
		limit  int64
		reason string // part of the error; empty: it is allowed
	}{
		"as much as the machine has": {map[string]string{"proc/meminfo": meminfo}, 8 * gib, ""},
		"more than the machine has":  {map[string]string{"proc/meminfo": meminfo}, 8*gib + 1, "the machine's memory"},
		"nothing is known":           {nil, 1 << 43, ""},
		"no limit in its group": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a\n",
			"proc/self/mountinfo": v2mount, "sys/fs/cgroup/a/memory.max": "max\n"}, gib, ""},
		"above its group's": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a\n",
			"proc/self/mountinfo": v2mount, "sys/fs/cgroup/a/memory.max": "1048576\n"}, gib, "/sys/fs/cgroup/a/memory.max"},
		"above that of a group further up": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b/c\n",
			"proc/self/mountinfo": v2mount, "sys/fs/cgroup/a/b/c/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "1048576\n"}, gib, "/sys/fs/cgroup/a/memory.max"},
		"in a container that sees the host's path": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/docker/1\n",
			"proc/self/mountinfo":      "30 23 0:26 /docker/1 /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n",
			"sys/fs/cgroup/memory.max": "1048576\n"}, gib, "/sys/fs/cgroup/memory.max"},
		"version 1, no limit": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "5:cpu:/a\n4:memory:/a\n",
			"proc/self/mountinfo": v1mount, "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, gib, ""},
		"version 1, above its group's": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "5:cpu:/a\n4:memory:/a\n",
			"proc/self/mountinfo": v1mount, "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1048576\n"}, gib, "/sys/fs/cgroup/memory/a/memory.limit_in_bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{}
			for file, text := range c.files {
				root[file] = &fstest.MapFile{Data: []byte(text)}
			}
			switch err := checkMemory(root, c.limit); {
			case c.reason == "" && err != nil:
				t.Error(err)
			case c.reason != "" && (err == nil || !strings.Contains(err.Error(), c.reason) || strings.Contains(err.Error(), "\n")):
				t.Errorf("error %v, which should name %s in one line", err, c.reason)
			}
		})
	}
	if err := CheckMemory(1 << 20); err != nil {
		t.Errorf("this machine does not have a MiB: %v", err)
	}
	if CheckMemory(1<<62) == nil {
		t.Error("this machine is taken to have 4 EiB")
	}
}
