package limits

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"
)

func TestWaits(t *testing.T) {
	machine := func(texts map[string]string) machine {
		files := fstest.MapFS{}
		for name, text := range texts {
			files["proc/self/task/"+name+"/schedstat"] = &fstest.MapFile{Data: []byte(text)}
		}
		return machine{files: files}
	}
	before := machine(map[string]string{"7": "90 1000 3\n", "8": "90 2000 3\n", "9": "90 500000 3\n"}).waits()
	// One has ended, one is new, and one has the number of another.
	after := machine(map[string]string{"7": "95 1300 4\n", "8": "1 20 1\n", "10": "1 4000 1\n", "11": "", "12": "1 2"}).waits()
	if got := after.Since(before); got != 4300 {
		t.Errorf("%v, want 4.3us", got)
	}
	if got := machine(nil).waits().Since(before); got != 0 {
		t.Errorf("%v where nothing is counted", got)
	}
}

// Two threads that share a processor wait for it.
func TestWaitsHere(t *testing.T) {
	before := ReadWaits()
	if len(before) == 0 {
		t.Fatal("this kernel does not count how long threads wait (CONFIG_SCHED_INFO)")
	}
	var over atomic.Bool
	var threads sync.WaitGroup
	for range 2 {
		threads.Go(func() {
			runtime.LockOSThread() // for good: no other goroutine is to have this thread
			var all, one unix.CPUSet
			if err := unix.SchedGetaffinity(0, &all); err != nil {
				t.Error(err)
				return
			}
			for cpu := 0; one.Count() == 0; cpu++ {
				if all.IsSet(cpu) {
					one.Set(cpu)
				}
			}
			if err := unix.SchedSetaffinity(0, &one); err != nil {
				t.Error(err)
			}
			for !over.Load() {
			}
		})
	}
	for began := time.Now(); ReadWaits().Since(before) < 50*time.Millisecond; time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Error("they have not waited")
			break
		}
	}
	over.Store(true)
	threads.Wait()
}
