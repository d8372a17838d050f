package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/mome-dsm/mome/internal/limits"
)

// A node says of a peer that was away, or is lost, whether it had processors itself
// meanwhile: 2 s of 4 s are a shortage, and 0.5 s are none.
func TestAbsences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := limits.Waits{"1": time.Second}
		a := newAbsences(func() limits.Waits { return waits })
		pass := func(waited time.Duration) {
			time.Sleep(4 * time.Second)
			waits = limits.Waits{"1": waits["1"] + waited/2, "2": waits["2"] + waited/2}
		}
		if text := a.end(3, 1); text != "" {
			t.Errorf("never away: %q", text)
		}
		a.begin(3)
		pass(2 * time.Second)
		a.begin(2)
		want := "; in the last 4.0 s threads of node 1 waited 2.0 s in all for a processor: its machine is short of them"
		if text := a.end(3, 1); text != want {
			t.Errorf("%q, want %q", text, want)
		}
		pass(time.Second / 2)
		for range 2 {
			if text := a.end(2, 1); text != "" {
				t.Errorf("little waiting: %q", text)
			}
		}
	})
}
