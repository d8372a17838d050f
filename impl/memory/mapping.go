//go:build linux

package memory

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mome-dsm/mome/impl/addr"
	"golang.org/x/sys/unix"
)

// Mapping is one application process's mapping of a segment, as the daemon
// sees it: the process's userfaultfd, by which the daemon hears of its faults
// and decides what it may access. It owns the userfaultfd; the application
// keeps a copy of its own.
//
// The page operations do not allocate unless they fail, and are safe for
// concurrent use, Close included: they answer ErrGone when the mapping is
// closed or the application is dead. They act on all pages or stop at the page
// that the error names. n may be 0.
type Mapping struct {
	segment *Segment
	name    string
	number  uint64
	life    lifetime // of uffd
	uffd    int

	stopping atomic.Bool // Serve is to end

	mu     sync.Mutex
	server int // the thread id of Serve while it runs, else 0; guarded by mu
}

// requiredFeatures is what Map asks for and Attach insists on.
const requiredFeatures = featureMissingShmem | featureMinorShmem | featurePagefaultFlagWP |
	featureWPHugetlbfsShmem | featureThreadID | featurePoison

// forbiddenFeatures would change what a fault means: events make the
// application wait for the daemon in system calls, and SIGBUS raises no fault.
const forbiddenFeatures = featureEventFork | featureEventRemap | featureEventRemove | featureEventUnmap |
	featureSigbus | featureWPAsync

// Attach adds an application's mapping. uffd is a userfaultfd which the
// application has registered over its whole mapping of the segment at the
// fixed address, as Map does, and sent over a socket. Attach takes ownership
// of it, also when it fails. name stands for the application in errors.
//
// The application has no page of the segment until one is installed. Whoever
// calls Protect or Poison afterwards reaches this mapping too.
func (s *Segment) Attach(uffd int, name string) (*Mapping, error) {
	if err := checkUserfaultfd(uffd); err != nil {
		unix.Close(uffd)
		return nil, fmt.Errorf("mome: memory: attach %s: %w", name, err)
	}
	m, err := s.attach(uffd, name)
	if err != nil {
		return nil, fmt.Errorf("mome: memory: attach %s: %w", name, err)
	}
	return m, nil
}

func (s *Segment) attach(uffd int, name string) (*Mapping, error) {
	m := &Mapping{segment: s, name: name, number: s.attached.Add(1), uffd: uffd}
	// Un-protecting a page that is not there changes nothing, but says whether
	// it is registered for write protection.
	for _, p := range [2]addr.PageNum{s.first, s.first + addr.PageNum(s.pages-1)} {
		if errno := m.writeprotect(m.at(p), m.at(p)+addr.PageSize, 0); errno != 0 {
			m.Close()
			return nil, fmt.Errorf("%w: %w", ErrNotUserfaultfd, pageError("unprotect", p, errno))
		}
	}
	s.add(m)
	return m, nil
}

// checkUserfaultfd looks at what the kernel tells of a descriptor in /proc.
func checkUserfaultfd(fd int) error {
	proc := "/proc/self/fd/" + strconv.Itoa(fd)
	link, err := os.Readlink(proc)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotUserfaultfd, err)
	}
	if !strings.Contains(link, "userfaultfd") {
		return fmt.Errorf("%w: file descriptor %d is %q", ErrNotUserfaultfd, fd, link)
	}
	info, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotUserfaultfd, err)
	}
	features, err := featuresOf(string(info))
	if err != nil {
		return err
	}
	if missing := requiredFeatures &^ features; missing != 0 {
		return fmt.Errorf("%w: features %#x were not asked for", ErrNotUserfaultfd, missing)
	}
	if extra := forbiddenFeatures & features; extra != 0 {
		return fmt.Errorf("%w: features %#x must not be on", ErrNotUserfaultfd, extra)
	}
	return nil
}

// featuresOf reads the line "API: aa:<features>:<ioctls>" of an fdinfo.
func featuresOf(fdinfo string) (uint64, error) {
	for line := range strings.Lines(fdinfo) {
		rest, ok := strings.CutPrefix(line, "API:")
		if !ok {
			continue
		}
		fields := strings.Split(strings.TrimSpace(rest), ":")
		if len(fields) < 2 {
			break
		}
		features, err := strconv.ParseUint(fields[1], 16, 64)
		if err != nil {
			break
		}
		return features, nil
	}
	return 0, fmt.Errorf("%w: no features in its fdinfo", ErrNotUserfaultfd)
}

// Name is the name given to Attach.
func (m *Mapping) Name() string { return m.name }

// Detach takes the mapping out of its segment and ends Serve. The page
// operations still work. It may be called more than once.
func (m *Mapping) Detach() {
	m.segment.remove(m)
	m.stopServing()
}

// Close detaches the mapping and gives its descriptor back, once Serve and
// every operation under way have returned; it does not wait for them. An
// application that is still alive then waits forever where it faults. Close
// may be called more than once.
func (m *Mapping) Close() error {
	m.Detach()
	if m.life.end() {
		unix.Close(m.uffd)
	}
	return nil
}

func (m *Mapping) enter() bool {
	ok, last := m.life.enter()
	if last {
		unix.Close(m.uffd)
	}
	return ok
}

