package bench

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

// load and store are single accesses that no compiler moves.
//
//go:noinline
func load(b *byte) byte { return *b }

//go:noinline
func store(b *byte, v byte) { *b = v }

// touch makes one access at each of the offsets, dealt to as many locked threads,
// and returns how long each took.
func touch(mem []byte, o *order) *report {
	threads := max(o.Threads, 1)
	// A thread that waits for a page holds its P.
	if want := max(threads+2, runtime.NumCPU()); runtime.GOMAXPROCS(0) != want {
		runtime.GOMAXPROCS(want)
	}
	samples := make([]int64, len(o.Offsets))
	start := make(chan struct{})
	var ready, done sync.WaitGroup
	for t := range threads {
		ready.Add(1)
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			from, to := len(o.Offsets)*t/threads, len(o.Offsets)*(t+1)/threads
			ready.Done()
			<-start
			for i := from; i < to; i++ {
				at := &mem[o.Offsets[i]]
				begin := time.Now()
				if o.Write {
					store(at, byte(i))
				} else {
					load(at)
				}
				samples[i] = int64(time.Since(begin))
			}
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return &report{Samples: samples, Clock: clockCost()}
}

// clockCost is what reading the clock twice adds to a sample.
func clockCost() int64 {
	samples := make([]int64, 1000)
	var there byte
	for i := range samples {
		begin := time.Now()
		load(&there)
		samples[i] = int64(time.Since(begin))
	}
	slices.Sort(samples)
	return samples[len(samples)/2]
}
