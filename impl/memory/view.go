//go:build linux

package memory

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/internal/limits"
	"golang.org/x/sys/unix"
)

// View is a segment in an application process: the mapping at the fixed
// address, and the userfaultfd that is registered over it. The application
// owns it; it owns both. All methods but Close are safe for concurrent use.
//
// Until the userfaultfd has reached the node and is served there, every access
// waits.
type View struct {
	base  addr.Base
	first addr.PageNum
	mem   []byte
	uffd  int
}

// Map maps the segment of the pages [first, first+pages) where they lie from the
// base on, and registers a userfaultfd over it. memfd is the node's file of the segment and
// remains the caller's, who may close it afterwards. The error is a
// *BaseTakenError where the addresses are not free.
//
// At no moment can anything touch the mapping, a child of a concurrent fork
// included, before it is registered: it is mapped without access first.
func Map(memfd int, base addr.Base, first addr.PageNum, pages int64) (*View, error) {
	return mapWith(memfd, base, first, pages, 0, requiredFeatures)
}

// mapWith is Map with the flags of userfaultfd(2) and the features of
// UFFDIO_API left open, for the tests.
func mapWith(memfd int, base addr.Base, first addr.PageNum, pages int64, flags int, features uint64) (*View, error) {
	if !base.Holds(first, pages) {
		return nil, fmt.Errorf("mome: memory: map: %d pages from %v are not within the global space", pages, first)
	}
	size := pages << addr.PageShift
	var st unix.Stat_t
	if err := unix.Fstat(memfd, &st); err != nil {
		return nil, fmt.Errorf("mome: memory: map: fstat: %w", err)
	}
	if st.Size != size {
		return nil, fmt.Errorf("mome: memory: map: the file has %d bytes, and %d pages need %d", st.Size, pages, size)
	}
	uffd, err := openUserfaultfd(flags, features)
	if err != nil {
		return nil, err
	}
	start := base.Addr(first)
	if _, errno := mmapShared(start, size, unix.PROT_NONE, memfd); errno != 0 {
		unix.Close(uffd)
		if errno == unix.EEXIST {
			return nil, &BaseTakenError{start, start + uintptr(size), overlapping(start, start+uintptr(size))}
		}
		return nil, fmt.Errorf("mome: memory: map at %#x: mmap: %w", start, errno)
	}
	if err := arm(uffd, start, size); err != nil {
		munmap(start, size)
		unix.Close(uffd)
		return nil, fmt.Errorf("mome: memory: map at %#x: %w", start, err)
	}
	return &View{base, first, bytesAt(start, size), uffd}, nil
}

func arm(uffd int, start uintptr, size int64) error {
	if err := adviseMapping(start, size); err != nil {
		return err
	}
	mode := uint64(registerModeMissing | registerModeMinor | registerModeWP)
	if errno := uffdRegister(uffd, start, uint64(size), mode); errno != 0 {
		return fmt.Errorf("UFFDIO_REGISTER: %w", errno)
	}
	if errno := mprotect(start, size, unix.PROT_READ|unix.PROT_WRITE); errno != 0 {
		return fmt.Errorf("mprotect: %w", errno)
	}
	return nil
}

// openUserfaultfd makes a userfaultfd with the features of a segment.
func openUserfaultfd(flags int, features uint64) (int, error) {
	fd, sysErr, devErr := uffdOpen(flags | unix.O_CLOEXEC)
	if limits.Short(sysErr) {
		return -1, fmt.Errorf("mome: memory: userfaultfd: %w", limits.Explain(sysErr))
	}
	if sysErr != nil {
		return -1, fmt.Errorf("mome: memory: %s", refusal(sysErr, devErr))
	}
	if _, errno := uffdHandshake(fd, features); errno != 0 {
		unix.Close(fd)
		if err := Probe().Err(); err != nil {
			return -1, err
		}
		return -1, fmt.Errorf("mome: memory: UFFDIO_API: %w", errno)
	}
	return fd, nil
}

