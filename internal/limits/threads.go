package limits

import (
	"bytes"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Room is how many threads more a process can start, and what bounds that.
type Room struct {
	Threads int64
	Limit   string // "pids.max of the cgroup / is 100"
	Remedy  string
}

// NoRoom is the error of whoever wants a thread where there is no room for one.
// To find that out by trying ends a Go program: its runtime cannot do without a
// thread that it wants.
func (r Room) NoRoom() error { return &Shortage{"thread", r.Limit, r.Remedy, unix.EAGAIN} }

// Threads is the room that this process has. It is out of date at once, since
// others start threads too.
func Threads() Room {
	m := machine{files: os.DirFS("/"), user: os.Getuid(), bound: get(unix.RLIMIT_NPROC)}
	m.free = m.exempt()
	return m.threads()
}

// machine is where the limits are read, and of whom.
type machine struct {
	files fs.FS
	user  int
	bound uint64 // RLIMIT_NPROC
	free  bool   // of RLIMIT_NPROC
}

func (m machine) threads() Room {
	room := Room{math.MaxInt64, "nothing bounds them", ""}
	less := func(left int64, limit, remedy string) {
		if left = max(left, 0); left < room.Threads {
			room = Room{left, limit, remedy}
		}
	}
	all := m.all()
	for _, name := range []string{"threads-max", "pid_max"} {
		if most, ok := m.number("proc/sys/kernel/" + name); ok {
			less(most-all, fmt.Sprintf("kernel.%s is %d", name, most), "raise it (sysctl kernel."+name+"), or end other programs")
		}
	}
	for _, dir := range m.groups() {
		most, ok := m.number(path.Join(dir, "pids.max"))
		now, here := m.number(path.Join(dir, "pids.current"))
		if ok && here {
			less(most-now, fmt.Sprintf("pids.max of /%s is %d", dir, most), "raise it (TasksMax= in the unit, --pids-limit of the container), or end other programs in it")
		}
	}
	if !m.free && m.bound < math.MaxInt32 {
		less(int64(m.bound)-m.ofUser(), fmt.Sprintf("RLIMIT_NPROC is %d", m.bound), "raise it (ulimit -u, or LimitNPROC= in the unit), or end other programs of this user")
	}
	return room
}

func (m machine) text(name string) string {
	text, _ := fs.ReadFile(m.files, name) // what is not there bounds nothing
	return string(bytes.TrimSpace(text))
}

func (m machine) number(name string) (int64, bool) {
	n, err := strconv.ParseInt(m.text(name), 10, 64)
	return n, err == nil // "max" is none
}

// all is the threads of the machine: "0.00 0.01 0.05 running/all last".
func (m machine) all() int64 {
	f := strings.Fields(m.text("proc/loadavg"))
	if len(f) < 4 {
		return 0
	}
	_, all, _ := strings.Cut(f[3], "/")
	n, _ := strconv.ParseInt(all, 10, 64)
	return n
}

// groups are the directories of the process's cgroups that may bound its threads,
// each within the next.
func (m machine) groups() (dirs []string) {
	for line := range strings.Lines(m.text("proc/self/cgroup")) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3) // number, controllers, path
		if len(f) < 3 {
			continue
		}
		var root string
		switch f[1] {
		case "":
			root = "sys/fs/cgroup"
		case "pids":
			root = "sys/fs/cgroup/pids"
		default:
			continue
		}
		for dir := path.Join(root, f[2]); len(dir) >= len(root); dir = path.Dir(dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// ofUser is the threads of the user.
func (m machine) ofUser() (n int64) {
	processes, _ := fs.Glob(m.files, "proc/[0-9]*/status")
	for _, name := range processes {
		var user, threads int64 = -1, 0
		for line := range strings.Lines(m.text(name)) {
			key, value, _ := strings.Cut(line, ":")
			f := strings.Fields(value)
			switch {
			case len(f) == 0:
			case key == "Uid": // the real one is the first
				user, _ = strconv.ParseInt(f[0], 10, 64)
			case key == "Threads":
				threads, _ = strconv.ParseInt(f[0], 10, 64)
			}
		}
		if user == int64(m.user) {
			n += threads
		}
	}
	return n
}

// exempt says whether RLIMIT_NPROC does not bound this process: it is root's, or
// may do without (credentials(7), setrlimit(2)); within a user namespace of its
// own neither counts.
func (m machine) exempt() bool {
	if f := strings.Fields(m.text("proc/self/uid_map")); len(f) != 3 || f[0] != "0" || f[1] != "0" || f[2] != "4294967295" {
		return false
	}
	if m.user == 0 {
		return true
	}
	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if unix.Capget(&header, &data[0]) != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_SYS_RESOURCE|1<<unix.CAP_SYS_ADMIN) != 0
}
