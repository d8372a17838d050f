package addr

import "testing"

// A space is in one piece, within what programs leave free, and as long as there.
func TestBase(t *testing.T) {
	for _, c := range []struct {
		base  Base
		pages int64 // 0: it cannot be
	}{
		{DefaultBase, 1 << 32}, {NarrowBase, 341 << 18}, {LeastBase, 1 << 32}, {MostEnd - BaseUnit, 1 << 18},
		{MostEnd - Base(Space), 1 << 32}, {MostEnd - Base(Space) + BaseUnit, 1<<32 - 1<<18},
		{0, 0}, {LeastBase - BaseUnit, 0}, {MostEnd, 0}, {1 << 63, 0}, {1<<64 - BaseUnit, 0}, {DefaultBase + PageSize, 0}, {NarrowBase - 1, 0},
	} {
		if err := c.base.Check(); (err == nil) != (c.pages > 0) {
			t.Errorf("%v: %v", c.base, err)
		}
		if c.pages == 0 {
			continue
		}
		if got := c.base.Pages(); got != c.pages {
			t.Errorf("%v has %d pages, want %d", c.base, got, c.pages)
		}
		last := PageNum(c.pages - 1)
		for _, p := range []PageNum{0, 1, last} {
			if got, ok := c.base.PageOf(c.base.Addr(p) + PageSize - 1); !ok || got != p {
				t.Errorf("%v: the last byte of %v is in %v, %v", c.base, p, got, ok)
			}
		}
		for _, address := range []uintptr{0, uintptr(c.base) - 1, c.base.Addr(last) + PageSize, 1 << 63, 1<<64 - 1} {
			if p, ok := c.base.PageOf(address); ok {
				t.Errorf("%v: %#x is in %v", c.base, address, p)
			}
		}
		for _, r := range []struct {
			first PageNum
			n     int64
			held  bool
		}{{0, c.pages, true}, {last, 1, true}, {0, c.pages + 1, false}, {last, 2, false}, {1, c.pages, false}, {0, 0, false}, {0, -1, false}, {1, 1<<63 - 1, false}} {
			if c.base.Holds(r.first, r.n) != r.held {
				t.Errorf("%v holds %d pages from %v: want %v", c.base, r.n, r.first, r.held)
			}
		}
	}
}
