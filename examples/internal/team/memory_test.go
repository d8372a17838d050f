package team

import (
	"math"
	"strings"
	"testing"
)

func TestMemoryNeeded(t *testing.T) {
	m := Memory{Segment: 1000, Whole: 100, Private: 10, Serial: 500}
	for _, c := range []struct {
		rank, ranks, here int
		want              int64
	}{
		{0, 0, 1, 500},                     // the serial program
		{0, 1, 1, 1000 + 10 + 500},         // one rank has everything
		{0, 4, 1, 1000 + 10 + 500},         // rank 0 reads the answer
		{3, 4, 1, 250 + 100 + 10},          // its part, and what all read
		{0, 4, 4, 1000 + 500 + 3*350 + 40}, // all on one machine
		{3, 4, 4, 1000 + 500 + 3*350 + 40}, // and the same to all of them
		{2, 4, 2, 2 * (250 + 100 + 10)},    // two on a machine of their own
		{0, 4, 2, 1000 + 500 + 350 + 2*10}, // rank 0 and another
	} {
		if got := m.needed(c.rank, c.ranks, c.here); got != c.want {
			t.Errorf("%+v: %d bytes", c, got)
		}
	}
}

func TestMemoryCheck(t *testing.T) {
	m := Memory{Serial: math.MaxInt64, Smaller: "--size"}
	if err := m.CheckSerial(); err == nil || !strings.Contains(err.Error(), "8.0 EiB of memory are needed") || !strings.HasSuffix(err.Error(), "make --size smaller") {
		t.Errorf("all there can be: %v", err)
	}
	m.Serial = 1
	if err := m.CheckSerial(); err != nil {
		t.Errorf("a byte: %v", err)
	}
}

func TestAvailable(t *testing.T) {
	if n, err := available("MemTotal:       24646912 kB\nMemAvailable:   22020096 kB\n"); err != nil || n != 21<<30 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n, err := available("MemTotal: 1 kB\n"); err == nil {
		t.Errorf("%d bytes of nothing", n)
	}
}

func TestHere(t *testing.T) {
	for env, want := range map[string]int{"": 1, "x": 1, "0": 1, "3": 3, "9": 4} {
		t.Setenv(EnvLocal, env)
		if got := here(4); got != want {
			t.Errorf("%s=%q: %d", EnvLocal, env, got)
		}
	}
}
