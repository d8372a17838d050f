package alloc

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func newHeap(t testing.TB) *Heap {
	t.Helper()
	h, err := Format(make([]uint64, HeapWords))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestClasses: the class of a size is the smallest that holds it, and loses at most an
// eighth of a block or less than the alignment. Where blocks of a class begin is known
// for each byte of its spans.
func TestClasses(t *testing.T) {
	for size := 1; size <= largest; size++ {
		c := classOf(size)
		if sizes[c] < size || c > 0 && sizes[c-1] >= size {
			t.Fatalf("%d bytes have class %d, of %d bytes", size, c, sizes[c])
		}
		if lost := sizes[c] - size; lost >= Alignment && lost*8 > sizes[c] {
			t.Fatalf("%d bytes have a block of %d", size, sizes[c])
		}
	}
	for c, size := range sizes {
		if size%Alignment != 0 || spanPages[c]*PageSize%size*16 > spanPages[c]*PageSize {
			t.Errorf("class %d: blocks of %d bytes in spans of %d pages", c, size, spanPages[c])
		}
		for in := range spanPages[c] * PageSize {
			if begins(in, c) != (in%size == 0) {
				t.Fatalf("class %d, of %d bytes: begins(%d) is %v", c, size, in, begins(in, c))
			}
		}
	}
}

// model is what a heap should hold.
type model struct {
	size  map[int]int    // of each live block, as asked
	value map[int]uint64 // what was written to all its whole words
	offs  []int
	next  uint64
}

func (m *model) fill(h *Heap, off, size int) {
	m.next++
	m.size[off], m.value[off] = size, m.next
	m.offs = append(m.offs, off)
	for i := range size / 8 {
		h.words[off/8+i] = m.next
	}
}

func (m *model) verify(t *rapid.T, h *Heap, off, n int) {
	for i := range n / 8 {
		if got := h.words[off/8+i]; got != m.value[off] {
			t.Fatalf("word %d of the block at %#x is %d, it was %d: blocks overlap", i, off, got, m.value[off])
		}
	}
}

func (m *model) forget(off int) {
	m.offs = slices.DeleteFunc(m.offs, func(o int) bool { return o == off })
	delete(m.size, off)
	delete(m.value, off)
}

// TestHistories: random histories against a model. Blocks are aligned, keep what was
// written, and survive that another process takes the heap over.
func TestHistories(t *testing.T) {
	words := make([]uint64, HeapWords)
	rapid.Check(t, func(t *rapid.T) {
		h, err := Format(words)
		if err != nil {
			t.Fatal(err)
		}
		m := &model{size: map[int]int{}, value: map[int]uint64{}}
		size := rapid.OneOf(rapid.IntRange(0, 256), rapid.IntRange(0, 40000), rapid.IntRange(0, 2<<20))
		took := func(off, n, align int, err error) {
			if errors.Is(err, ErrFull) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			usable, err := h.UsableSize(off)
			if err != nil || usable < n || off%align != 0 || off < firstPage*PageSize || off+usable > HeapSize {
				t.Fatalf("%d bytes aligned to %d are at %#x, usable %d, %v", n, align, off, usable, err)
			}
			if _, is := m.size[off]; is {
				t.Fatalf("%#x was given out twice", off)
			}
			m.fill(h, off, usable)
		}
		pick := func(t *rapid.T) int {
			if len(m.offs) == 0 {
				t.Skip("no block")
			}
			return rapid.SampledFrom(m.offs).Draw(t, "block")
		}
		t.Repeat(map[string]func(*rapid.T){
			"malloc": func(t *rapid.T) {
				n := size.Draw(t, "size")
				off, err := h.Malloc(n)
				took(off, n, Alignment, err)
			},
			"aligned": func(t *rapid.T) {
				n, align := size.Draw(t, "size"), 1<<rapid.IntRange(4, 12).Draw(t, "align")
				off, err := h.Aligned(n, align)
				took(off, n, align, err)
			},
			"calloc": func(t *rapid.T) {
				n := size.Draw(t, "size")
				off, err := h.Calloc(n)
				if err == nil && slices.ContainsFunc(h.words[off/8:(off+n)/8], func(w uint64) bool { return w != 0 }) {
					t.Fatalf("the block at %#x is not zero", off)
				}
				took(off, n, Alignment, err)
			},
			"realloc": func(t *rapid.T) {
				off, n := pick(t), size.Draw(t, "size")
				to, err := h.Realloc(off, n)
				if errors.Is(err, ErrFull) {
					m.verify(t, h, off, m.size[off])
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				m.value[to] = m.value[off]
				m.verify(t, h, to, min(n, m.size[off]))
				m.forget(off)
				took(to, n, Alignment, nil)
			},
			"free": func(t *rapid.T) {
				off := pick(t)
				m.verify(t, h, off, m.size[off])
				if err := h.Free(off); err != nil {
					t.Fatal(err)
				}
				m.forget(off)
				if err := h.Free(off); !errors.Is(err, ErrAddress) {
					t.Fatalf("the second free of %#x: %v", off, err)
				}
			},
			"wrong free": func(t *rapid.T) {
				off := rapid.IntRange(-PageSize, HeapSize+PageSize).Draw(t, "offset")
				if _, is := m.size[off]; is {
					t.Skip("a block")
				}
				if err := h.Free(off); !errors.Is(err, ErrAddress) {
					t.Fatalf("free of %#x: %v", off, err)
				}
			},
			"take over": func(t *rapid.T) {
				var err error
				if h, err = Open(words); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				if err := h.Check(); err != nil {
					t.Fatal(err)
				}
				bytes := 0
				for _, n := range m.size {
					bytes += n
				}
				if st := h.Stat(); st.Blocks != len(m.size) || st.Bytes != bytes || st.Pages+st.Free != pages-firstPage {
					t.Fatalf("%+v with %d blocks of %d bytes", st, len(m.size), bytes)
				}
			},
		})
	})
}

// TestFull: a full heap says what was asked; emptied, it holds its largest block.
func TestFull(t *testing.T) {
	h := newHeap(t)
	for _, size := range []int{16, 100, 5000, largest, 100000} {
		var all []int
		for {
			off, err := h.Malloc(size)
			if errors.Is(err, ErrFull) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, off)
		}
		if used := len(all) * size; used < HeapSize*8/10 {
			t.Errorf("full with %d blocks of %d bytes, %d of %d", len(all), size, used, HeapSize)
		}
		for _, off := range all {
			if err := h.Free(off); err != nil {
				t.Fatal(err)
			}
		}
		off, err := h.Malloc(HeapSize - firstPage*PageSize)
		if err != nil {
			t.Fatalf("after blocks of %d bytes: %v", size, err)
		}
		if err := h.Free(off); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Malloc(HeapSize); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "8388608 bytes asked") {
		t.Errorf("a block of a heap's size: %v", err)
	}
}

// TestAddresses: a wrong free says what is wrong, and changes nothing.
func TestAddresses(t *testing.T) {
	h := newHeap(t)
	small, _ := h.Malloc(48)
	big, _ := h.Malloc(100000)
	gone, _ := h.Malloc(48)
	if err := h.Free(gone); err != nil {
		t.Fatal(err)
	}
	// A later page of a run that is no more, behind a shorter one in its place.
	long, _ := h.Malloc(50 * PageSize)
	if err := h.Free(long); err != nil {
		t.Fatal(err)
	}
	if short, _ := h.Malloc(40 * PageSize); short != long {
		t.Fatalf("blocks at %#x and %#x", long, short)
	}
	before := h.Stat()
	for off, want := range map[int]string{
		-1:             "outside the heap",
		HeapSize:       "outside the heap",
		64:             "the heap's own pages",
		small + 8:      "not a multiple of 16",
		small + 16:     "inside the place of a block of 48 bytes",
		big + PageSize: "inside the block at",
		gone:           "freed already",
		HeapSize - 16:  "its page holds no block",

		long + 39*PageSize: "inside the block at",
		long + 45*PageSize: "its page holds no block",
	} {
		if err := h.Free(off); !errors.Is(err, ErrAddress) || !strings.Contains(err.Error(), want) {
			t.Errorf("free of %#x: %v; want %q", off, err, want)
		}
	}
	if st := h.Stat(); st != before || st.Blocks != 3 {
		t.Errorf("%+v, before %+v", st, before)
	}
}

// store is one that a heap has made to its page table or map.
type store struct {
	word  int
	value uint64
}

// storesOf are the stores that an operation makes, in their order.
func storesOf(t *testing.T, h *Heap, do func() error) (made []store) {
	t.Helper()
	h.stored = func(word int, v uint64) { made = append(made, store{word, v}) }
	defer func() { h.stored = nil }()
	if err := do(); err != nil {
		t.Fatal(err)
	}
	return made
}

// TestDeath: an allocation and a free make the stores of FORMAT.md in its order. After
// whichever of them a process dies, the next one finds every other block.
func TestDeath(t *testing.T) {
	// The words of FORMAT.md's table, for pages from that of off on.
	rest := func(off, n int) (words []int) {
		for i := 1; i < n; i++ {
			words = append(words, tableAt+off/PageSize+i)
		}
		return words
	}
	first := func(off int) int { return tableAt + off/PageSize }
	bit := func(off int) int { return liveAt + off/(64*Alignment) }
	small, big := 48, 100000
	spanOf, runOf := spanPages[classOf(small)], (big+PageSize-1)/PageSize

	h := newHeap(t)
	kept, err := h.Malloc(5000)
	if err != nil {
		t.Fatal(err)
	}
	var off, second, run int
	malloc := func(at *int, size int) func() error {
		return func() (err error) { *at, err = h.Malloc(size); return err }
	}
	free := func(at *int) func() error { return func() error { return h.Free(*at) } }
	for _, c := range []struct {
		name   string
		do     func() error
		stores func() []int
		change int // of the number of live blocks
	}{
		{"new span", malloc(&off, small), func() []int { return append(rest(off, spanOf), first(off), bit(off)) }, 1},
		{"allocate in a span", malloc(&second, small), func() []int { return []int{bit(second)} }, 1},
		{"new run", malloc(&run, big), func() []int { return append(rest(run, runOf), first(run), bit(run)) }, 1},
		{"free in a span", free(&off), func() []int { return []int{bit(off)} }, -1},
		{"free a run", free(&run), func() []int { return []int{bit(run), first(run)} }, -1},
	} {
		before, blocks := slices.Clone(h.words), h.Stat().Blocks
		made := storesOf(t, h, c.do)
		var words []int
		for _, s := range made {
			words = append(words, s.word)
		}
		if want := c.stores(); !slices.Equal(words, want) {
			t.Errorf("%s: stores to words %d, FORMAT.md has %d", c.name, words, want)
		}
		for n := range len(made) + 1 {
			state := slices.Clone(before)
			for _, s := range made[:n] {
				state[s.word] = s.value
			}
			// A block is live from the last store of its allocation on, and until the first
			// of its free.
			want := blocks
			if c.change > 0 && n == len(made) || c.change < 0 && n > 0 {
				want += c.change
			}
			next, err := Open(state)
			if err != nil {
				t.Errorf("%s, %d of %d stores: %v", c.name, n, len(made), err)
				continue
			}
			if st := next.Stat(); st.Blocks != want {
				t.Errorf("%s, %d of %d stores: %+v, want %d blocks", c.name, n, len(made), st, want)
			}
			if err := errors.Join(next.Check(), next.Free(kept)); err != nil {
				t.Errorf("%s, %d of %d stores: %v", c.name, n, len(made), err)
			}
		}
	}
}

// TestHysteresis: of the empty spans of a class one is kept, which the next allocation
// uses; the others give their pages back.
func TestHysteresis(t *testing.T) {
	h := newHeap(t)
	const size = 4096
	span := spanPages[classOf(size)]
	var all []int
	for range 3 * span * PageSize / size {
		off, err := h.Malloc(size)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, off)
	}
	if st := h.Stat(); st.Pages != 3*span {
		t.Fatalf("%+v, want three spans of %d pages", st, span)
	}
	for i, off := range all {
		free := func() error { return h.Free(off) }
		made := storesOf(t, h, free)
		// The last store of a free that empties a second span is to its page's entry.
		if last := made[len(made)-1]; len(made) > 1 && (last.value != 0 || last.word >= liveAt || made[0].word < liveAt) {
			t.Errorf("free %d: stores %+v; want the bit, and the entry of the first page", i, made)
		}
	}
	if st := h.Stat(); st.Pages != span {
		t.Errorf("%+v after all blocks are free, want one span of %d pages", st, span)
	}
	made := storesOf(t, h, func() error { _, err := h.Malloc(size); return err })
	if len(made) != 1 {
		t.Errorf("an allocation from the span that was kept makes stores %+v, want one", made)
	}
}