func (m *Mapping) leave() {
	if m.life.leave() {
		unix.Close(m.uffd)
	}
}

// Protect takes the right to store to pages from this mapping alone. Pages
// that the application has unmapped itself are passed over.
func (m *Mapping) Protect(p addr.PageNum, n int64) error {
	m.segment.offset(p, n)
	if !m.enter() {
		return ErrGone
	}
	defer m.leave()
	return m.protect(p, n)
}

// protect halves a range in which the application has mapped something of its
// own: the kernel passes over gaps, but stops at a mapping that is not
// registered, and would leave what lies behind it unprotected.
func (m *Mapping) protect(p addr.PageNum, n int64) error {
	start, size := m.at(p), uint64(n)<<addr.PageShift
	errno := m.writeprotect(start, start+uintptr(size), modeWriteprotectWP)
	if errno != unix.ENOENT || n == 1 {
		m.observe(OpProtect, start, size, 0, nil, errno)
	}
	switch {
	case errno != unix.ENOENT:
		return pageError("protect", p, errno)
	case n == 1:
		return nil
	}
	half := n / 2
	if err := m.protect(p, half); err != nil {
		return err
	}
	return m.protect(p+addr.PageNum(half), n-half)
}

// Unprotect gives the right to store to pages that the mapping has, and wakes
// whoever waits for it. Pages that it does not have stay missing.
func (m *Mapping) Unprotect(p addr.PageNum, n int64) error {
	m.segment.offset(p, n)
	if !m.enter() {
		return ErrGone
	}
	defer m.leave()
	start, size := m.at(p), uint64(n)<<addr.PageShift
	errno := m.writeprotect(start, start+uintptr(size), 0)
	m.observe(OpUnprotect, start, size, 0, nil, errno)
	if errno == 0 {
		m.observe(OpWake, start, size, 0, nil, 0)
	}
	return pageError("unprotect", p, errno)
}

// writeprotect sets or ends protection, and tries again while the kernel is
// busy with the mapping.
func (m *Mapping) writeprotect(start, end uintptr, mode uint64) unix.Errno {
	if start == end {
		return 0
	}
	var b backoff
	for {
		errno := uffdWriteprotect(m.uffd, start, uint64(end-start), mode)
		if !b.again(errno) {
			return errno
		}
	}
}

// Wake makes whoever waits for pages try again: a thread whose page is still
// not accessible faults again.
func (m *Mapping) Wake(p addr.PageNum, n int64) error {
	m.segment.offset(p, n)
	if n == 0 {
		return nil
	}
	if !m.enter() {
		return ErrGone
	}
	defer m.leave()
	size := uint64(n) << addr.PageShift
	errno := uffdWake(m.uffd, m.at(p), size)
	m.observe(OpWake, m.at(p), size, 0, nil, errno)
	return pageError("wake", p, errno)
}

// Poison makes every access to pages of this mapping a SIGBUS and wakes
// whoever waits for them into it. A page that is poisoned already stays so.
// Poison ends when the page is filled or installed anew in this mapping; a
// punch does not end it, and no fault asks for that. Pages that the application
// has unmapped itself are passed over.
//
// Preconditions: the pages are holes. Of one that is not the mapping keeps what it
// has, who waits for it faults again, and the error is ErrExists.
func (m *Mapping) Poison(p addr.PageNum, n int64) error {
	m.segment.offset(p, n)
	if n == 0 {
		return nil
	}
	if !m.enter() {
		return ErrGone
	}
	defer m.leave()
	var (
		at      = m.at(p)
		end     = at + uintptr(n)<<addr.PageShift
		b       backoff
		single  bool    // page by page: the application has unmapped some
		cleared uintptr // the page whose marker was taken away
		passed  bool    // a page was there, or poisoned already
	)
	for at < end {
		done, errno := uffdFill(m.uffd, ioctlPoison, at, stretch(at, end, single), 0)
		if done > 0 {
			m.observe(OpPoison, at, uint64(done), 0, nil, 0)
			at += uintptr(done)
			b = backoff{}
			continue
		}
		switch errno {
		case unix.EEXIST:
			// A page that was protected leaves a marker behind in the page
			// table, which outlives a punch, and which the kernel does not
			// overwrite with poison. A page that is there keeps its protection:
			// whoever waits to store to it has no right to.
			if _, here := m.segment.firstPresent(m.pageAt(at), 1); !here && cleared != at {
				cleared = at
				if errno := m.writeprotect(at, at+addr.PageSize, modeWriteprotectDontWake); errno != 0 {
					return pageError("poison", m.pageAt(at), errno)
				}
				continue
			}
			m.observe(OpPoison, at, addr.PageSize, 0, nil, errno)
			passed = true
			m.wake(at, at+addr.PageSize)
			at += addr.PageSize
			continue
		case unix.ENOENT:
			if single {
				m.observe(OpPoison, at, addr.PageSize, 0, nil, errno)
				at += addr.PageSize
			}
			single = true
			continue
		default:
			if b.again(errno) {
				continue
			}
		}
		m.observe(OpPoison, at, addr.PageSize, 0, nil, errno)
		return pageError("poison", m.pageAt(at), errno)
	}
	if passed {
		if present, ok := m.segment.firstPresent(p, n); ok {
			return &PageError{"poison", present, ErrExists}
		}
	}
	return nil
}
