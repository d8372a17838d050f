package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file has system calls of a node fail that would succeed: a filter of
// seccomp(2) hands them to the test, which lets each of them through or answers
// with an error (seccomp_unotify(2)). The node's code knows nothing of it.

// listenerLine begins the line by which a node whose calls go through the test
// says the number of the descriptor to take them from.
const listenerLine = "listener"

// let are the calls that do not go through the test: none of them fails for want
// of something, and some are made all the time.
var let = []uint32{
	unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_SCHED_YIELD, unix.SYS_CLOCK_GETTIME, unix.SYS_GETTID,
	unix.SYS_GETPID, unix.SYS_TGKILL, unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
	unix.SYS_RESTART_SYSCALL, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_CLOSE, unix.SYS_MUNMAP, unix.SYS_GETRANDOM,
	unix.SYS_SCHED_GETAFFINITY, unix.SYS_EPOLL_PWAIT, unix.SYS_PPOLL, unix.SYS_POLL, unix.SYS_READ, unix.SYS_FSTAT, unix.SYS_NEWFSTATAT,
	unix.SYS_GETRUSAGE, unix.SYS_PRLIMIT64, unix.SYS_LSEEK, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME, unix.SYS_SETITIMER,
	unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_DELETE, unix.SYS_SHUTDOWN, unix.SYS_UNAME, unix.SYS_PIDFD_SEND_SIGNAL,
	unix.SYS_SYSINFO, unix.SYS_GETRLIMIT, unix.SYS_GETUID, unix.SYS_RSEQ, unix.SYS_SET_ROBUST_LIST,
}

// giveCallsAway has the test decide about this process's calls from now on.
func giveCallsAway() error {
	const nr, low = 0, 16 // of struct seccomp_data: the call, the first argument
	load := func(off uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: off}
	}
	ret := func(action uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
	}
	unless := func(k uint32) unix.SockFilter { // skips the next one
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: 1}
	}
	program := []unix.SockFilter{load(nr)}
	for _, call := range let {
		program = append(program, unless(call), ret(unix.SECCOMP_RET_ALLOW))
	}
	program = append(program,
		// What it says to the test.
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_WRITE, Jf: 3},
		load(low), unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, K: 2, Jt: 1}, ret(unix.SECCOMP_RET_ALLOW),
		ret(unix.SECCOMP_RET_USER_NOTIF))
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_TSYNC|unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH|
			unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, uintptr(unsafe.Pointer(&filter)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	_, err := unix.Write(1, fmt.Appendf(nil, "%s %d\n", listenerLine, fd))
	return err
}

// calls are those of one node.
type calls struct {
	listener int
	pid      int
	of       map[int]int // the processes of threads: the node's, and those it has started
	pidfds   map[int]int // of processes

	mu     sync.Mutex
	counts map[string]int // by site, since reset
	site   string         // the one that fails next; empty: none
	after  int            // so many of its calls later
	times  int            // and so many calls
	errno  unix.Errno
	failed int // how many did
}

// takeCalls begins to decide about the calls of a process that gave them away.
func takeCalls(pid, fd int) (*calls, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, err
	}
	listener, err := unix.PidfdGetfd(pidfd, fd, 0)
	if err != nil {
		return nil, err
	}
	c := &calls{listener: listener, pid: pid, of: make(map[int]int), pidfds: map[int]int{pid: pidfd}, counts: make(map[string]int)}
	go c.decide()
	return c, nil
}

// notification is struct seccomp_notif, answer struct seccomp_notif_resp.
type notification struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type answer struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

