//go:build linux

package memory

import (
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// One of the parties closes the descriptor, exactly once, and never during a
// use.
func TestLifetimeAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			l      lifetime
			users  int
			over   bool
			closes int
		)
		closing := func(last bool) {
			if !last {
				return
			}
			closes++
			if users != 0 || !over {
				t.Fatalf("closed with %d users, given up %v", users, over)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				entered, last := l.enter()
				if entered == over {
					t.Fatalf("enter says %v, given up %v", entered, over)
				}
				if entered {
					users++
				}
				closing(last)
			},
			"leave": func(t *rapid.T) {
				if users == 0 {
					t.Skip("nobody is there")
				}
				users--
				closing(l.leave())
			},
			"end": func(t *rapid.T) {
				over = true
				closing(l.end())
			},
			"": func(t *rapid.T) {
				want := 0
				if over && users == 0 {
					want = 1
				}
				if closes != want {
					t.Fatalf("closed %d times, want %d", closes, want)
				}
			},
		})
	})
}

func TestLifetimeConcurrently(t *testing.T) {
	for range 200 {
		var (
			l      lifetime
			closes atomic.Int32
			wg     sync.WaitGroup
		)
		use := func(last bool) {
			if last {
				closes.Add(1)
			}
		}
		for range 4 {
			wg.Go(func() {
				for {
					entered, last := l.enter()
					use(last)
					if !entered {
						return
					}
					if closes.Load() != 0 {
						t.Error("closed during a use")
					}
					use(l.leave())
				}
			})
		}
		wg.Go(func() { use(l.end()) })
		wg.Wait()
		if n := closes.Load(); n != 1 {
			t.Fatalf("closed %d times", n)
		}
	}
}
