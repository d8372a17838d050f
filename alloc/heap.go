package alloc

import (
	"errors"
	"fmt"
	"sync/atomic"
)

const (
	// HeapSize is how many bytes a heap has.
	HeapSize = 8 << 20
	// HeapWords is how many words they are.
	HeapWords = HeapSize / 8

	pages     = HeapSize / PageSize
	firstPage = 21 // those before hold the header, the page table and the map of live blocks

	magic     = uint64(0x4d6f6d6548656170) // "MomeHeap"
	version   = 1
	versionAt = 1
	tableAt   = PageSize / 8
	liveAt    = tableAt + pages
	liveWords = HeapSize / Alignment / 64
	livePage  = PageSize / Alignment / 64 // words of the map for one page
)

var (
	// ErrFormat: the memory is no heap, or one of another version, or it is damaged.
	ErrFormat = errors.New("not a heap of this version")
	// ErrAddress: an offset at which no live block begins.
	ErrAddress = errors.New("no live block begins here")
	// ErrFull: the heap has no room for what was asked.
	ErrFull = errors.New("out of heap")
	// ErrInvalid: a size or an alignment that no heap can give.
	ErrInvalid = errors.New("invalid size or alignment")
)

// What an entry of the page table says of its page.
const (
	pageFree = iota
	pageSpan // the first of a span: blocks of one class
	pageRun  // the first of a run: one block of whole pages
	pageRest // a later page of either
)

// entry is a word of the page table: its kind, the class of a span, and how many
// pages there are; for a later page, how many pages before it the first one is.
type entry uint64

func newEntry(kind, class, n int) entry { return entry(kind | class<<8 | n<<16) }
func (e entry) kind() int               { return int(e & 0xff) }
func (e entry) class() int              { return int(e >> 8 & 0xff) }
func (e entry) pages() int              { return int(e >> 16 & 0xffff) }

// span is what the process knows of a span. Nothing of it is in shared memory: it
// follows from the page table and the map of live blocks.
type span struct {
	page   int
	class  int
	live   int
	free   []uint32 // offsets of its free blocks, the next to be given last
	listed int      // where it is in Heap.partial, or -1
}

// Heap is a heap that this process allocates from. It is for one goroutine at a time.
type Heap struct {
	words   []uint64
	spans   [pages]*span             // by first page
	partial [numClasses][]*span      // spans with a free block
	stored  func(word int, v uint64) // tests only: sees each store to page table and map
}

// Format makes a heap of HeapWords words, whatever was in them. The header is written
// last: half a heap is none.
func Format(words []uint64) (*Heap, error) {
	if len(words) != HeapWords {
		return nil, fmt.Errorf("alloc: %w: %d words, a heap has %d", ErrInvalid, len(words), HeapWords)
	}
	atomic.StoreUint64(&words[0], 0)
	for i := tableAt; i < liveAt+liveWords; i++ {
		atomic.StoreUint64(&words[i], 0)
	}
	atomic.StoreUint64(&words[versionAt], version)
	atomic.StoreUint64(&words[0], magic)
	return &Heap{words: words}, nil
}

// Open takes over a heap that another process has made, and mends what that process
// left half done if it died. No other process may use the heap any more.
func Open(words []uint64) (*Heap, error) {
	if len(words) != HeapWords {
		return nil, fmt.Errorf("alloc: %w: %d words, a heap has %d", ErrInvalid, len(words), HeapWords)
	}
	if m := atomic.LoadUint64(&words[0]); m != magic {
		return nil, fmt.Errorf("alloc: %w: it begins with %#x", ErrFormat, m)
	}
	if v := atomic.LoadUint64(&words[versionAt]); v != version {
		return nil, fmt.Errorf("alloc: %w: version %d, this program has %d", ErrFormat, v, version)
	}
	h := &Heap{words: words}
	// All is looked at before anything is mended: a damaged heap stays as it is.
	if err := h.Check(); err != nil {
		return nil, err
	}
	for p := firstPage; p < pages; {
		e := h.entry(p)
		switch e.kind() {
		case pageSpan:
			h.adopt(p, e)
		case pageRun:
			if !h.live(p * PageSize) {
				h.setEntry(p, 0)
			}
		default:
			// A later page of what was never finished, or is no more.
			h.setEntry(p, 0)
			p++
			continue
		}
		p += e.pages()
	}
	return h, nil
}

// adopt learns from the map of live blocks what is free in a span.
func (h *Heap) adopt(p int, e entry) {
	s := &span{page: p, class: e.class(), listed: -1}
	size := sizes[s.class]
	for off := p*PageSize + (e.pages()*PageSize/size-1)*size; off >= p*PageSize; off -= size {
		if h.live(off) {
			s.live++
		} else {
			s.free = append(s.free, uint32(off))
		}
	}
	h.spans[p] = s
	if len(s.free) > 0 {
		h.list(s)
	}
	h.trim(s)
}

