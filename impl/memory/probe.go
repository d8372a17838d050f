//go:build linux

package memory

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/internal/limits"
	"golang.org/x/sys/unix"
)

// Check is one thing that Mome needs of this machine.
type Check struct {
	Name   string `json:"name"`
	Since  string `json:"since,omitempty"` // the first kernel release that has it
	OK     bool   `json:"ok"`
	Why    string `json:"why,omitempty"`    // what is wrong; empty if OK
	Remedy string `json:"remedy,omitempty"` // what mends it; empty if OK
}

// Report is what this machine has of what Mome needs, the most fundamental
// thing first.
type Report struct {
	Kernel string  `json:"kernel"` // the running release
	Checks []Check `json:"checks"`
}

// Err is nil if nothing is missing, else one line that names the first missing
// thing and its remedy.
func (r Report) Err() error {
	for _, c := range r.Checks {
		if !c.OK {
			return errors.New("mome: memory: " + c.Name + ": " + c.Why + "; " + c.Remedy)
		}
	}
	return nil
}

// MinimumKernel is the least release that Mome runs on.
const MinimumKernel = "6.7"

// Probe finds out what this machine has. The first call asks the kernel, the
// others repeat its answer.
func Probe() Report { return probe() }

var probe = sync.OnceValue(probeKernel)

func probeKernel() Report {
	var r Report
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		r.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	upgrade := func(since string) string {
		return "run Linux " + MinimumKernel + " or later (this one came with " + since + ")"
	}
	add := func(name, since, why, remedy string) {
		if why == "" {
			remedy = ""
		}
		r.Checks = append(r.Checks, Check{name, since, why == "", why, remedy})
	}

	// fails adds what a call says, which may be a limit of this process.
	fails := func(name, since, call string, err error) {
		var s *limits.Shortage
		switch {
		case err == nil:
			add(name, since, "", "")
		case errors.As(limits.Explain(err), &s):
			add(name, since, fmt.Sprintf("%s: no %s is left: %s", call, s.What, s.Limit), s.Remedy)
		default:
			add(name, since, call+": "+err.Error(), upgrade(since))
		}
	}

	why := ""
	if !atLeast(r.Kernel, 6, 7) {
		why = "this is Linux " + r.Kernel
	}
	add("kernel", MinimumKernel, why, "run Linux "+MinimumKernel+" or later")

	why = ""
	if size := os.Getpagesize(); size != addr.PageSize {
		why = fmt.Sprintf("the kernel's pages have %d bytes", size)
	}
	add("page size", "", why, fmt.Sprintf("run a kernel with pages of %d bytes", addr.PageSize))

	fd, err := unix.MemfdCreate("mome-probe", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err == nil {
		defer unix.Close(fd)
	}
	fails("memfd", "6.3", "memfd_create", err)
	fails("MADV_POPULATE_READ and WRITE", "5.14", "madvise", probePopulate(fd))

	uffd, sysErr, devErr := uffdOpen(unix.O_CLOEXEC)
	if sysErr != nil {
		why, remedy := refusalAndRemedy(sysErr, devErr)
		add("userfaultfd", "4.3", why, remedy)
		return r
	}
	add("userfaultfd", "4.3", "", "")
	// The features of a descriptor are fixed by the first UFFDIO_API: this one
	// tells all features and is used for nothing else.
	have, errno := uffdHandshake(uffd, 0)
	unix.Close(uffd)
	if errno != 0 {
		have = 0
	}
	for _, f := range [...]struct {
		name, since string
		bit         uint64
	}{
		{"missing faults on shared memory", "4.11", featureMissingShmem},
		{"thread of a fault", "4.14", featureThreadID},
		{"write protection", "5.7", featurePagefaultFlagWP},
		{"minor faults on shared memory", "5.14", featureMinorShmem},
		{"write protection on shared memory", "5.19", featureWPHugetlbfsShmem},
		{"poisoned pages", "6.6", featurePoison},
		{"asynchronous write protection", "6.7", featureWPAsync},
	} {
		why := ""
		if have&f.bit == 0 {
			why = "this kernel's userfaultfd does not have it"
		}
		add("userfaultfd: "+f.name, f.since, why, upgrade(f.since))
	}
	return r
}

func probePopulate(fd int) error {
	if fd < 0 {
		return unix.EBADF
	}
	if err := unix.Ftruncate(fd, addr.PageSize); err != nil {
		return err
	}
	start, errno := mmapShared(0, addr.PageSize, unix.PROT_READ|unix.PROT_WRITE, fd)
	if errno != 0 {
		return errno
	}
	defer munmap(start, addr.PageSize)
	return populate("probe", 0, start, addr.PageSize, true)
}

// atLeast compares a release such as 6.18.44-foo.
func atLeast(release string, major, minor int) bool {
	parts := strings.FieldsFunc(release, func(r rune) bool { return r < '0' || r > '9' })
	if len(parts) < 2 {
		return false
	}
	a, err1 := strconv.Atoi(parts[0])
	b, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (a > major || a == major && b >= minor)
}

// refusal is one line of why there is no full userfaultfd, and what mends it.
func refusal(sysErr, devErr error) string {
	why, remedy := refusalAndRemedy(sysErr, devErr)
	return "userfaultfd: " + why + "; " + remedy
}

func refusalAndRemedy(sysErr, devErr error) (why, remedy string) {
	if errors.Is(sysErr, unix.ENOSYS) {
		return "this kernel or container has no userfaultfd",
			"run a kernel built with CONFIG_USERFAULTFD=y, and a container profile that allows userfaultfd(2)"
	}
	if !errors.Is(sysErr, unix.EPERM) {
		return sysErr.Error(), "raise the limit that this names"
	}
	switch {
	case errors.Is(devErr, unix.ENOENT):
		why = "no permission (no CAP_SYS_PTRACE, vm.unprivileged_userfaultfd is not 1, or a container forbids it), and there is no " + devicePath
	case errors.Is(devErr, unix.EACCES), errors.Is(devErr, unix.EPERM):
		why = "no permission (no CAP_SYS_PTRACE, vm.unprivileged_userfaultfd is not 1, and " + devicePath + " is not open to this user)"
	default:
		why = fmt.Sprintf("no permission (no CAP_SYS_PTRACE, vm.unprivileged_userfaultfd is not 1), and %s: %v", devicePath, devErr)
	}
	return why, "run: sudo sysctl -w vm.unprivileged_userfaultfd=1"
}
