package node

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// CheckMemory says what is wrong with a limit of so many bytes of pages on this
// machine: pages beyond what the machine or this process's control group has
// would end the node, not make it give pages up. What cannot be found out
// forbids nothing.
func CheckMemory(limit int64) error {
	return checkMemory(os.DirFS("/"), limit)
}

func checkMemory(root fs.FS, limit int64) error {
	for _, c := range ceilings(root) {
		if limit > c.bytes {
			return fmt.Errorf("a limit of %s for pages is more than %s, which is %s; give less, the daemon and programs need some too",
				humanize.IBytes(uint64(limit)), c.what, humanize.IBytes(uint64(c.bytes)))
		}
	}
	return nil
}

// ceiling is an amount of memory that this process cannot have more than.
type ceiling struct {
	bytes int64
	what  string
}

// ceilings are those that are known: the machine's memory, and the limits of the
// control group of this process and of the groups above it, in both versions.
func ceilings(root fs.FS) []ceiling {
	var found []ceiling
	for _, line := range lines(root, "proc/meminfo") {
		var kib int64
		if _, err := fmt.Sscanf(line, "MemTotal: %d kB", &kib); err == nil {
			found = append(found, ceiling{kib << 10, "the machine's memory"})
		}
	}
	for _, h := range hierarchies(root) {
		// A limit above is a limit below.
		for group := h.group; ; group = path.Dir(group) {
			file := path.Join(h.mount, group, h.file)
			for _, line := range lines(root, strings.TrimPrefix(file, "/")) {
				// Where there is none, version 2 says "max", version 1 a number
				// beyond all memory.
				if bytes, err := strconv.ParseInt(line, 10, 64); err == nil {
					found = append(found, ceiling{bytes, "the limit in " + file})
				}
			}
			if group == "/" {
				break
			}
		}
	}
	return found
}

// hierarchy is where the limits of this process's control group are.
type hierarchy struct {
	mount string
	group string // below mount, from "/"
	file  string // in each group
}

func hierarchies(root fs.FS) []hierarchy {
	var v1, v2 string // paths of this process's group
	for _, line := range lines(root, "proc/self/cgroup") {
		switch f := strings.SplitN(line, ":", 3); {
		case len(f) < 3:
		case f[1] == "":
			v2 = f[2]
		case slices.Contains(strings.Split(f[1], ","), "memory"):
			v1 = f[2]
		}
	}
	var found []hierarchy
	for _, line := range lines(root, "proc/self/mountinfo") {
		// 36 35 0:31 ROOT MOUNT OPTIONS … - TYPE SOURCE SUPER-OPTIONS
		mount, super, ok := strings.Cut(line, " - ")
		m, s := strings.Fields(mount), strings.Fields(super)
		if !ok || len(m) < 5 || len(s) < 3 {
			continue
		}
		h := hierarchy{mount: m[4]}
		switch {
		case s[0] == "cgroup2" && v2 != "":
			h.group, h.file = v2, "memory.max"
		case s[0] == "cgroup" && v1 != "" && slices.Contains(strings.Split(s[2], ","), "memory"):
			h.group, h.file = v1, "memory.limit_in_bytes"
		default:
			continue
		}
		// A container may see its own group as the root of the mount.
		if below, ok := strings.CutPrefix(h.group, m[3]); ok {
			h.group = below
		}
		h.group = path.Join("/", h.group)
		found = append(found, h)
	}
	return found
}

// lines are those of a file; none of one that cannot be read.
func lines(root fs.FS, name string) (all []string) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return nil
	}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		all = append(all, s.Text())
	}
	return all
}
