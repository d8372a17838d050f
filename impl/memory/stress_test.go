//go:build linux

package memory

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/mome-dsm/mome/impl/addr"
)

var stressSeed = flag.Uint64("memory.seed", 0, "seed of the stress tests; 0 takes a new one")

func newRand(t *testing.T) *rand.Rand {
	seed := *stressSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again with: MOME_REQUIRE_UFFD=1 go test ./impl/memory/ -run '^%s$' -memory.seed=%d", t.Name(), seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// A simple stand-in for the protocol: one lock per page, and the content of
// pages that are holes.
type keeper struct {
	t     *testing.T
	s     *Segment
	pages [8]struct {
		mu      sync.Mutex
		present bool
		saved   []byte // of a hole: what it will be filled with
		copied  bool   // of a hole: by Copy, or through the daemon's mapping
	}
}

func (k *keeper) handle(m *Mapping, faults []Fault) {
	for _, f := range faults {
		k.answer(m, f)
	}
}

func (k *keeper) answer(m *Mapping, f Fault) {
	page := &k.pages[f.Page-k.s.First()]
	page.mu.Lock()
	defer page.mu.Unlock()
	var err error
	switch {
	case page.present:
		err = m.Install(f.Page, 1, f.Write)
	case page.copied:
		_, err = m.Copy(f.Page, page.saved, f.Write)
	default:
		copy(k.s.Page(f.Page), page.saved)
		err = m.Install(f.Page, 1, f.Write)
	}
	page.present = true
	if err != nil && !errors.Is(err, ErrGone) {
		k.t.Errorf("%v: %v", f, err)
	}
}

// Pages are replaced while processes read them: every pass over a page sees
// whole pages only, each later than the one before.
func TestStressPunchAndRead(t *testing.T) {
	rng := newRand(t)
	s := newSegment(t, 8)
	k := &keeper{t: t, s: s}
	content := func(p int, generation uint64) []byte {
		b := make([]byte, 0, addr.PageSize)
		for range addr.PageSize / 8 {
			b = binary.NativeEndian.AppendUint64(b, uint64(p+1)<<32|generation)
		}
		return b
	}
	for p := range k.pages {
		k.pages[p].saved = content(p, 1)
	}
	var scans []<-chan reply
	var apps []*application
	for range 2 {
		a := startApplication(t, s, applicationOptions{handle: k.handle})
		apps = append(apps, a)
		scans = append(scans, a.begin(request{Op: "scan", N: 8}), a.begin(request{Op: "scan", N: 8}))
	}
	const rounds = 4000
	for generation := range uint64(rounds) {
		p := rng.IntN(len(k.pages))
		page := &k.pages[p]
		page.mu.Lock()
		page.saved = content(p, generation+2)
		page.copied = rng.IntN(2) == 0
		ok(t, s.Punch(testFirst+addr.PageNum(p), 1))
		page.present = false
		page.mu.Unlock()
	}
	for _, a := range apps {
		a.call(request{Op: "stop"})
	}
	for i, c := range scans {
		t.Logf("scan %d: %d passes", i, apps[i/2].wait(c).Val)
	}
}

// Pages are taken away and brought back while processes store to them: Protect,
// read, Punch, and later Copy lose no store.
func TestStressRecallAndStore(t *testing.T) {
	rng := newRand(t)
	s := newSegment(t, 8)
	k := &keeper{t: t, s: s}
	for p := range k.pages {
		k.pages[p].saved = make([]byte, addr.PageSize)
	}
	const (
		times = 500_000
		words = 3
	)
	var adds []<-chan reply
	for i := range 2 {
		a := startApplication(t, s, applicationOptions{handle: k.handle})
		// Word 0 is everybody's, the last is the process's own.
		for _, word := range []int64{0, 0, 1 + int64(i)} {
			adds = append(adds, a.begin(request{Op: "add", N: 8, Off: 8 * word, Val: times}))
		}
	}
	// A bounded number of recalls, so that the stores come to an end: nothing
	// here lets a page rest where it is.
	done := make(chan struct{})
	results := make([]reply, len(adds))
	go func() {
		defer close(done)
		for i, c := range adds {
			results[i] = <-c
		}
	}()
	recalls := 0
recalling:
	for recalls < 3000 {
		select {
		case <-done:
			break recalling
		default:
		}
		p := rng.IntN(len(k.pages))
		num := testFirst + addr.PageNum(p)
		page := &k.pages[p]
		page.mu.Lock()
		if page.present {
			recalls++
			ok(t, s.Protect(num, 1))
			page.saved = append(page.saved[:0], s.Page(num)...)
			if rng.IntN(3) > 0 {
				if !bytes.Equal(page.saved, s.Page(num)) {
					t.Errorf("%v was stored to after Protect", num)
				}
				ok(t, s.Punch(num, 1))
				page.present = false
				page.copied = rng.IntN(2) == 0
			}
		}
		page.mu.Unlock()
	}
	t.Logf("%d recalls", recalls)
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the applications do not come to an end")
	}
	for _, r := range results {
		if r.Err != "" {
			t.Fatal(r.Err)
		}
	}
	for p := range k.pages {
		// The thread that was answered last may be ahead of its handler.
		k.pages[p].mu.Lock()
		defer k.pages[p].mu.Unlock()
		content := k.pages[p].saved
		if k.pages[p].present {
			content = s.Page(testFirst + addr.PageNum(p))
		}
		for word, want := range [words]uint64{4 * times, times, times} {
			if got := binary.NativeEndian.Uint64(content[8*word:]); got != want {
				t.Errorf("page %d word %d: %d additions, want %d", p, word, got, want)
			}
		}
	}
}
