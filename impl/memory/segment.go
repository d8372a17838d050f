//go:build linux

package memory

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/internal/limits"
	"golang.org/x/sys/unix"
)

// Segment is a node's copy of a range of pages: a sparse memfd that the
// application processes map, and the daemon's own mapping of it, by which page
// contents are read and written. The daemon owns it; it owns the memfd, the
// mapping, and the list of the Mappings attached to it.
//
// The memfd is there from Open on, or from the first page that is filled. Until
// then every page is a hole, and nothing is needed for the segment.
//
// Page contents live in the memfd alone; a Mapping only decides who of the
// applications sees a page, and whether it can be stored to. The daemon's own
// mapping sees everything: what it reads and when is for its user to order
// with Protect and Punch.
//
// All methods but Close are safe for concurrent use. Operations on the same
// page are not ordered against each other: that is the work of the protocol.
type Segment struct {
	space addr.Base // where the applications have the global space
	first addr.PageNum
	pages int64
	file  atomic.Pointer[file] // nil: not open; set under mu, read without

	observer func(*Step) // nil: off

	attached atomic.Uint64 // how many mappings there were, ever
	mu       sync.Mutex
	mappings atomic.Pointer[[]*Mapping] // replaced under mu, read without
}

// file is the memfd of a segment, and the daemon's mapping of it.
type file struct {
	fd   int
	base uintptr
	mem  []byte
}

// NewSegment makes an empty segment of the pages [first, first+pages), where
// they lie from the base on; it is not open. It costs nothing until pages are
// filled: 2^32 pages are as cheap as one.
func NewSegment(base addr.Base, first addr.PageNum, pages int64) (*Segment, error) {
	if !base.Holds(first, pages) {
		return nil, fmt.Errorf("mome: memory: new segment: %d pages from %v are not within the global space", pages, first)
	}
	s := &Segment{space: base, first: first, pages: pages}
	s.mappings.Store(new([]*Mapping))
	return s, nil
}

// Open makes the memfd, unless it is there, by which an application can map the
// segment. The file cannot be shrunk or grown by anybody who holds it, so that an
// application cannot make the daemon fault. An error may be a *limits.Shortage;
// Open may be called again.
func (s *Segment) Open() error {
	_, err := s.open()
	return err
}

func (s *Segment) open() (*file, error) {
	if f := s.file.Load(); f != nil {
		return f, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.file.Load(); f != nil {
		return f, nil
	}
	f, err := newFile(s.pages << addr.PageShift)
	if err != nil {
		return nil, fmt.Errorf("mome: memory: file of a segment of %d pages: %w", s.pages, limits.Explain(err))
	}
	s.file.Store(f)
	return f, nil
}

func newFile(size int64) (*file, error) {
	if err := limits.Space(size, limits.ForFile); err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("mome", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL) // 3.17, 6.3
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	if err := limits.Spare(fd); err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := &file{fd: fd}
	if err := f.prepare(size); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *file) prepare(size int64) error {
	if err := unix.Ftruncate(f.fd, size); err != nil {
		return fmt.Errorf("ftruncate: %w", err)
	}
	seals := unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(f.fd), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	base, errno := mmapShared(0, size, unix.PROT_READ|unix.PROT_WRITE, f.fd)
	if errno != 0 {
		return fmt.Errorf("mmap: %w", errno)
	}
	f.base, f.mem = base, bytesAt(base, size)
	limits.Mapped.Add(1)
	return adviseMapping(base, size)
}

func (f *file) close() error {
	var first error
	if f.mem != nil {
		limits.Mapped.Add(-1)
		if errno := munmap(f.base, int64(len(f.mem))); errno != 0 {
			first = errno
		}
	}
	if err := unix.Close(f.fd); err != nil && first == nil {
		first = err
	}
	return first
}

// CanOpen says whether a segment of so many pages could be opened now, and one
// more descriptor be received for it; else the error is that of Open.
func CanOpen(pages int64) error {
	f, err := newFile(pages << addr.PageShift)
	if err == nil {
		var more int
		if more, err = unix.FcntlInt(uintptr(f.fd), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			if err = limits.Spare(more); err == nil {
				unix.Close(more)
			}
		}
		_ = f.close()
	}
	if err != nil {
		return fmt.Errorf("mome: memory: file of a segment of %d pages: %w", pages, limits.Explain(err))
	}
	return nil
}

// adviseMapping sets what every mapping of a segment needs before anything can
// touch it. A child must not inherit it: a child's mapping is registered with
// no userfaultfd, and where it touches a hole it puts a page of zeros into the
// segment for everybody. It has no huge pages, since the unit of coherence is
// the small page. It has no place in a core dump, since reading it would fetch
// the whole segment.
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
	if f := s.file.Swap(nil); f != nil {
		return f.close()
	}
	return nil
}

// FD is the memfd, to be sent to an application. The segment keeps owning it.
//
// Preconditions: the segment is open.
func (s *Segment) FD() int { return s.file.Load().fd }

// First is the segment's first page, Len the number of its pages.
func (s *Segment) First() addr.PageNum { return s.first }

// Len is the number of the segment's pages.
func (s *Segment) Len() int64 { return s.pages }

// Page is one page in the daemon's own mapping, valid until Close.
//
// Preconditions: the segment is open. The slice is read only while the page is
// present. The daemon's mapping is registered with no userfaultfd: touching a hole puts a
// page of zeros into the segment, which then passes for the page's content. A
// hole is touched only by who is filling it, and who does so calls Install
// after the last byte: no application sees the page before that.
func (s *Segment) Page(p addr.PageNum) []byte { return s.Pages(p, 1) }

// Pages is n consecutive pages in the daemon's own mapping, under the contract
// of Page.
func (s *Segment) Pages(p addr.PageNum, n int64) []byte {
	off := s.offset(p, n)
	end := off + n<<addr.PageShift
	return s.file.Load().mem[off:end:end]
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
	return populate("populate", p, s.file.Load().base+uintptr(off), n<<addr.PageShift, true)
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
	for _, m := range *s.mappings.Load() {
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
	f := s.file.Load()
	if f == nil || n == 0 {
		return nil
	}
	for b := (backoff{}); ; {
		err := unix.Fallocate(f.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n<<addr.PageShift)
		if err == nil {
			s.observe(OpPunch, p, n, nil, nil)
			return nil
		}
		if errno, ok := err.(unix.Errno); ok && b.again(errno) {
			continue
		}
		s.observe(OpPunch, p, n, nil, err)
		return &PageError{"punch", p, err}
	}
}

// Resident is how many bytes of pages the segment has, as the kernel counts them.
func (s *Segment) Resident() (int64, error) {
	f := s.file.Load()
	if f == nil {
		return 0, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
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
	f := s.file.Load()
	if f == nil {
		return 0, false
	}
	at, err := unix.Seek(f.fd, off, unix.SEEK_DATA) // 3.1; nobody uses the file's position
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
	f, err := s.open()
	if err != nil {
		return &PageError{"fill", p, err}
	}
	var b backoff
	for rest := src; len(rest) > 0; {
		done, err := unix.Pwrite(f.fd, rest, off)
		if errno, ok := err.(unix.Errno); ok && b.again(errno) {
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