// decide goes on until the process has ended.
func (c *calls) decide() {
	defer unix.Close(c.listener)
	defer func() {
		for _, fd := range c.pidfds {
			unix.Close(fd)
		}
	}()
	for {
		wait := []unix.PollFd{{Fd: int32(c.listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(wait, -1); errors.Is(err, unix.EINTR) {
			continue
		}
		if wait[0].Revents&unix.POLLIN == 0 {
			return
		}
		var n notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(c.listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue // its thread is gone
		}
		a := answer{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if errno := c.judge(c.siteOf(&n)); errno != 0 {
			a.errno, a.flags = -int32(errno), 0
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(c.listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&a)))
	}
}

// judge counts a call, and is the error that it is to fail with.
func (c *calls) judge(site string) unix.Errno {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[site]++
	if site != c.site {
		return 0
	}
	if c.after--; c.after >= 0 {
		return 0
	}
	if c.failed++; c.failed == c.times {
		c.site = ""
	}
	return c.errno
}

// fail has so many calls of a site fail, after so many others.
func (c *calls) fail(site string, after, times int, errno unix.Errno) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.site, c.after, c.times, c.errno, c.failed = site, after, times, errno, 0
}

// done is how many have failed since.
func (c *calls) done() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// stop has none fail any more, and says how many were made of each site since the
// last stop.
func (c *calls) stop() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := c.counts
	c.counts = make(map[string]int)
	c.site = ""
	return counts
}

var ioctls = map[uint64]string{0xC028AA03: "COPY", 0xC020AA04: "ZEROPAGE", 0xC020AA07: "CONTINUE", 0xC018AA06: "WRITEPROTECT",
	0xC020AA08: "POISON", 0x8010AA02: "WAKE", 0xC018AA3F: "API"}

// process is the one that a thread belongs to.
func (c *calls) process(thread int) int {
	if pid, ok := c.of[thread]; ok {
		return pid
	}
	pid := thread
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", thread))
	if _, after, ok := strings.Cut(string(status), "\nTgid:"); ok {
		_, _ = fmt.Sscan(after, &pid)
	}
	c.of[thread] = pid
	return pid
}

// storeProcess begins the sites of the process that keeps the founder's store.
const storeProcess = "store: "

// siteOf names the call, with what tells those of one number apart.
func (c *calls) siteOf(n *notification) string {
	pid := c.process(int(n.pid))
	if pid != c.pid {
		return storeProcess + c.named(n, pid)
	}
	return c.named(n, pid)
}

func (c *calls) named(n *notification, pid int) string {
	name, ok := callNames[n.nr]
	if !ok {
		name = fmt.Sprint("call ", n.nr)
	}
	switch n.nr {
	case unix.SYS_IOCTL:
		if op, ok := ioctls[n.args[1]]; ok {
			return name + " UFFDIO_" + op
		}
		return fmt.Sprintf("%s %#x", name, n.args[1])
	case unix.SYS_MMAP:
		switch flags := n.args[3]; {
		case flags&unix.MAP_ANONYMOUS == 0:
			return name + " " + c.file(pid, n.args[4])
		case flags&unix.MAP_NORESERVE != 0 && flags&unix.MAP_STACK == 0 && n.args[2] == unix.PROT_READ|unix.PROT_WRITE:
			return name + " pool"
		}
		return name + " runtime" // Go's, or libc's: heap and stacks
	case unix.SYS_OPENAT:
		return name + " " + kind(text(pid, n.args[1]))
	case unix.SYS_MKDIRAT, unix.SYS_UNLINKAT:
		return name + " " + kind(text(pid, n.args[1]))
	case unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FTRUNCATE, unix.SYS_FLOCK:
		return name + " " + c.file(pid, n.args[0])
	case unix.SYS_FALLOCATE:
		if file := c.file(pid, n.args[0]); n.args[3] < wholeSegment {
			return name + " " + file
		} else {
			return name + " whole " + file
		}
	case unix.SYS_EPOLL_CTL:
		return name + " " + c.file(pid, n.args[2])
	case unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_ACCEPT4:
		return name + " " + c.family(pid, n.args[0])
	case unix.SYS_SOCKET:
		return name + " " + families[int(n.args[0])]
	case unix.SYS_MADVISE:
		return fmt.Sprintf("%s %d", name, n.args[2])
	case unix.SYS_FCNTL:
		return fmt.Sprintf("%s %d", name, n.args[1])
	}
	return name
}

func (c *calls) file(pid int, fd uint64) string {
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, int32(fd)))
	if err != nil {
		return "?"
	}
	if strings.HasPrefix(link, "socket:") {
		return c.family(pid, fd)
	}
	return kind(link)
}

var families = map[int]string{unix.AF_UNIX: "attach", unix.AF_INET: "link", unix.AF_INET6: "link"}