func (h *Heap) entry(page int) entry { return entry(atomic.LoadUint64(&h.words[tableAt+page])) }

func (h *Heap) setEntry(page int, e entry) {
	atomic.StoreUint64(&h.words[tableAt+page], uint64(e))
	if h.stored != nil {
		h.stored(tableAt+page, uint64(e))
	}
}

func (h *Heap) live(off int) bool {
	return atomic.LoadUint64(&h.words[liveAt+off/(64*Alignment)])>>(off/Alignment%64)&1 != 0
}

// flip makes a free block live or a live one free, with one store. Only the process
// that has the heap writes the map, so what it has read is still so.
//
// The store is a plain one, without the barrier of an atomic one, which would be most
// of the time of Malloc and Free. It is of an aligned word, so it is made whole. Nobody
// else reads the map meanwhile: another goroutine or process comes after the
// synchronization that hands the heap over, or after the death of this process, which
// leaves what it executed, in its order. Stores to the page table are atomic, and the
// compiler moves no other store across them. In a span no order is needed but that.
func (h *Heap) flip(off int) {
	w := liveAt + off/(64*Alignment)
	v := h.words[w] ^ 1<<(off/Alignment%64)
	h.words[w] = v
	if h.stored != nil {
		h.stored(w, v)
	}
}

// Malloc is the offset of a new block of at least size bytes, aligned to 16. What it
// holds is undefined. A block of no bytes has an offset of its own.
func (h *Heap) Malloc(size int) (int, error) {
	if uint(size) > largest {
		return h.mallocRun(size)
	}
	return h.mallocClass(classOf(max(size, 1)))
}

func (h *Heap) mallocClass(c int) (int, error) {
	if len(h.partial[c]) == 0 {
		if err := h.newSpan(c); err != nil {
			return 0, err
		}
	}
	s := h.partial[c][len(h.partial[c])-1]
	off := int(s.free[len(s.free)-1])
	s.free = s.free[:len(s.free)-1]
	if len(s.free) == 0 {
		h.unlist(s)
	}
	s.live++
	h.flip(off)
	return off, nil
}

func (h *Heap) mallocRun(size int) (int, error) {
	if size < 0 {
		return 0, fmt.Errorf("alloc: %w: %d bytes", ErrInvalid, size)
	}
	if size > HeapSize-firstPage*PageSize {
		return 0, fmt.Errorf("alloc: %w: %d bytes asked, a heap holds at most %d", ErrFull, size, HeapSize-firstPage*PageSize)
	}
	n := (size + PageSize - 1) / PageSize
	p, err := h.place(n)
	if err != nil {
		return 0, err
	}
	h.setEntry(p, newEntry(pageRun, 0, n))
	h.flip(p * PageSize)
	return p * PageSize, nil
}

func (h *Heap) newSpan(c int) error {
	p, err := h.place(spanPages[c])
	if err != nil {
		return err
	}
	h.setEntry(p, newEntry(pageSpan, c, spanPages[c]))
	h.adopt(p, h.entry(p))
	return nil
}

// place finds n free pages and marks all but the first. Until the first has its entry
// they are still free. If there are too few, empty spans that were kept go first.
func (h *Heap) place(n int) (int, error) {
	p, most := h.firstFit(n)
	if p == 0 && h.dropEmpty() {
		p, most = h.firstFit(n)
	}
	if p == 0 {
		return 0, fmt.Errorf("alloc: %w: %d bytes of pages asked, the longest free run has %d", ErrFull, n*PageSize, most*PageSize)
	}
	for i := 1; i < n; i++ {
		h.setEntry(p+i, newEntry(pageRest, 0, i))
	}
	return p, nil
}

// dropEmpty gives the pages of all empty spans back, and tells whether there were any.
func (h *Heap) dropEmpty() (any bool) {
	for _, s := range h.spans {
		if s != nil && s.live == 0 {
			h.drop(s)
			any = true
		}
	}
	return any
}

// firstFit is the first of n free pages, or 0; and the longest run that it has seen.
func (h *Heap) firstFit(n int) (page, most int) {
	free := 0
	for p := firstPage; p < pages; {
		if k := h.entry(p).kind(); k == pageSpan || k == pageRun {
			p += h.entry(p).pages()
			free = 0
			continue
		}
		p++
		free++
		most = max(most, free)
		if free == n {
			return p - n, most
		}
	}
	return 0, most
}

