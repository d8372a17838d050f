package memory

import (
	"fmt"

	"github.com/mome-dsm/mome/impl/addr"
	"golang.org/x/sys/unix"
)

// Install makes pages that are present in the segment accessible in the
// mapping and wakes whoever waits for them; it is what a grant calls. A page
// that the mapping has already is given the right to store if writable is
// set, and keeps what it has otherwise: taking a right away is Protect's.
// Pages that the application has unmapped itself are passed over.
//
// Readers see a page as a whole: what was written to it by way of Page before
// Install is there with the first byte that anybody reads.
//
// Preconditions: every page is present (else ErrHole, and the pages before it
// are done).
func (m *Mapping) Install(p addr.PageNum, n int64, writable bool) error {
	m.segment.offset(p, n)
	if !m.enter() {
		return ErrGone
	}
	defer m.leave()
	var (
		mode    = protected(modeContinueWP, writable)
		b       backoff
		at      = m.at(p)
		end     = at + uintptr(n)<<addr.PageShift
		wake    = at // the pages of [wake, at) were mapped already
		single  bool // page by page: the application has unmapped some
		granted bool // the mapped pages from here on may be stored to
	)
	for at < end {
		done, errno := uffdFill(m.uffd, ioctlContinue, at, stretch(at, end, single), mode)
		if done > 0 {
			m.observe(OpContinue, at, uint64(done), mode, nil, 0)
			m.wake(wake, at)
			at += uintptr(done)
			wake, b = at, backoff{}
			continue
		}
		switch errno {
		case unix.EEXIST:
			m.observe(OpContinue, at, addr.PageSize, mode, nil, errno)
			if writable && !granted {
				size := stretch(at, end, single)
				errno := m.writeprotect(at, at+uintptr(size), modeWriteprotectDontWake)
				m.observe(OpUnprotect, at, size, 0, nil, errno)
				if errno != 0 {
					return pageError("install", m.pageAt(at), errno)
				}
				granted = !single
			}
			at += addr.PageSize
			b = backoff{}
			continue
		case unix.ENOENT:
			if single {
				m.observe(OpContinue, at, addr.PageSize, mode, nil, errno)
				m.wake(wake, at)
				at += addr.PageSize
				wake = at
			}
			single, granted = true, false
			continue
		default:
			if b.again(errno) {
				continue
			}
		}
		m.observe(OpContinue, at, addr.PageSize, mode, nil, errno)
		m.wake(wake, at)
		if errno == unix.EFAULT {
			return &PageError{"install", m.pageAt(at), ErrHole}
		}
		return pageError("install", m.pageAt(at), errno)
	}
	m.wake(wake, at)
	return nil
}

// stretch is how many bytes of [at, end) the next call takes. The kernel
// refuses a range with ENOENT as a whole if any of it is not mapped, wherever
// that is, so that a range with a gap is gone through page by page.
func stretch(at, end uintptr, single bool) uint64 {
	if single {
		return addr.PageSize
	}
	return uint64(end - at)
}

func (m *Mapping) wake(from, to uintptr) {
	if from < to {
		errno := uffdWake(m.uffd, from, uint64(to-from))
		m.observe(OpWake, from, uint64(to-from), 0, nil, errno)
	}
}

// at is where the application has a page, pageAt the page at an address.
func (m *Mapping) at(p addr.PageNum) uintptr { return m.segment.space.Addr(p) }

func (m *Mapping) pageAt(address uintptr) addr.PageNum {
	p, _ := m.segment.space.PageOf(address)
	return p
}

// Copy fills holes of the segment with src, whose length is a multiple of the
// page size, maps them and wakes whoever waits for them. Each page appears as
// a whole. It returns how many pages it did, and stops at a page that is
// present in the segment already (ErrExists, after waking).
func (m *Mapping) Copy(p addr.PageNum, src []byte, writable bool) (int64, error) {
	if len(src)%addr.PageSize != 0 {
		panic(fmt.Sprintf("mome: memory: copy of %d bytes, which are not pages", len(src)))
	}
	n := int64(len(src)) >> addr.PageShift
	m.segment.offset(p, n)
	return m.fill(OpCopy, p, n, src, writable)
}

// zeros is a source of zeros for pages that must stay protected. Nobody writes
// to it, so all of it is the kernel's one page of zeros.
var zeros [256 << addr.PageShift]byte

// Zero fills holes of the segment with zeros, like Copy.
func (m *Mapping) Zero(p addr.PageNum, n int64, writable bool) (int64, error) {
	m.segment.offset(p, n)
	if writable {
		return m.fill(OpZeroPage, p, n, nil, true)
	}
	// ZEROPAGE cannot protect what it maps, and protecting it afterwards would
	// let stores through in between.
	var done int64
	for done < n {
		chunk := min(n-done, int64(len(zeros))>>addr.PageShift)
		k, err := m.fill(OpCopy, p+addr.PageNum(done), chunk, zeros[:chunk<<addr.PageShift], false)
		done += k
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// fill runs one of the ioctls that fill holes until all are done or one is
// refused: OpCopy with src, or OpZeroPage.
func (m *Mapping) fill(op Op, p addr.PageNum, n int64, src []byte, writable bool) (int64, error) {
	if !m.enter() {
		return 0, ErrGone
	}
	defer m.leave()
	var (
		b      backoff
		single bool // page by page: the application has unmapped some
		total  int64
	)
	for total < n {
		var (
			mode    uint64
			at      = m.at(p) + uintptr(total)<<addr.PageShift
			size    = stretch(at, m.at(p)+uintptr(n)<<addr.PageShift, single)
			content []byte
			done    int64
			errno   unix.Errno
		)
		if op == OpCopy {
			content, mode = src[total<<addr.PageShift:], protected(modeCopyWP, writable)
			done, errno = uffdCopy(m.uffd, at, content[:size], mode)
		} else {
			done, errno = uffdFill(m.uffd, ioctlZeropage, at, size, mode)
		}
		if done > 0 {
			m.observe(op, at, uint64(done), mode, content, 0)
			total += done >> addr.PageShift
			b = backoff{}
			continue
		}
		switch errno {
		default:
			if b.again(errno) {
				continue
			}
		case unix.ENOENT:
			if !single {
				single = true
				continue
			}
		}
		m.observe(op, at, addr.PageSize, mode, content, errno)
		if errno == unix.EEXIST {
			// Whoever made the page present woke those who waited then; who
			// came later would wait forever.
			m.wake(at, at+addr.PageSize)
		}
		return total, pageError(opTexts[op], m.pageAt(at), errno)
	}
	return total, nil
}

// opTexts are the operations in errors.
var opTexts = [...]string{OpCopy: "copy", OpZeroPage: "zero"}

// protected is the mode of a filling ioctl: a page that may not be stored to
// is mapped with protection.
func protected(mode uint64, writable bool) uint64 {
	if writable {
		return 0
	}
	return mode
}
