//go:build linux

package memory

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mome-dsm/mome/impl/addr"
	"golang.org/x/sys/unix"
)

// Segment is a node's copy of a range of pages: a sparse memfd that the
// application processes map, and the daemon's own mapping of it, by which page
// contents are read and written. The daemon owns it; it owns the memfd, the
// mapping, and the list of the Mappings attached to it.
//
// Page contents live in the memfd alone; a Mapping only decides who of the
// applications sees a page, and whether it can be stored to. The daemon's own
// mapping sees everything: what it reads and when is for its user to order
// with Protect and Punch.
//
// All methods but Close are safe for concurrent use. Operations on the same
// page are not ordered against each other: that is the work of the protocol.
type Segment struct {
	first addr.PageNum
	pages int64
	fd    int
	base  uintptr
	mem   []byte

	observer func(*Step) // nil: off

	attached atomic.Uint64 // how many mappings there were, ever
	mu       sync.Mutex
	mappings atomic.Pointer[[]*Mapping] // replaced under mu, read without
}

// NewSegment makes an empty segment of the pages [first, first+pages). It
// costs nothing until pages are filled: 2^32 pages are as cheap as one. The
// file cannot be shrunk or grown by anybody who holds it, so that an
// application cannot make the daemon fault.
func NewSegment(first addr.PageNum, pages int64) (*Segment, error) {
	if pages <= 0 || int64(first)+pages > addr.Pages {
		return nil, fmt.Errorf("mome: memory: new segment: %d pages from %v are not within the global space", pages, first)
	}
	s := &Segment{first: first, pages: pages, fd: -1}
	s.mappings.Store(new([]*Mapping))
	if err := s.open(); err != nil {
		s.Close()
		return nil, fmt.Errorf("mome: memory: new segment of %d pages: %w", pages, err)
	}
	return s, nil
}

func (s *Segment) open() error {
	size := s.pages << addr.PageShift
	fd, err := unix.MemfdCreate("mome", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL) // 3.17, 6.3
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	s.fd = fd
	if err := unix.Ftruncate(fd, size); err != nil {
		return fmt.Errorf("ftruncate: %w", err)
	}
	seals := unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	base, errno := mmapShared(0, size, unix.PROT_READ|unix.PROT_WRITE, fd)
	if errno != 0 {
		return fmt.Errorf("mmap: %w", errno)
	}
	s.base, s.mem = base, bytesAt(base, size)
	return adviseMapping(base, size)
}

// adviseMapping sets what every mapping of a segment needs before anything can
// touch it: a child must not inherit it (a child's mapping is registered with
// no userfaultfd, and where it touches a hole it puts a page of zeros into the
// segment for everybody), no huge pages (the unit of coherence is the small
// page), and no place in a core dump (reading it would fetch the whole
// segment).
func adviseMapping(start uintptr, size int64) error {
	if errno := madvise(start, size, unix.MADV_DONTFORK); errno != 0 {
		return fmt.Errorf("madvise(DONTFORK): %w", errno)
	}
	if errno := madvise(start, size, unix.MADV_DONTDUMP); errno != 0 {
		return fmt.Errorf("madvise(DONTDUMP): %w", errno)
	}
	// EINVAL: a kernel without huge pages.
	if errno := madvise(start, size, unix.MADV_NOHUGEPAGE); errno != 0 && errno != unix.EINVAL {
		return fmt.Errorf("madvise(NOHUGEPAGE): %w", errno)
	}
	return nil
}

// Close gives everything back, the attached Mappings included.
//
// Preconditions: nobody uses the segment or a slice of it any more.
func (s *Segment) Close() error {
	for _, m := range *s.mappings.Load() {
		m.Close()
	}
	var first error
	if s.mem != nil {
		if errno := munmap(s.base, int64(len(s.mem))); errno != 0 {
			first = errno
		}
		s.mem = nil
	}
	if s.fd >= 0 {
		if err := unix.Close(s.fd); err != nil && first == nil {
			first = err
		}
		s.fd = -1
	}
	return first
}

// FD is the memfd, to be sent to an application. The segment keeps owning it.
func (s *Segment) FD() int { return s.fd }

// First is the segment's first page, Len the number of its pages.
func (s *Segment) First() addr.PageNum { return s.first }

// Len is the number of the segment's pages.
func (s *Segment) Len() int64 { return s.pages }

// Page is one page in the daemon's own mapping, valid until Close.
//
// Preconditions: the slice is read only while the page is present. The
// daemon's mapping is registered with no userfaultfd: touching a hole puts a
// page of zeros into the segment, which then passes for the page's content. A
// hole is touched only by who is filling it, and who does so calls Install
// after the last byte: no application sees the page before that.
func (s *Segment) Page(p addr.PageNum) []byte { return s.Pages(p, 1) }

// Pages is n consecutive pages in the daemon's own mapping, under the contract
// of Page.
func (s *Segment) Pages(p addr.PageNum, n int64) []byte {
	off := s.offset(p, n)
	end := off + n<<addr.PageShift
	return s.mem[off:end:end]
}