// Aligned is Malloc for a block whose offset is a multiple of align, a power of two
// of at most PageSize.
func (h *Heap) Aligned(size, align int) (int, error) {
	if align <= 0 || align > PageSize || align&(align-1) != 0 {
		return 0, fmt.Errorf("alloc: %w: an alignment of %d, not a power of two up to %d", ErrInvalid, align, PageSize)
	}
	if size < 0 || size > largest {
		return h.mallocRun(size)
	}
	// Spans begin with a page: where the size is a multiple, every block is aligned.
	// A power of two is among the classes above, so the search ends.
	c := classOf(max(size, align, 1))
	for sizes[c]%align != 0 {
		c++
	}
	return h.mallocClass(c)
}

// Calloc is Malloc with all bytes of the block zero.
func (h *Heap) Calloc(size int) (int, error) {
	off, err := h.Malloc(size)
	if err == nil {
		_, n, _ := h.block(off)
		clear(h.words[off/8 : (off+n)/8])
	}
	return off, err
}

// Realloc gives a block of size bytes with the old one's contents, as far as both
// reach. On error the old block is as it was.
func (h *Heap) Realloc(off, size int) (int, error) {
	_, have, err := h.block(off)
	if err != nil {
		return 0, err
	}
	if size >= 0 && size <= have && size > have/2 {
		return off, nil
	}
	to, err := h.Malloc(size)
	if err != nil {
		return 0, err
	}
	_, n, _ := h.block(to)
	copy(h.words[to/8:(to+n)/8], h.words[off/8:(off+have)/8])
	return to, h.Free(off)
}

// UsableSize is how many bytes the block at off has.
func (h *Heap) UsableSize(off int) (int, error) {
	_, n, err := h.block(off)
	return n, err
}

// Free gives a block back. An offset at which no live block begins is an error that
// says why, and changes nothing.
func (h *Heap) Free(off int) error {
	s, _, err := h.block(off)
	if err != nil {
		return err
	}
	h.flip(off)
	if s == nil {
		h.setEntry(off/PageSize, 0)
		return nil
	}
	s.live--
	s.free = append(s.free, uint32(off))
	if s.listed < 0 {
		h.list(s)
	}
	if s.live == 0 {
		h.trim(s)
	}
	return nil
}

// trim gives the pages of an empty span back, unless it is the only one of its class
// with room: a block that is freed and allocated again must not make a span each time.
func (h *Heap) trim(s *span) {
	if s.live == 0 && len(h.partial[s.class]) > 1 {
		h.drop(s)
	}
}

func (h *Heap) drop(s *span) {
	h.unlist(s)
	h.spans[s.page] = nil
	h.setEntry(s.page, 0)
}

func (h *Heap) list(s *span) {
	s.listed = len(h.partial[s.class])
	h.partial[s.class] = append(h.partial[s.class], s)
}

func (h *Heap) unlist(s *span) {
	all := h.partial[s.class]
	last := all[len(all)-1]
	all[s.listed] = last
	last.listed = s.listed
	h.partial[s.class] = all[:len(all)-1]
	s.listed = -1
}

// block is the span and the size of the live block that begins at off; a run has no span.
func (h *Heap) block(off int) (*span, int, error) {
	if uint(off) >= HeapSize {
		return nil, 0, fmt.Errorf("alloc: offset %#x: %w: it is outside the heap, which has %#x bytes", off, ErrAddress, HeapSize)
	}
	p := off / PageSize
	e := h.entry(p)
	if e.kind() == pageRest {
		p -= e.pages()
		first := h.entry(p)
		if k := first.kind(); k != pageSpan && k != pageRun || first.pages() <= e.pages() {
			p, first = off/PageSize, 0
		}
		e = first
	}
	in := off - p*PageSize
	switch {
	case e.kind() == pageSpan && begins(in, e.class()) && h.live(off):
		return h.spans[p], sizes[e.class()], nil
	case e.kind() == pageRun && in == 0 && h.live(off):
		return nil, e.pages() * PageSize, nil
	}
	return nil, 0, fmt.Errorf("alloc: offset %#x: %w: %s", off, ErrAddress, h.why(off, p, e))
}

func (h *Heap) why(off, p int, e entry) string {
	switch {
	case p < firstPage:
		return "it is in the heap's own pages"
	case off%Alignment != 0:
		return fmt.Sprintf("it is not a multiple of %d", Alignment)
	case e.kind() == pageRun && off > p*PageSize:
		return fmt.Sprintf("it is inside the block at %#x", p*PageSize)
	case e.kind() == pageSpan && (off-p*PageSize)%sizes[e.class()] != 0:
		in := off - p*PageSize
		return fmt.Sprintf("it is inside the place of a block of %d bytes at %#x", sizes[e.class()], off-in%sizes[e.class()])
	case e.kind() == pageSpan:
		return "the block is free: it was freed already, or never given out"
	}
	return "its page holds no block: it was freed already, or never given out"
}