// TestRefused: what is no heap, one of another version, and a damaged one.
func TestRefused(t *testing.T) {
	for name, damage := range map[string]func(w []uint64){
		"nothing":         func(w []uint64) { clear(w) },
		"version":         func(w []uint64) { w[versionAt]++ },
		"kind":            func(w []uint64) { w[tableAt+firstPage] = 9 },
		"class":           func(w []uint64) { w[tableAt+firstPage] |= 200 << 8 },
		"later page":      func(w []uint64) { w[tableAt+firstPage+1] = 0 },
		"too long":        func(w []uint64) { w[tableAt+pages-1] = uint64(newEntry(pageRun, 0, 2)) },
		"inside a block":  func(w []uint64) { w[liveAt+firstPage*livePage] |= 2 },
		"in a free page":  func(w []uint64) { w[liveAt+liveWords-1] = 1 },
		"in the metadata": func(w []uint64) { w[liveAt] = 1 },
	} {
		h := newHeap(t)
		if _, err := h.Malloc(48); err != nil {
			t.Fatal(err)
		}
		damage(h.words)
		damaged := slices.Clone(h.words)
		if _, err := Open(h.words); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.Equal(damaged, h.words) {
			t.Errorf("%s: a heap that is refused was changed", name)
		}
	}
	if _, err := Open(make([]uint64, 5)); !errors.Is(err, ErrInvalid) {
		t.Errorf("five words: %v", err)
	}
	h := newHeap(t)
	if _, err := h.Malloc(-1); !errors.Is(err, ErrInvalid) {
		t.Errorf("a negative size: %v", err)
	}
	if _, err := h.Aligned(8, 48); !errors.Is(err, ErrInvalid) {
		t.Errorf("an alignment of 48: %v", err)
	}
}

func BenchmarkPair(b *testing.B) {
	h := newHeap(b)
	for i := 0; b.Loop(); i++ {
		off, err := h.Malloc(16 + i&1023)
		if err != nil {
			b.Fatal(err)
		}
		if err := h.Free(off); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReplace: one of 10,000 live blocks after another, at random.
func BenchmarkReplace(b *testing.B) {
	h := newHeap(b)
	r := rand.New(rand.NewPCG(1, 2))
	var offs [10000]int
	for i := range offs {
		offs[i], _ = h.Malloc(16 + r.IntN(500))
	}
	for b.Loop() {
		i := r.IntN(len(offs))
		if err := h.Free(offs[i]); err != nil {
			b.Fatal(err)
		}
		var err error
		if offs[i], err = h.Malloc(16 + r.IntN(500)); err != nil {
			b.Fatal(err)
		}
	}
}