// family says whose socket it is: that of an attached program, of a link, or, for
// "local", of who asks for the status, or the store's process.
func (c *calls) family(pid int, fd uint64) string {
	pidfd, ok := c.pidfds[pid]
	if !ok {
		var err error
		if pidfd, err = unix.PidfdOpen(pid, 0); err != nil {
			return "?"
		}
		c.pidfds[pid] = pidfd
	}
	own, err := unix.PidfdGetfd(pidfd, int(int32(fd)), 0)
	if err != nil {
		return "?"
	}
	defer unix.Close(own)
	domain, err := unix.GetsockoptInt(own, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return "?"
	}
	if sort, err := unix.GetsockoptInt(own, unix.SOL_SOCKET, unix.SO_TYPE); err == nil && domain == unix.AF_UNIX && sort == unix.SOCK_STREAM {
		return "local"
	}
	return families[domain]
}

// kind is what a path, or the name of an open file, is to a node.
func kind(path string) string {
	switch {
	case strings.HasPrefix(path, "/memfd:"):
		return "memfd"
	case strings.HasPrefix(path, "pipe:"), strings.HasPrefix(path, "anon_inode:"):
		return "event"
	case strings.Contains(path, "/store"):
		return "store"
	case strings.Contains(path, "/trace"):
		return "trace"
	case strings.HasPrefix(path, "/proc/"), strings.HasPrefix(path, "/sys/"), strings.HasPrefix(path, "/dev/"):
		return "system"
	}
	return "file"
}

// text is the string at an address of a process.
func text(pid int, at uint64) string {
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return ""
	}
	defer memory.Close()
	var b [256]byte
	n, _ := memory.ReadAt(b[:], int64(at))
	text, _, _ := strings.Cut(string(b[:n]), "\x00")
	return text
}

var callNames = map[int32]string{
	unix.SYS_WRITE: "write", unix.SYS_MMAP: "mmap", unix.SYS_MPROTECT: "mprotect", unix.SYS_MADVISE: "madvise", unix.SYS_IOCTL: "ioctl",
	unix.SYS_PWRITE64: "pwrite", unix.SYS_SOCKET: "socket", unix.SYS_CONNECT: "connect", unix.SYS_ACCEPT4: "accept4", unix.SYS_SENDTO: "sendto",
	unix.SYS_RECVFROM: "recvfrom", unix.SYS_SENDMSG: "sendmsg", unix.SYS_RECVMSG: "recvmsg", unix.SYS_BIND: "bind", unix.SYS_LISTEN: "listen",
	unix.SYS_SOCKETPAIR: "socketpair", unix.SYS_SETSOCKOPT: "setsockopt", unix.SYS_GETSOCKOPT: "getsockopt", unix.SYS_CLONE: "clone",
	unix.SYS_CLONE3: "clone3", unix.SYS_FCNTL: "fcntl", unix.SYS_FLOCK: "flock", unix.SYS_FSYNC: "fsync", unix.SYS_FDATASYNC: "fdatasync",
	unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_GETDENTS64: "getdents", unix.SYS_EPOLL_CTL: "epoll_ctl", unix.SYS_EPOLL_CREATE1: "epoll_create",
	unix.SYS_EVENTFD2: "eventfd", unix.SYS_PIPE2: "pipe", unix.SYS_FALLOCATE: "fallocate", unix.SYS_OPENAT: "openat", unix.SYS_MKDIRAT: "mkdirat",
	unix.SYS_UNLINKAT: "unlinkat", unix.SYS_RENAMEAT: "renameat", unix.SYS_MEMFD_CREATE: "memfd_create", unix.SYS_PIDFD_OPEN: "pidfd_open",
	unix.SYS_PRCTL: "prctl", unix.SYS_SCHED_SETATTR: "sched_setattr", unix.SYS_SCHED_GETATTR: "sched_getattr", unix.SYS_UMASK: "umask",
	unix.SYS_STATFS: "statfs", unix.SYS_KILL: "kill", unix.SYS_READV: "readv", unix.SYS_WRITEV: "writev", unix.SYS_FCHMODAT: "fchmodat",
	unix.SYS_FCHMOD: "fchmod", unix.SYS_PREAD64: "pread", unix.SYS_READLINKAT: "readlinkat", unix.SYS_FACCESSAT2: "faccessat", unix.SYS_SCHED_SETAFFINITY: "sched_setaffinity",
	unix.SYS_MSYNC: "msync", unix.SYS_MLOCK: "mlock", unix.SYS_FSTATFS: "fstatfs", unix.SYS_PROCESS_MADVISE: "process_madvise", unix.SYS_WAITID: "waitid",
}
