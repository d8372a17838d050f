//go:build linux

package memory

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"golang.org/x/sys/unix"
)

func TestBaseTaken(t *testing.T) {
	s := newSegment(t, 4)
	squatter, errno := mmapShared(addr.DefaultBase.Addr(testFirst+2), addr.PageSize, unix.PROT_NONE, s.FD())
	if errno != 0 {
		t.Fatal(errno)
	}
	defer munmap(squatter, addr.PageSize)
	_, err := Map(s.FD(), addr.DefaultBase, testFirst, 4)
	wantErr(t, err, ErrBaseTaken)
	var taken *BaseTakenError
	if !errors.As(err, &taken) {
		t.Fatalf("%T", err)
	}
	if taken.Start != addr.DefaultBase.Addr(testFirst) || taken.End != addr.DefaultBase.Addr(testFirst+4) {
		t.Fatalf("addresses %#x-%#x", taken.Start, taken.End)
	}
	if len(taken.Found) != 1 || !strings.Contains(taken.Found[0], "memfd:mome") {
		t.Fatalf("found %q, want the one mapping of the memfd", taken.Found)
	}
	if !strings.Contains(err.Error(), fmt.Sprintf("%#x", addr.DefaultBase.Addr(testFirst))) {
		t.Fatalf("%q does not name the address", err)
	}
}

func TestMapChecksItsArguments(t *testing.T) {
	s := newSegment(t, 4)
	for _, c := range []struct {
		name  string
		fd    int
		first addr.PageNum
		pages int64
	}{
		{"too few pages", s.FD(), testFirst, 3},
		{"too many pages", s.FD(), testFirst, 5},
		{"no pages", s.FD(), testFirst, 0},
		{"beyond the space", s.FD(), addr.PageNum(addr.Pages - 1), 2},
		{"no file", -1, testFirst, 4},
	} {
		if v, err := Map(c.fd, addr.DefaultBase, c.first, c.pages); err == nil {
			v.Close()
			t.Errorf("%s: no error", c.name)
		}
	}
}

// Map, everything given back, and Map again at the same address.
func TestMapAndClose(t *testing.T) {
	s := newSegment(t, 4)
	for range 3 {
		v, err := Map(s.FD(), addr.DefaultBase, testFirst, 4)
		ok(t, err)
		if got := len(v.Bytes()); got != 4*addr.PageSize {
			t.Fatalf("%d bytes", got)
		}
		// um, uw, ui: missing, write-protect and minor faults.
		wantFlags(t, addr.DefaultBase.Addr(testFirst), append(advised(), "um", "uw", "ui")...)
		ok(t, v.Close())
		ok(t, v.Close())
	}
}

// The daemon's own mapping is advised like those of the applications.
func TestSegmentIsAdvised(t *testing.T) {
	s := newSegment(t, 4)
	wantFlags(t, s.file.Load().base, advised()...)
}

// advised is the flags that the advice of every mapping leaves in smaps. dc: not
// inherited on fork; dd: not in core dumps; nh: no huge pages, where there are any.
func advised() []string {
	flags := []string{"dc", "dd"}
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err == nil {
		flags = append(flags, "nh")
	}
	return flags
}

func wantFlags(t *testing.T, start uintptr, want ...string) {
	t.Helper()
	flags := strings.Fields(mappingFlags(t, start))
	for _, flag := range want {
		if !slices.Contains(flags, flag) {
			t.Errorf("the mapping's flags %q lack %s", flags, flag)
		}
	}
}

// mappingFlags is the VmFlags of /proc/self/smaps of the mapping at an address.
func mappingFlags(t *testing.T, start uintptr) string {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	ok(t, err)
	inside := false
	for line := range strings.Lines(string(smaps)) {
		if strings.HasPrefix(line, fmt.Sprintf("%x-", start)) {
			inside = true
		}
		if flags, found := strings.CutPrefix(line, "VmFlags:"); found && inside {
			return flags
		}
	}
	t.Fatal("no such mapping")
	return ""
}

func TestAttachRefusesWhatIsNoUserfaultfd(t *testing.T) {
	s := newSegment(t, 4)
	dup := func() int {
		fd, err := unix.FcntlInt(uintptr(s.FD()), unix.F_DUPFD_CLOEXEC, 0)
		ok(t, err)
		return fd
	}
	_, err := s.Attach(dup(), "a memfd")
	wantErr(t, err, ErrNotUserfaultfd)
	for name, features := range map[string]uint64{
		"without thread":    requiredFeatures &^ featureThreadID,
		"with fork events":  requiredFeatures | featureEventFork,
		"with remove event": requiredFeatures | featureEventRemove,
		"without a mapping": requiredFeatures,
	} {
		fd, err := openUserfaultfd(0, features)
		ok(t, err)
		_, err = s.Attach(fd, name)
		wantErr(t, err, ErrNotUserfaultfd)
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not name %s", err, name)
		}
	}
	if s.Mappings() != 0 {
		t.Fatalf("%d mappings", s.Mappings())
	}
}

func TestSegmentCannotBeTruncated(t *testing.T) {
	s := newSegment(t, 4)
	wantErr(t, unix.Ftruncate(s.FD(), addr.PageSize), unix.EPERM)
	wantErr(t, unix.Ftruncate(s.FD(), 5*addr.PageSize), unix.EPERM)
}

func TestSegmentChecksItsPages(t *testing.T) {
	for _, c := range []struct {
		first addr.PageNum
		pages int64
	}{{0, 0}, {0, -1}, {1, addr.Pages}, {0, addr.Pages + 1}} {
		if s, err := NewSegment(addr.DefaultBase, c.first, c.pages); err == nil {
			s.Close()
			t.Errorf("a segment of %d pages from %v", c.pages, c.first)
		}
	}
	s := newSegment(t, 4)
	for name, f := range map[string]func(){
		"before":   func() { s.Page(testFirst - 1) },
		"after":    func() { s.Pages(testFirst+3, 2) },
		"protect":  func() { s.Protect(testFirst+4, 1) },
		"negative": func() { s.Punch(testFirst, -1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestSegmentPopulate(t *testing.T) {
	s := newSegment(t, 100)
	ok(t, s.Populate(testFirst+10, 50))
	ok(t, s.Populate(testFirst, 0))
	var st unix.Stat_t
	ok(t, unix.Fstat(s.FD(), &st))
	if got := st.Blocks * 512 / addr.PageSize; got != 50 {
		t.Fatalf("%d pages are present, want 50", got)
	}
	ok(t, s.Punch(testFirst, 100))
	ok(t, unix.Fstat(s.FD(), &st))
	if st.Blocks != 0 {
		t.Fatalf("%d blocks are left after the punch", st.Blocks)
	}
	runtime.KeepAlive(s)
}

// A view that cannot be unmapped keeps its userfaultfd.
func TestCloseThatFails(t *testing.T) {
	s := newSegment(t, 4)
	v, err := Map(s.FD(), addr.DefaultBase, testFirst, 4)
	ok(t, err)
	whole := v.mem
	v.mem = bytesAt(addr.DefaultBase.Addr(testFirst), 1<<60) // more than there are addresses
	wantErr(t, v.Close(), unix.EINVAL)
	if v.Bytes() == nil || !strings.Contains(mappingFlags(t, addr.DefaultBase.Addr(testFirst)), "um") {
		t.Error("the view is not as it was")
	}
	_, err = unix.FcntlInt(uintptr(v.Uffd()), unix.F_GETFD, 0)
	ok(t, err)
	v.mem = whole
	ok(t, v.Close())
}