// overlapping is the lines of /proc/self/maps within [start, end), the first
// few of them.
func overlapping(start, end uintptr) []string {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil
	}
	var found []string
	for line := range strings.Lines(string(maps)) {
		span, _, _ := strings.Cut(line, " ")
		lo, hi, _ := strings.Cut(span, "-")
		from, err1 := strconv.ParseUint(lo, 16, 64)
		to, err2 := strconv.ParseUint(hi, 16, 64)
		if err1 != nil || err2 != nil || uintptr(to) <= start || uintptr(from) >= end {
			continue
		}
		if len(found) == 4 {
			return append(found, "and more")
		}
		found = append(found, strings.Join(strings.Fields(line), " "))
	}
	return found
}

// Bytes is the segment's memory, valid until Close; nil after. It holds no Go pointers:
// the garbage collector does not look into it.
func (v *View) Bytes() []byte { return v.mem }

// First is the segment's first page.
func (v *View) First() addr.PageNum { return v.first }

// Uffd is the userfaultfd, to be sent to the node. The view keeps owning it,
// and keeps it open: while the node's copy may vanish with the node, this one
// makes a fault wait instead of filling the page with zeros in silence.
func (v *View) Uffd() int { return v.uffd }

// Populate makes the pages that hold the bytes [off, off+n) accessible, for
// stores if write is set, and returns when they are. Unlike a load or a store
// it waits in a system call, so that a goroutine that waits does not hold up
// the others or the garbage collector. A page may be taken away again before
// it is used.
//
// The error wraps ErrPoisoned where data is lost, and ErrRefused where an
// access would be a SIGBUS for another reason.
func (v *View) Populate(off, n int64, write bool) error {
	if off < 0 || n < 0 || off+n > int64(len(v.mem)) {
		return fmt.Errorf("mome: memory: populate: bytes [%d, %d) are not within the segment's %d", off, off+n, len(v.mem))
	}
	if n == 0 {
		return nil
	}
	from := off >> addr.PageShift
	to := (off + n + addr.PageSize - 1) >> addr.PageShift
	p := v.first + addr.PageNum(from)
	return populate("populate", p, v.base.Addr(p), (to-from)<<addr.PageShift, write)
}

// populate faults pages in by madvise. An error names the page: the kernel does
// not say how far it came, so the range is gone through once more, page by page.
func populate(op string, p addr.PageNum, start uintptr, size int64, write bool) error {
	advice := unix.MADV_POPULATE_READ // 5.14
	if write {
		advice = unix.MADV_POPULATE_WRITE // 5.14
	}
	errno := populateRange(start, size, advice)
	if errno == 0 {
		return nil
	}
	for off := int64(0); size > addr.PageSize && off < size; off += addr.PageSize {
		if errno = populateRange(start+uintptr(off), addr.PageSize, advice); errno != 0 {
			p += addr.PageNum(off >> addr.PageShift)
			break
		}
	}
	switch errno {
	case 0: // mended meanwhile
		return nil
	case unix.EHWPOISON:
		return &PageError{op, p, ErrPoisoned}
	case unix.EFAULT, unix.ENOMEM:
		// ENOMEM: nothing is mapped there.
		return &PageError{op, p, ErrRefused}
	}
	return &PageError{op, p, errno}
}

func populateRange(start uintptr, size int64, advice int) unix.Errno {
	for {
		errno := madvise(start, size, advice)
		// A signal interrupts, and a Go program has many. What is there stays
		// there, and the next call passes over it.
		if errno != unix.EINTR && errno != unix.EAGAIN {
			return errno
		}
	}
}

// Close unmaps the segment and closes the userfaultfd. Where the kernel refuses
// to unmap, the view stays as it is, Bytes included: without the userfaultfd its
// faults would read zeros.
//
// Preconditions: nobody touches the segment any more.
func (v *View) Close() error {
	if v.mem == nil {
		return nil
	}
	if errno := munmap(v.base.Addr(v.first), int64(len(v.mem))); errno != 0 {
		return fmt.Errorf("mome: memory: unmap: %w", errno)
	}
	v.mem = nil
	return unix.Close(v.uffd)
}
