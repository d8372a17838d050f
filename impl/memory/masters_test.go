//go:build linux

package memory

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/mome-dsm/mome/impl/addr"
	"golang.org/x/sys/unix"
)

// A pool counts exactly what it holds, and the kernel holds no more for it, nor
// less; and a page has the content that it was filled with last.
func TestMasters(t *testing.T) {
	var (
		pool    Pool
		masters [2]Masters
		want    [2]map[addr.PageNum][]byte
	)
	defer func() { ok(t, pool.Close()) }()
	for i := range want {
		want[i] = make(map[addr.PageNum][]byte)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for step := range uint64(4000) {
		i, p := random.IntN(2), addr.PageNum(random.IntN(2*chunkPages))
		if random.IntN(3) > 0 {
			want[i][p] = pattern(step, 1)
			ok(t, masters[i].Fill(&pool, p, want[i][p]))
		} else {
			delete(want[i], p)
			ok(t, masters[i].Drop(&pool, p))
		}
	}
	for i := range want {
		for p, content := range want[i] {
			if !bytes.Equal(masters[i].Page(&pool, p), content) {
				t.Fatalf("%v of segment %d has another content", p, i)
			}
		}
		if masters[i].Len() != len(want[i]) {
			t.Errorf("segment %d has %d pages, want %d", i, masters[i].Len(), len(want[i]))
		}
	}
	held := int64(len(want[0]) + len(want[1]))
	if n := pool.Pages(); n != held || n != resident(t, &pool) {
		t.Errorf("the pool counts %d pages, the kernel %d; want %d", n, resident(t, &pool), held)
	}
	for masters[0].Len() > 0 {
		ok(t, masters[0].DropSome(&pool, 100))
	}
	if n := pool.Pages(); n != int64(len(want[1])) || n != resident(t, &pool) {
		t.Errorf("without the first segment the pool counts %d pages, the kernel %d; want %d", n, resident(t, &pool), len(want[1]))
	}
}

// resident is how many pages of the pool the kernel holds.
func resident(t *testing.T, pool *Pool) (n int64) {
	for _, c := range pool.chunks {
		present := make([]byte, len(c)>>addr.PageShift)
		if errno := mincore(c, present); errno != 0 {
			t.Fatal(errno)
		}
		for _, b := range present {
			n += int64(b & 1)
		}
	}
	return n
}

// Without address space a page is refused, nothing else changes, and as soon as
// there is some the page is taken.
func TestMastersWithoutMemory(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=masters")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func mastersWithoutMemory() error {
	var (
		pool    Pool
		masters Masters
		limit   unix.Rlimit
		content = bytes.Repeat([]byte{7}, addr.PageSize)
	)
	if err := masters.Fill(&pool, 0, content); err != nil {
		return err
	}
	if err := unix.Getrlimit(unix.RLIMIT_AS, &limit); err != nil {
		return err
	}
	// A little is left, for which the pool does not ask: without any the Go runtime
	// ends the process when it wants memory of its own.
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	var used uint64 // pages
	if _, err := fmt.Sscan(string(statm), &used); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: used<<addr.PageShift + 16<<20, Max: limit.Max}); err != nil {
		return err
	}
	for p := range addr.PageNum(chunkPages) {
		if err := masters.Fill(&pool, p, content); err != nil {
			return err // it has a place already
		}
	}
	const more = addr.PageNum(chunkPages)
	if err := masters.Fill(&pool, more, content); !errors.Is(err, unix.ENOMEM) {
		return fmt.Errorf("%w, want ENOMEM", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_AS, &limit); err != nil {
		return err
	}
	if n := pool.Pages(); n != chunkPages || masters.Len() != chunkPages {
		return fmt.Errorf("%d pages after a refusal, want %d", n, chunkPages)
	}
	if err := masters.Fill(&pool, more, content); err != nil {
		return err
	}
	if !bytes.Equal(masters.Page(&pool, more), content) {
		return errors.New("another content")
	}
	return pool.Close()
}
