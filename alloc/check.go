package alloc

import (
	"fmt"
	"math/bits"
	"sync/atomic"
)

// Stat is what a heap holds.
type Stat struct {
	Blocks int `json:"blocks"` // live
	Bytes  int `json:"bytes"`  // of them, as UsableSize counts
	Pages  int `json:"pages"`  // of spans and runs
	Free   int `json:"free"`   // pages of neither
}

// Stat counts what is in the heap.
func (h *Heap) Stat() Stat {
	var st Stat
	for p := firstPage; p < pages; {
		e := h.entry(p)
		n := e.pages()
		switch e.kind() {
		case pageSpan:
			live := h.count(p, n)
			st.Blocks += live
			st.Bytes += live * sizes[e.class()]
			st.Pages += n
		case pageRun:
			st.Blocks++
			st.Bytes += n * PageSize
			st.Pages += n
		default:
			n = 1
			st.Free++
		}
		p += n
	}
	return st
}

// count is how many live blocks the map has in n pages.
func (h *Heap) count(page, n int) (live int) {
	for i := liveAt + page*livePage; i < liveAt+(page+n)*livePage; i++ {
		live += bits.OnesCount64(atomic.LoadUint64(&h.words[i]))
	}
	return live
}

// Check tells whether page table and map agree: spans and runs within the heap, their
// later pages marked as theirs, live blocks where blocks can begin and nowhere else.
func (h *Heap) Check() error {
	if n := h.count(0, firstPage); n > 0 {
		return fmt.Errorf("alloc: %w: %d live blocks in the heap's own pages", ErrFormat, n)
	}
	for p := firstPage; p < pages; {
		e := h.entry(p)
		n, size := e.pages(), 0
		switch e.kind() {
		case pageFree, pageRest:
			if h.count(p, 1) > 0 {
				return fmt.Errorf("alloc: %w: page %d is free and has live blocks", ErrFormat, p)
			}
			p++
			continue
		case pageSpan:
			if e.class() >= numClasses || n != spanPages[e.class()] {
				return fmt.Errorf("alloc: %w: page %d begins a span of class %d with %d pages", ErrFormat, p, e.class(), n)
			}
			size = sizes[e.class()]
		case pageRun:
			size = n * PageSize
		default:
			return fmt.Errorf("alloc: %w: page %d is of kind %d", ErrFormat, p, e.kind())
		}
		if n == 0 || p+n > pages {
			return fmt.Errorf("alloc: %w: page %d begins %d pages of %d", ErrFormat, p, n, pages)
		}
		for i := 1; i < n; i++ {
			if h.entry(p+i) != newEntry(pageRest, 0, i) {
				return fmt.Errorf("alloc: %w: page %d is not marked as of the pages from %d on", ErrFormat, p+i, p)
			}
		}
		live := 0
		for off := p * PageSize; off+size <= (p+n)*PageSize; off += size {
			if h.live(off) {
				live++
			}
		}
		if all := h.count(p, n); all != live {
			return fmt.Errorf("alloc: %w: %d live blocks from page %d on begin inside others", ErrFormat, all-live, p)
		}
		p += n
	}
	return nil
}
