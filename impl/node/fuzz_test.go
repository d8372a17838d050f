package node

import (
	"errors"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"github.com/mome-dsm/mome/impl/client"
	"github.com/mome-dsm/mome/impl/client/attachpb"
	"github.com/mome-dsm/mome/impl/protocol"
)

// FuzzRange takes any range of bytes that an application may name. What is
// accepted is pages of the segment, and those that hold the bytes; all else is
// refused as invalid.
func FuzzRange(f *testing.F) {
	for _, r := range [][2]uint64{{0, 0}, {0, 1}, {4095, 2}, {8192, 4096}, {1 << 20, 0}, {1<<20 + 1, 0}, {1, 1 << 20},
		{1 << 63, 1 << 63}, {1<<64 - 1, 2}} {
		f.Add(uint32(16), uint32(256), uint64(3), r[0], r[1])
	}
	f.Add(uint32(1<<32-1), uint32(1), uint64(3), uint64(0), uint64(4096))
	f.Add(uint32(0), uint32(4), uint64(4), uint64(0), uint64(4096))
	f.Fuzz(func(t *testing.T, first, pages uint32, generation uint64, offset, length uint64) {
		if pages == 0 || int64(first)+int64(pages) > addr.Pages {
			return // the configuration has no such segment
		}
		const mapped = 3
		s := &segment{core: protocol.Segment{First: addr.PageNum(first), Pages: int64(pages), Generation: mapped}}
		a := &application{mappings: map[uint64]*mapping{mapped: {seg: s}}}
		m, from, count, err := a.rangeOf(&attachpb.Range{Offset: offset, Length: length,
			Segment: &attachpb.SegmentRef{Name: "s", Generation: generation}})
		size := uint64(pages) << addr.PageShift
		valid := generation == mapped && offset <= size && length <= size-offset
		if err != nil {
			if valid || !errors.Is(err, client.ErrInvalid) {
				t.Fatalf("[%d, +%d) of %d bytes: %v", offset, length, size, err)
			}
			return
		}
		if !valid || m.seg != s {
			t.Fatalf("[%d, +%d) of %d bytes, generation %d: accepted", offset, length, size, generation)
		}
		if length == 0 {
			length = size - offset
		}
		begin, end := uint64(from-s.core.First)<<addr.PageShift, (uint64(from-s.core.First)+uint64(count))<<addr.PageShift
		if count < 0 || end > size || length > 0 && (begin > offset || offset-begin >= addr.PageSize ||
			end < offset+length || end-(offset+length) >= addr.PageSize) {
			t.Fatalf("[%d, +%d) of %d bytes: pages %d, +%d of the segment at %d", offset, length, size, from, count, first)
		}
	})
}
