package main

import (
	"fmt"
	"os"
	"os/exec"
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

func TestTuneThreads(t *testing.T) {
	out, err := exec.Command(childProgram(t, "tuned")).Output()
	if err != nil {
		t.Fatal(err)
	}
	slow := 0
	for line := range strings.Lines(string(out)) {
		var turns, slack int64
		if _, err := fmt.Sscanf(line, "turn %d slack %d", &turns, &slack); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if turns != turn.Nanoseconds() {
			t.Errorf("a thread has turns of %d ns, want %v", turns, turn)
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
