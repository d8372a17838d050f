package limits

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestExplain(t *testing.T) {
	for errno, want := range map[unix.Errno]string{
		unix.EMFILE: "RLIMIT_NOFILE is ", unix.ENFILE: "fs.file-max", unix.EFBIG: "RLIMIT_FSIZE is ",
		unix.ENOMEM: "vm.max_map_count", unix.ENOSPC: "vm.overcommit_memory", unix.ETOOMANYREFS: "in flight",
	} {
		err := Explain(fmt.Errorf("a call: %w", errno))
		if !strings.Contains(err.Error(), want) || !errors.Is(err, errno) || !Short(err) {
			t.Errorf("%v: %v", errno, err)
		}
		if Explain(err) != err {
			t.Errorf("%v is explained twice", errno)
		}
	}
	if err := Explain(unix.EINVAL); err != unix.EINVAL || Short(err) {
		t.Errorf("EINVAL is a shortage: %v", err)
	}
}

// The last descriptors of a process are for calls without Spare.
func TestSpare(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	const most, reserved = 64, 10
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: most, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &old) }()
	Reserve(reserved)
	defer reserve.Store(0)
	var fds []int
	open := func() int {
		fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1
		}
		return fd
	}
	for {
		fd := open()
		if err := Spare(fd); err != nil {
			if !errors.Is(err, unix.EMFILE) || !strings.Contains(err.Error(), "10 of them kept") {
				t.Error(err)
			}
			break
		}
		fds = append(fds, fd)
	}
	n := 0
	for fd := open(); fd >= 0; fd = open() {
		fds = append(fds, fd)
		n++
	}
	for _, fd := range fds {
		unix.Close(fd)
	}
	if n != reserved {
		t.Errorf("%d descriptors are left for other calls, want %d", n, reserved)
	}
}
