package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tuned tunes its threads and prints what it finds then.
func tuned() {
	tuneThreads()
	for _, tid := range threads() {
		attr, err := unix.SchedGetAttr(tid, 0)
		if err != nil {
			fmt.Println(err)
			return
		}
		slack, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", tid))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("turn %d slack %s\n", attr.Runtime, strings.TrimSpace(string(slack)))
	}
}

// shortTurn is how long turns this kernel gives to a thread that has asked for
// short ones: Linux 6.12 and newer give it those.
func shortTurn(t *testing.T) uint64 {
	t.Helper()
	runtime.LockOSThread() // and never unlock: the thread ends with the test
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	attr.Runtime = uint64(turn)
	_ = unix.SchedSetAttr(0, attr, 0)
	if attr, err = unix.SchedGetAttr(0, 0); err != nil {
		t.Fatal(err)
	}
	return attr.Runtime
}

func TestTuneThreads(t *testing.T) {
	out, err := exec.Command(childProgram(t, "tuned")).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := shortTurn(t)
	slow := 0
	for line := range strings.Lines(string(out)) {
		var turns, slack int64
		if _, err := fmt.Sscanf(line, "turn %d slack %d", &turns, &slack); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if uint64(turns) != want {
			t.Errorf("a thread has turns of %d ns, want %d", turns, want)
		}
		if slack == monitorSlack.Nanoseconds() {
			slow++
		}
	}
	// A thread that the monitor has made since has its slack too.
	if slow == 0 {
		t.Errorf("no thread has a slack of %v:\n%s", monitorSlack, out)
	}
}

func TestMakePlaces(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	t.Setenv("GOMAXPROCS", "1")
	makePlaces(30)
	if got := runtime.GOMAXPROCS(0); got != 1 {
		t.Errorf("%d places where the operator wants one", got)
	}
	t.Setenv("GOMAXPROCS", "")
	last := 0
	for _, sleepers := range []int{0, 3, 30, 7, 1 << 16} {
		makePlaces(sleepers)
		got := runtime.GOMAXPROCS(0)
		if got < last || got < minPlaces || got > maxPlaces || got < min(sleepers, maxPlaces) {
			t.Errorf("%d places after %d, for %d sleepers", got, last, sleepers)
		}
		last = got
	}
}