// offset is where a page lies in the memfd and in the daemon's mapping. Pages
// that are not the segment's are a bug of the caller.
func (s *Segment) offset(p addr.PageNum, n int64) int64 {
	off := int64(p) - int64(s.first)
	if off < 0 || n < 0 || off+n > s.pages {
		panic(fmt.Sprintf("mome: memory: %d pages from %v are not within the segment's %d pages from %v", n, p, s.pages, s.first))
	}
	return off << addr.PageShift
}

// Populate makes pages present in the segment and in the daemon's mapping, the
// holes among them as zeros, by one system call: the faults of a reader that
// receives many pages into Pages(p, n) cost more than the copy.
//
// Preconditions: those of Page for touching a hole.
func (s *Segment) Populate(p addr.PageNum, n int64) error {
	off := s.offset(p, n)
	if n == 0 {
		return nil
	}
	return populate("populate", p, s.base+uintptr(off), n<<addr.PageShift, true)
}

// Protect takes the right to store to pages from every mapping of the segment.
// A page that a mapping does not have yet stays without.
//
// Postconditions: without an error, every store that starts after Protect was
// called and that Page shows is complete, and every further store faults. With
// an error nothing is known of any of the pages. A mapping whose application
// is gone or has unmapped the pages is no error.
func (s *Segment) Protect(p addr.PageNum, n int64) error {
	s.offset(p, n)
	var first error
	for i, m := range *s.mappings.Load() {
		if Broken(BugSkipProtect) || Broken(BugForgetMapping) && i > 0 {
			break
		}
		if err := m.Protect(p, n); err != nil && err != ErrGone && first == nil {
			first = err
		}
	}
	return first
}

// Punch makes holes of pages: their content is gone, from the daemon's mapping
// too, no mapping has them any more, and the next access of any application
// faults as Missing. It raises no event and wakes nobody. Poison outlives it.
func (s *Segment) Punch(p addr.PageNum, n int64) error {
	off := s.offset(p, n)
	if n == 0 || Broken(BugSkipPunch) {
		return nil
	}
	for {
		err := unix.Fallocate(s.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n<<addr.PageShift)
		switch err {
		case nil:
			s.observe(OpPunch, p, n, nil, nil)
			return nil
		case unix.EINTR:
			continue
		}
		s.observe(OpPunch, p, n, nil, err)
		return &PageError{"punch", p, err}
	}
}

// Resident is how many bytes of pages the segment has, as the kernel counts them.
func (s *Segment) Resident() (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(s.fd, &st); err != nil {
		return 0, fmt.Errorf("mome: memory: size of a segment: %w", err)
	}
	return st.Blocks * 512, nil // the unit of st_blocks
}

// Poison makes every access to pages a SIGBUS, in every mapping that is
// attached now, and wakes who waits for them into it: the data is lost. What
// was there is punched. A process that attaches later knows nothing of it and
// faults: its mapping is poisoned at that fault. To bring a page back, fill it
// and install it in every mapping: a poisoned page raises no fault.
//
// Preconditions: nobody fills these pages meanwhile (else ErrExists, and some
// mappings may still show them).
func (s *Segment) Poison(p addr.PageNum, n int64) error {
	if err := s.Punch(p, n); err != nil {
		return err
	}
	var first error
	for _, m := range *s.mappings.Load() {
		if err := m.Poison(p, n); err != nil && err != ErrGone && first == nil {
			first = err
		}
	}
	return first
}

// firstPresent is the first of the pages that is not a hole, if there is one.
func (s *Segment) firstPresent(p addr.PageNum, n int64) (addr.PageNum, bool) {
	off := s.offset(p, n)
	at, err := unix.Seek(s.fd, off, unix.SEEK_DATA) // 3.1; nobody uses the file's position
	if err != nil || at >= off+n<<addr.PageShift {
		return 0, false
	}
	return s.first + addr.PageNum(at>>addr.PageShift), true
}

// Mappings is how many applications are attached.
func (s *Segment) Mappings() int { return len(*s.mappings.Load()) }

func (s *Segment) add(m *Mapping) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := append(slices.Clone(*s.mappings.Load()), m)
	s.mappings.Store(&list)
}

func (s *Segment) remove(m *Mapping) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(*s.mappings.Load()), func(o *Mapping) bool { return o == m })
	s.mappings.Store(&list)
}

// Fill makes src, whose length is a multiple of the page size, the content of
// pages. Unlike a copy into Page it neither faults nor zeroes a hole first.
//
// Preconditions: no application sees the pages before Install.
func (s *Segment) Fill(p addr.PageNum, src []byte) error {
	if len(src)%addr.PageSize != 0 {
		panic(fmt.Sprintf("mome: memory: fill with %d bytes, which are not pages", len(src)))
	}
	n := int64(len(src)) >> addr.PageShift
	off := s.offset(p, n)
	for rest := src; len(rest) > 0; {
		done, err := unix.Pwrite(s.fd, rest, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			s.observe(OpFill, p, n, src, err)
			return &PageError{"fill", p, err}
		}
		rest, off = rest[done:], off+int64(done)
	}
	s.observe(OpFill, p, n, src, nil)
	return nil
}
