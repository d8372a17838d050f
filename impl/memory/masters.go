//go:build linux

package memory

import (
	"fmt"
	"sync/atomic"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/internal/limits"
	"golang.org/x/sys/unix"
)

// Pool is memory for master copies: pages that no process maps, and that need
// neither a file nor a descriptor. It takes address space a chunk at a time;
// a place in it has memory while it holds a page, and no longer.
//
// Its owner orders all calls on it and on its Masters, but for Pages.
type Pool struct {
	chunks [][]byte
	free   []place // they have no memory
	kept   atomic.Int64
}

// place is where one page of a Pool is: the chunk, and the page in it.
type place uint32

// chunkPages is how many pages of address space a Pool takes at a time. The
// kernel joins neighbouring chunks to one mapping.
const chunkPages = 256

// Pages is how many pages the pool holds: exactly, and at any time.
func (p *Pool) Pages() int64 { return p.kept.Load() }

// take is a place without memory.
func (p *Pool) take() (place, error) {
	if len(p.free) == 0 {
		if err := p.grow(); err != nil {
			return 0, err
		}
	}
	at := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	p.kept.Add(1)
	return at, nil
}

func (p *Pool) grow() error {
	const size = chunkPages << addr.PageShift
	if err := limits.Space(size, limits.ForPages); err != nil {
		return err
	}
	start, errno := mmapPrivate(size)
	if errno != 0 {
		return fmt.Errorf("mmap of %d bytes: %w", size, errno)
	}
	if err := adviseMapping(start, size); err != nil {
		munmap(start, size)
		return err
	}
	first := place(len(p.chunks) * chunkPages)
	p.chunks = append(p.chunks, bytesAt(start, size))
	for i := place(chunkPages); i > 0; i-- { // the first is taken first
		p.free = append(p.free, first+i-1)
	}
	return nil
}

// page is the memory of a place.
func (p *Pool) page(at place) []byte {
	off := int(at%chunkPages) << addr.PageShift
	return p.chunks[at/chunkPages][off : off+addr.PageSize : off+addr.PageSize]
}

// release returns a place to the pool, and its memory to the kernel.
func (p *Pool) release(at place) error {
	if errno := madvise(addressOf(p.page(at)), addr.PageSize, unix.MADV_DONTNEED); errno != 0 {
		return errno
	}
	p.free = append(p.free, at)
	p.kept.Add(-1)
	return nil
}

// Close gives everything back.
//
// Preconditions: nobody uses the pool, its Masters or their pages any more.
func (p *Pool) Close() error {
	var first error
	for _, c := range p.chunks {
		if errno := munmap(addressOf(c), int64(len(c))); errno != 0 && first == nil {
			first = errno
		}
	}
	p.chunks, p.free = nil, nil
	p.kept.Store(0)
	return first
}

// Masters is the master copies of pages of one segment, in a Pool that all
// methods are given. The zero value has none.
type Masters struct{ at map[addr.PageNum]place }

// Len is how many there are.
func (m *Masters) Len() int { return len(m.at) }

// All calls yield for each page that there is a copy of, in no order.
func (m *Masters) All(yield func(addr.PageNum) bool) {
	for p := range m.at {
		if !yield(p) {
			return
		}
	}
}

// Fill makes src, which is one page, the content of a page. An error says that
// there is no memory, and changes nothing.
func (m *Masters) Fill(pool *Pool, p addr.PageNum, src []byte) error {
	if len(src) != addr.PageSize {
		panic(fmt.Sprintf("mome: memory: master copy of %v with %d bytes, which are not a page", p, len(src)))
	}
	at, ok := m.at[p]
	if !ok {
		var err error
		if at, err = pool.take(); err != nil {
			return &PageError{"master copy", p, err}
		}
		if m.at == nil {
			m.at = make(map[addr.PageNum]place)
		}
		m.at[p] = at
	}
	copy(pool.page(at), src)
	return nil
}

// Page is the content of a page, valid until it is dropped.
//
// Preconditions: it was filled and not dropped since.
func (m *Masters) Page(pool *Pool, p addr.PageNum) []byte {
	at, ok := m.at[p]
	if !ok {
		panic(fmt.Sprintf("mome: memory: there is no master copy of %v", p))
	}
	return pool.page(at)
}

// Drop forgets a page, if it is there. With an error it is there as before.
func (m *Masters) Drop(pool *Pool, p addr.PageNum) error {
	at, ok := m.at[p]
	if !ok {
		return nil
	}
	if err := pool.release(at); err != nil {
		return &PageError{"drop the master copy of", p, err}
	}
	delete(m.at, p)
	return nil
}

// DropSome drops up to n pages, whichever.
func (m *Masters) DropSome(pool *Pool, n int) error {
	for p := range m.at {
		if n == 0 {
			break
		}
		if err := m.Drop(pool, p); err != nil {
			return err
		}
		n--
	}
	return nil
}
