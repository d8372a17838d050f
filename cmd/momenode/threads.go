package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mome-dsm/mome/impl/node"
)

// A node's threads sleep in the kernel most of their time, on a machine whose
// processors are busy with applications, and an application waits for each of
// their short turns. What follows has the two schedulers, Go's and the kernel's,
// treat them so. It is a matter of speed only: what the machine refuses is left.

// The Go runtime has a number of places at which threads run Go code. One that
// comes back from the kernel finds its place free, or needs the scheduler's help
// (on two processors with two places: 2.5 futex calls for each fault instead of
// 0.4). So there are places for all threads that sleep in the kernel, which keep
// theirs until the monitor comes by, and some for those that run.
const (
	minPlaces  = 8
	morePlaces = 4   // than sleepers and processors
	maxPlaces  = 128 // the garbage collector works at a quarter of them
	placesStep = 4   // to change the number stops the daemon for a moment
)

// turn is how long a thread of the daemon may run at a stretch. A thread that
// wakes up and asks for short turns runs before one that has a long turn. With
// both processors busy, of 1,600 pages that SOR had asked for ahead of their
// use, 184 to 216 came too late without this, and 79 to 115 with it.
const turn = 100 * time.Microsecond

// monitorSlack is how late the Go runtime's monitor may wake up. It looks for
// threads that have been in the kernel for long, every 20 us while it finds any;
// here it finds some without end, and with places to spare has nothing to do for
// them. It made half of the daemon's switches of threads, and with a slack of a
// millisecond still a third.
const monitorSlack = 10 * time.Millisecond

// tuneThreads is called before the daemon has threads of its own: those that
// are made later inherit.
func tuneThreads() {
	debug.SetMaxThreads(node.MaxThreads)
	makePlaces(0)
	// One that was not tuned yet may make another one meanwhile: look again.
	tuned := make(map[int]bool)
	for before := -1; before < len(tuned); {
		before = len(tuned)
		for _, tid := range threads() {
			if !tuned[tid] {
				tuned[tid] = true
				shortenTurns(tid)
			}
		}
	}
	if tid := monitor(); tid != 0 {
		slack := strconv.FormatInt(int64(monitorSlack), 10)
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/timerslack_ns", tid), []byte(slack), 0)
	}
}

// shortenTurns gives a thread turns of that length. Before Linux 6.12 it has no
// effect.
func shortenTurns(tid int) {
	if attr, err := unix.SchedGetAttr(tid, 0); err == nil && attr.Policy == unix.SCHED_NORMAL {
		attr.Runtime = uint64(turn)
		_ = unix.SchedSetAttr(tid, attr, 0)
	}
}

var placesLock sync.Mutex // held while the number of places grows

// makePlaces sees to it that there are enough for that many sleepers. It may be
// called from any goroutine.
func makePlaces(sleepers int) {
	placesLock.Lock()
	defer placesLock.Unlock()
	places := max(minPlaces, min(maxPlaces, runtime.NumCPU()+sleepers+morePlaces))
	places = (places + placesStep - 1) / placesStep * placesStep
	if os.Getenv("GOMAXPROCS") == "" && places > runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(places)
	}
}

// threads are those of this process.
func threads() []int {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil
	}
	var tids []int
	for _, e := range entries {
		if tid, err := strconv.Atoi(e.Name()); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids
}

// monitor is the thread that the Go runtime calls sysmon, or 0 if it was not
// found: while the main goroutine runs, no other thread sleeps by nanosleep(2).
func monitor() int {
	sleeps := []byte(strconv.Itoa(unix.SYS_NANOSLEEP) + " ")
	for range 100 {
		for _, tid := range threads() {
			call, err := os.ReadFile(filepath.Join("/proc/self/task", strconv.Itoa(tid), "syscall"))
			if err == nil && bytes.HasPrefix(call, sleeps) {
				return tid
			}
		}
		// It may be about to run, where the processors are busy.
		_, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
	return 0
}
