package addr

import "fmt"

// Base is the address of page 0 of the global space, the same in every process
// of a cluster. The space goes up from it, in one piece.
//
// What programs on x86-64 keep for themselves, by the sources of the Linux
// kernel, of Go 1.26 and of LLVM's compiler-rt (GCC's sanitizers are its too):
//
//	kernel         position-independent programs and their heaps from
//	               0x5555_5555_4000 up, 1 TiB of random places (16 TiB at the widest,
//	               vm.mmap_rnd_bits 32), and mmap's own choices from 0x7fff_ffff_f000
//	               down, as far
//	Go             the heap, at random below 0x4000_0000_0000; under its race
//	               detector, and older versions, from 0x00c0_0000_0000 up, and the
//	               detector's shadow 0x2000_0000_0000 to 0x4000_0000_0000
//	AddressSan.    shadow 0x0000_7fff_8000 to 0x1000_7fff_8000; allocator, 4 TiB from
//	               0x5000_0000_0000 or 0x6000_0000_0000 or where mmap chooses
//	ThreadSan.     maps and follows nothing but 0 to 0x0080_0000_0000,
//	               0x5500_0000_0000 to 0x5680_0000_0000 (or 0x5a00_0000_0000) and what
//	               lies above 0x7a00_0000_0000, of which it needs the most itself
//	MemorySan.     nothing but 0 to 0x0100_0000_0000, 0x5100_0000_0000 to
//	               0x6000_0000_0000 and 0x7000_0000_0000 to 0x8000_0000_0000
//
// So no 16 TiB are free for all of them. DefaultBase leaves 16 TiB free for all but
// the last two, and NarrowBase 341 GiB for every one: those are the only addresses
// that all seven leave, whatever vm.mmap_rnd_bits is.
type Base uint64

const (
	DefaultBase = Base(0x4000_0000_0000)
	NarrowBase  = Base(0x5500_0000_0000)
)

// BaseUnit is what a base is a multiple of: 1 GiB. A base is between LeastBase
// and MostEnd, where the space ends at the latest: the next unit has programs.
const (
	BaseUnit  = 1 << 30
	LeastBase = Base(1 << 32)
	MostEnd   = Base(0x5555_5555_4000) &^ (BaseUnit - 1)
)

// Check says why a base cannot be; nil if it can.
func (b Base) Check() error {
	if b%BaseUnit != 0 || b < LeastBase || b >= MostEnd {
		return fmt.Errorf("base %v: give a multiple of 1 GiB (0x40000000) from %v to %v", b, LeastBase, MostEnd-BaseUnit)
	}
	return nil
}

func (b Base) String() string { return fmt.Sprintf("%#x", uint64(b)) }

// Pages is how many pages the global space has from this base on.
func (b Base) Pages() int64 { return min(Pages, int64(MostEnd-b)>>PageShift) }

// Addr is where the page's first byte is mapped in every process.
func (b Base) Addr(p PageNum) uintptr { return uintptr(b) + uintptr(p)<<PageShift }

// PageOf is the page that holds the address. The second result is false where
// the address is outside the global space.
func (b Base) PageOf(address uintptr) (PageNum, bool) {
	page := (int64(address) - int64(b)) >> PageShift
	return PageNum(page), page >= 0 && page < b.Pages()
}

// Holds says whether pages [first, first+n) are within the global space, and at
// least one.
func (b Base) Holds(first PageNum, n int64) bool {
	return n > 0 && n <= b.Pages()-int64(first)
}
